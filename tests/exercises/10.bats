# Exercise 10: send a file, half-close, and get its size back. The other end is Perl's.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# counts BYTES   a client of the server sends that many bytes, finishes, and gets the number back.
counts() {
    ask 'my $s = connected($ARGV[0]); my $some = "a\0\xff";
        put($s, substr $some x $ARGV[1], 0, $ARGV[1]); finish($s); print heard($s)' "$at" "$1"
    [[ $output == \"* ]] || runs "the server goes on"
    same "\"$1\\n\"" "$output" "a client that sends $1 byte$([[ $1 == 1 ]] || echo s) and finishes gets"
}

@test "the server counts a client's bytes, and answers when it has finished" {
    serve --server
    counts 12345
}

@test "the server waits for the end, however slowly the pieces come" {
    serve --server
    guest slow 'my $s = connected($ARGV[0]); put($s, "x" x 1000); cue(); put($s, "x" x 234); cue();
        finish($s); print heard($s), "\n"' "$at"
    for i in 1 2; do
        eventually shown "^ESTAB 0 0 $at .*" >/dev/null ||
            not_yet "the server takes what came, and waits for the rest" "$(in_lines \
                "$(ss -Htn "src $at" | awk '{ print "its socket: " $1 ", bytes not received: " $2 }
                    END { if (NR == 0) print "it has closed the connection" }')")"
        sleep 0.1 # it has taken this piece; if it did not wait for more, it would answer now
        cue slow
    done
    told slow '^("|nothing)' "a client that has sent 1000 and then 234 bytes gets an answer"
    same '"1234\n"' "$(tail -n 1 "$log/slow")" "a client that has sent 1000 and then 234 bytes gets"
}

@test "the server goes on: another client, an empty file, and a large one" {
    serve --server
    counts 1
    counts 0
    counts 3000000
    runs
}

@test "a client that resets its connection does not end the server" {
    serve --server
    for how in 'vanish($s)' 'put($s, "x" x 100); vanish($s)' 'put($s, "x" x 100); finish($s); vanish($s)'; do
        pause
        ask 'my $s = connected($ARGV[0]); '"$how"'; print "gone"' "$at"
        kill -CONT "$server"
        runs "the server goes on after a client has reset its connection"
        counts 100
    done
    runs "the server goes on after a client has reset its connection"
}

accepted() {
    (($(sockets_open) == 2)) # the listener and the client
}

@test "^C ends the server, even while an idle client is connected" {
    serve --server
    counts 5
    guest idle 'our $s = connected($ARGV[0]); print "in\n"; cue()' "$at"
    saw idle '^in'
    eventually accepted >/dev/null || :
    ends_by_signal
}

@test "the client sends all bytes of a file, finishes, and prints the answer" {
    random_bytes 300000 "$log/file"
    guest other 'my $s = accepted($ARGV[0]); my $all = get($s);
        open my $f, "<:raw", $ARGV[1]; local $/; print length $all, " bytes", $all eq <$f> ? "\n" : ", not as in the file\n";
        put($s, "300000\n")' "$at" "$log/file"
    saw other '^listening'
    input=$log/file try "$at"
    prints 300000
    same "the server has received 300000 bytes" "the server has received $(tail -n 1 "$log/other")"
}

@test "the file may come in pieces, through a pipe" {
    guest other 'my $s = accepted($ARGV[0]); print get($s) eq "hello again" ? "all\n" : "not all\n"; put($s, "11\n")' "$at"
    saw other '^listening'
    mkfifo "$log/pipe"
    { printf 'hello '; sleep 0.2; printf again; } >"$log/pipe" 3>&- &
    input=$log/pipe try "$at"
    told other 'all' "the client sends, and finishes"
    same "the server has received all" "the server has received $(tail -n 1 "$log/other")"
    prints 11
}

@test "if stdin cannot be read (it is a folder), that is an error" {
    guest other 'my $s = accepted($ARGV[0]); my $n = length get($s); put($s, "$n\n")' "$at"
    saw other '^listening'
    input=/ try "$at"
    refuses "stdin is a folder, and read() fails (EISDIR)" .
}

@test "the answer may come in pieces" {
    guest other 'my $s = accepted($ARGV[0]); get($s); put($s, "30"); select undef, undef, undef, 0.2;
        put($s, "00\n"); get($s)' "$at"
    saw other '^listening'
    random_bytes 3000 "$log/file"
    input=$log/file try "$at"
    prints 3000
}

@test "a server that ends without an answer is an error" {
    for answer in "" 30; do
        guest "other$answer" 'my $s = accepted($ARGV[0]); get($s); put($s, $ARGV[1] // "")' "$at" "$answer"
        saw "other$answer" '^listening'
        random_bytes 3000 "$log/file"
        input=$log/file try "$at"
        refuses "the server has sent \"$answer\", and then the end" .
        ended "$pid"
    done
}

@test "a server that goes away while the client sends is an error" {
    random_bytes 9000000 "$log/file"
    for how in 'vanish($s)' 'finish($s); vanish($s)'; do
        guest other 'my $s = accepted($ARGV[0]); get($s, 1000); '"$how" "$at"
        saw other '^listening'
        input=$log/file try "$at"
        refuses "the server has reset the connection" .
        ended "$pid"
    done
}

@test "the client sends all bytes, even if ^Z and fg interrupt it" {
    random_bytes 9000000 "$log/file"
    guest other 'my $s = accepted($ARGV[0]); print "accepted\n"; cue(); my $all = get($s);
        open my $f, "<:raw", $ARGV[1]; local $/; print length $all, " bytes", $all eq <$f> ? "\n" : ", not as in the file\n";
        put($s, "9000000\n")' "$at" "$log/file"
    saw other '^listening'
    start client "${bounded[@]}" bash -c 'exec "$0" "$1" <"$2"' "$exercise" "$at" "$log/file"
    client=$pid
    told other '^accepted' "the client connects"
    before=-1
    for ((i = 0; i < 100; i++)); do # until it waits in send(): its send buffer is full
        now=$(ss -Htn "dport = :$port" | awk '{ print $3 }')
        [[ -z $now || $now != "$before" || $now == 0 ]] || break
        before=$now
        sleep 0.05
    done
    kill -STOP "$client" 2>/dev/null || :
    kill -CONT "$client" 2>/dev/null || :
    cue other
    told other bytes "the server gets all bytes, and then the end"
    same "the server has received 9000000 bytes" "the server has received $(tail -n 1 "$log/other")"
}
