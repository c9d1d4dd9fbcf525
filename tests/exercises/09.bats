# Exercise 09: messages with their length in front. The other end is Perl's.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# Perl: `sent` sends pieces, each when all before it has been taken from the receive buffer.
sent='sub sent { my $s = shift; for (@_) { put($s, $_); select undef, undef, undef, 0.01;
    my ($port) = $ARGV[0] =~ /(\d+)$/;
    for my $i (1 .. 200) { last if `ss -Htn sport = :$port` !~ /ESTAB +[1-9]/; select undef, undef, undef, 0.01 } } }'

# shows LINE...   the receiver has ended, status 0, and has printed these lines after its first one.
shows() {
    local deadline=$((SECONDS + 5))
    while is_running "$server"; do
        ((SECONDS <= deadline)) || not_yet "$(in_lines "$(printf '%s\n' "$@")")" \
            "$(in_lines "$(tail -n +2 "$log/server")")"$'\n'"(and it still ran after 5 seconds)"
        sleep 0.01
    done
    ended "$server"
    same "$(printf '%s\n' "$@")" "$(tail -n +2 "$log/server" | tr -d '\0')"
    ((status == ${ending:-0})) || not_yet "exit status ${ending:-0}" "$(ending_of "$status")"
}

# receives PERL   the receiver gets what this script sends to $s.
receives() {
    serve --receive
    ask "$sent"' my $s = connected($ARGV[0]); '"$1"'; close $s' "$at"
}

# sends TEXT   the sender is given these lines, each of which is to be a message. What came is in
# $output, as Talk.pm shows it.
sends() {
    guest other 'my $s = accepted($ARGV[0]); print heard($s), "\n"' "$at"
    saw other '^listening'
    printf %b "$1" >"$log/lines"
    input=$log/lines try "$at"
    told other '^("|nothing)' "the sender ends the connection"
    output=$(tail -n 1 "$log/other")
}

@test "it sends the length, 4 bytes in network byte order, then the message" {
    sends 'hello\n'
    same '"\x00\x00\x00\x05hello"' "$output" "for the line hello"
}

@test "each line is a message, even an empty one" {
    sends 'one\n\nthree\n'
    same '"\x00\x00\x00\x03one\x00\x00\x00\x00\x00\x00\x00\x05three"' "$output" "for the lines one, (empty), three"
}

@test "it receives messages with bytes of any value, and even an empty message" {
    receives 'put($s, "\0\0\0\5hello"); put($s, "\0\0\0\0"); put($s, "\0\0\0\4a\0b\xff")'
    shows 'message: 5 bytes "hello"' 'message: 0 bytes ""' 'message: 4 bytes "a\x00b\xff"' \
        "the peer has finished"
}

@test "it receives a message that comes in pieces, cut anywhere" {
    receives 'sent($s, "\0", "\0\0", "\5h", "ell", "o\0\0\0", "\3", "o", "ne")'
    shows 'message: 5 bytes "hello"' 'message: 3 bytes "one"' "the peer has finished"
}

@test "two messages that come in one piece stay two messages" {
    receives 'put($s, "\0\0\0\5hello\0\0\0\3one\0\0\0\3two")'
    shows 'message: 5 bytes "hello"' 'message: 3 bytes "one"' 'message: 3 bytes "two"' \
        "the peer has finished"
}

@test "a message may have 1048576 bytes; a longer one is refused" {
    receives 'put($s, "\0\x10\0\0" . "x" x 1048576); put($s, "\0\x10\0\1" . "x" x 100); sent($s, "x")'
    xs=$(printf 'x%.0s' {1..48})
    ending=1 shows "message: 1048576 bytes \"$xs\"..." "09-exercise: too long a message"
    receives 'put($s, "\xff\xff\xff\xff" . "x" x 100); sent($s, "x")' # do not trust a number that a peer sends
    ending=1 shows "09-exercise: too long a message"
}

@test "a message that is cut off, within its length or after it, is an error" {
    receives 'put($s, "\0\0\0\5hello\0\0\0\5he")'
    ending=1 shows 'message: 5 bytes "hello"' "09-exercise: cut off within a message"
    at=127.0.0.1:$((port + 1000))
    receives 'put($s, "\0\0\0\5hello\0\0")'
    ending=1 shows 'message: 5 bytes "hello"' "09-exercise: cut off within a message"
}

@test "when the receiver goes away, the sender ends with an error message" {
    guest other 'my $s = accepted($ARGV[0]); print "got ", in_quotes(get($s, 9)), "\n"; finish($s); vanish($s)' "$at"
    saw other '^listening'
    { echo hello; for i in {1..20}; do head -c 500000 /dev/zero | tr '\0' x; echo; done; } >"$log/lines"
    input=$log/lines try "$at"
    told other '^got' "the sender sends"
    same 'got "\x00\x00\x00\x05hello"' "$(tail -n 1 "$log/other")"
    refuses "the receiver has reset the connection" .
}

@test "it sends all of a long message, even if ^Z and fg interrupt it" {
    guest other 'my $s = accepted($ARGV[0]); print "accepted\n"; cue();
        my $all = get($s);
        open my $f, "<", $ARGV[1]; my $line = <$f>; chomp $line;
        print length($all), " bytes, ",
            $all eq "\0\x0f\x42\x40$line" ? "as sent" : "not as sent", "\n"' "$at" "$log/long"
    saw other '^listening'
    { seq -s , 1 170000 | head -c 1000000; echo; } >"$log/long"
    start sender "${bounded[@]}" bash -c 'exec "$0" "$1" <"$2"' "$exercise" "$at" "$log/long"
    sender=$pid
    told other '^accepted' "the sender connects"
    # It waits in send(): its send buffer does not get any fuller.
    before=-1
    for ((i = 0; i < 100; i++)); do
        now=$(ss -Htn "dport = :$port" | awk '{ print $3 }')
        [[ -z $now || $now != "$before" || $now == 0 ]] || break
        before=$now
        sleep 0.05
    done
    kill -STOP "$sender" 2>/dev/null || :
    kill -CONT "$sender" 2>/dev/null || :
    cue other
    told other 'bytes' "the receiver gets all, and then the end"
    same "1000004 bytes, as sent" "$(tail -n 1 "$log/other")"
}

@test "a reset between two messages is an error, not the end" {
    receives 'sent($s, "\0\0\0\5hello"); vanish($s); $s = owner("127.0.0.1:0")'
    ending=1 shows 'message: 5 bytes "hello"' "09-exercise: recv: Connection reset by peer (ECONNRESET)"
}

@test "a reset within a message is an error as well" {
    receives 'sent($s, "\0\0\0\5he"); vanish($s); $s = owner("127.0.0.1:0")'
    ending=1 shows "09-exercise: recv: Connection reset by peer (ECONNRESET)"
}
