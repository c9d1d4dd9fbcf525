# Lesson 06: listen and accept, for one client. Oracles: ss, cmp, peers in Perl.
# needs the machine to itself (tests/lib/run): port 6666, or a list of all sockets
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers
# The programs here are started without HOST:PORT, and that is 6666 on every machine.
export AT=127.0.0.1:6666

setup() {
    start server bin/06-accept-one
    server=$pid
    saw server '^listen: '
}

# served STATUS   waits until the server has ended, with that status; nobody listens any more.
served() {
    ended "$server"
    [[ $status == "$1" ]]
    shown '^LISTEN .* 127\.0\.0\.1:6666 ' 0
}

@test "claim 15: claim 19: stumble 8: a listener, and beside it a connected socket, as ss has them" {
    grep -qx 'listen: fd 3 is 127.0.0.1:6666, waiting for a client' "$log/server"
    [[ "$(sockets_of "$server")" == "3 127.0.0.1:6666 none" ]]

    peer client 'my $s = connected(); print name(getsockname $s), " ", name(getpeername $s), "\n";
        cue(); put($s, "hello\n"); print get($s, 6); cue(); finish($s); print get($s), "end\n"'
    saw client '^127'
    read -r local peer <"$log/client"
    saw server '^accept: '
    grep -qx "accept: fd 4 is $peer, the client is $local" "$log/server"
    [[ "$(sed -nE 's/^    fd (.*): local (.*), peer (.*), (listening|connected)$/\1 \2 \3/p' \
        "$log/server")" == "$(sockets_of "$server")" ]]
    grep -qx '    fd 3: local 127.0.0.1:6666, peer none, listening' "$log/server"
    shown "^LISTEN 0 5 127\.0\.0\.1:6666" # accepting has not changed it
    shown "^ESTAB 0 0 127\.0\.0\.1:6666 $local"

    cue client
    saw client '^hello'
    saw server '^recv: 6 bytes "hello\\n"$'
    saw server '^send: 6 bytes$'
    cue client
    saw client '^end'
    served 0
    (($(grep -c '^recv' "$log/server") == 2 && $(grep -c '^close' "$log/server") == 2))
}

@test "claim 15: claim 19: the same over IPv6" {
    needs ipv6
    start six bin/06-accept-one '[::1]:6666'
    six=$pid
    saw six '^listen: fd 3 is \[::1\]:6666'
    peer client 'my $s = connected("[::1]:6666"); print talk($s, "hello\n"), "end\n"'
    saw client '^end'
    grep -qx hello "$log/client"
    grep -qE '^accept: fd 4 is \[::1\]:6666, the client is \[::1\]:[0-9]+$' "$log/six"
    ended "$six"
    [[ $status == 0 ]]
}

@test "stumble 5: an idle client has not finished; the end of one that has is seen once" {
    peer client 'my $s = connected(); cue(); finish($s); get($s)'
    saw server '^accept: '
    is_running "$server"
    run ! grep '^recv' "$log/server"
    cue client
    served 0
    (($(grep -c '^recv: 0 bytes' "$log/server") == 1))
}

@test "stumble 7: the second client is connected meanwhile, and is not served" {
    peer first 'my $s = connected(); cue(); put($s, "me\n"); print get($s, 3);
        cue(); finish($s); print get($s), "end\n"'
    saw server '^accept: '
    peer second 'my $s = connected(); print name(getsockname $s), "\n"; put($s, "anyone?");
        print +(ready($s, 0, 0.1))[0] ? "served" : "not served", "\n";
        print eval { get($s) } // "reset: $!", "\n"'
    saw second '^127'
    cue first
    saw first '^me'
    saw second '^not served'
    read -r local <"$log/second"
    shown "^ESTAB 7 0 127\.0\.0\.1:6666 $local" # our end: what it said waits in the kernel
    shown "^ESTAB 0 0 $local 127\.0\.0\.1:6666"
    [[ "$(sockets_of "$server")" != *"$local"* ]] # but no program has a descriptor for it
    cue first
    saw first '^end'
    saw second '^reset: Connection reset by peer'
    served 0
}

