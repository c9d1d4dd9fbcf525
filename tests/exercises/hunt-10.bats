# Hunt 10: a server with a process for each client, and what is left of them. The clients are Perl's.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# counts BYTES [WHO]   a client sends that many bytes, finishes, and gets the number, and then the end.
counts() {
    ask 'my $s = connected($ARGV[0]); put($s, "x" x $ARGV[1]); finish($s); print heard($s, 20)' "$at" "$1"
    same "\"$1\\n\", then the end" "$output" "${2:-a client} that sends $1 byte$([[ $1 == 1 ]] || echo s) and finishes gets"
}

@test "a client gets its answer, and then the end" {
    serve
    counts 5
    counts 100000 "another client"
}

@test "nothing is left of clients that have gone: no socket, no process" {
    serve
    before=$(sockets_open)
    for i in 1 2 3; do
        ask 'my $s = connected($ARGV[0]); put($s, "hello"); finish($s); get($s, 2); close $s' "$at"
    done
    keeps "$before" "3 clients have gone: the server has $before socket, as before they connected"
    eventually shown "^CLOSE-WAIT .* $at .*" 0 >/dev/null || not_yet "no socket of the server is in CLOSE-WAIT" \
        "$(in_lines "$(ss -Htan "sport = :$port" | awk '{ print $1, $4, $5 }')")"
    eventually childless >/dev/null || not_yet "the processes for these clients have ended" "they are still there"
}
childless() {
    [[ -z $(<"/proc/$server/task/$server/children") ]]
}

@test "an idle client does not keep the others waiting, and is served when it sends" {
    serve
    guest idle 'my $s = connected($ARGV[0]); print "in\n"; cue(); put($s, "hello"); finish($s); print heard($s, 20), "\n"' "$at"
    saw idle '^in'
    counts 7 "meanwhile another client"
    cue idle
    told idle '^("|nothing)' "the client that was idle gets an answer"
    same '"5\n", then the end' "$(tail -n 1 "$log/idle")" "the client that was idle gets"
}

@test "20 descriptors are enough for 40 clients, one after the other" {
    bounded=(bash -c 'ulimit -f 1024 -n 20; exec "$@"' -)
    serve
    ask 'for my $i (1 .. 40) { my $s = connected($ARGV[0]); put($s, "x"); finish($s); my $heard = heard($s, 20);
        $heard eq q("1\n", then the end) or print("client $i: $heard"), exit }
        print "40 clients got an answer, and then the end"' "$at"
    runs "a server for 40 clients"
    same "40 clients got an answer, and then the end" "$output"
}