@test "stumble 17: stumble 20: backlog N: N+1 clients wait, the next one hangs; Recv-Q and Send-Q" {
    kill "$server"
    served 0
    for backlog in 0 2; do
        start server bin/06-accept-one --backlog "$backlog"
        server=$pid
        saw server '^listen: '
        shown "^LISTEN 0 $backlog 127\.0\.0\.1:6666"
        peer first 'my $s = connected(); print "in\n"; cue()'
        saw server '^accept: '
        for ((i = 0; i <= backlog; i++)); do
            peer "waits-$i" 'my $s = connected(); print "in\n"; cue()'
            saw "waits-$i" '^in'
        done
        peer next 'my $s = connected(); print "in\n"; cue()'
        next=$pid
        eventually shown '^SYN-SENT 0 1 127\.0\.0\.1:[0-9]+ 127\.0\.0\.1:6666'
        shown "^LISTEN $((backlog + 1)) $backlog 127\.0\.0\.1:6666"
        # Each connection is two lines, one for each end.
        shown '^ESTAB 0 0 127\.0\.0\.1:6666 ' $((backlog + 2))
        shown '^ESTAB 0 0 .* 127\.0\.0\.1:6666$' $((backlog + 2))
        run ! grep -q in "$log/next"
        kill "$next" "$server"
        ended "$server"
        [[ $status == 0 ]]
    done
}

@test "stumble 1: a restart straight after, with a connection in TIME_WAIT" {
    peer client 'my $s = connected(); print name(getsockname $s), "\n", get($s), "end\n"'
    saw server '^accept: '
    kill "$server" # so the server's end is closed first
    saw client '^end'
    served 0
    eventually shown "^TIME-WAIT 0 0 127\.0\.0\.1:6666 $(head -n 1 "$log/client")"
    start again bin/06-accept-one
    saw again '^listen: fd 3 is 127.0.0.1:6666'
}

@test "200 kB come back to the byte" {
    random_bytes 200000 "$log/sent"
    peer client 'undef $/; open my $f, "<", $ARGV[0]; open my $g, ">", $ARGV[1];
        print $g talk(connected(), <$f>); close $g; print "end\n"' "$log/sent" "$log/back"
    saw client '^end'
    cmp "$log/sent" "$log/back"
    served 0
    told() { awk -v w="$1:" '$1 == w { n += $2 } END { print n }' "$log/server"; }
    (($(told recv) == 200000 && $(told send) == 200000))
}

@test "SIGINT and SIGTERM end it, status 0: in accept, in recv and in send" {
    for signal in INT TERM; do
        for call in accept recv send; do
            if ! is_running "$server"; then
                start server bin/06-accept-one
                server=$pid
                saw server '^listen: '
            fi
            if [[ $call == recv ]]; then
                peer client 'my $s = connected(); get($s)'
                saw server '^accept: '
            elif [[ $call == send ]]; then
                peer client 'my $s = connected(); fill($s); print "full\n"; cue()'
                saw client '^full'
            fi
            kill -"$signal" "$server"
            ended "$server"
            [[ $status == 0 ]]
            [[ $(tail -n 1 "$log/server") == "close: fd 3, the listener" ]]
        done
    done
}

@test "the client resets the connection: status 1, ECONNRESET" {
    peer client 'my $s = connected(); put($s, "hello\n"); get($s, 6); vanish($s)'
    served 1
    grep -qE '^06-accept-one: recv from 127\.0\.0\.1:[0-9]+: .* \(ECONNRESET\)$' "$log/server"
}

@test "what a client sends is printed quoted: its control bytes do nothing" {
    peer client 'talk(connected(), "\e]0;title\a\x9b31m\0\x7f\b\r\"\\\n")'
    served 0
    grep -qxF 'recv: 21 bytes "\x1b]0;title\x07\x9b31m\x00\x7f\x08\r\"\\\n"' "$log/server"
    run ! grep -aP '[^\n\x20-\x7e]' "$log/server"
}

@test "stumble 10: no NUL ends what is received: nothing of an earlier message is printed" {
    peer client 'my $s = connected(); for ("x" x 60, "hi") { put($s, $_); get($s, length) }
        finish($s); print get($s), "end\n"'
    saw client '^end'
    served 0
    grep -qx "recv: 60 bytes \"$(printf 'x%.0s' {1..48})\"\.\.\." "$log/server"
    grep -qx 'recv: 2 bytes "hi"' "$log/server"
    grep -qx 'send: 2 bytes' "$log/server"
}
