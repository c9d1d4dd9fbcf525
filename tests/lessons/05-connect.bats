# Lesson 05: from (address, port) to a connection. Oracles: ss, strace, cmp, peers in Perl. (Names: 05-names.bats)
# needs the machine to itself (tests/lib/run): port 6666, or a list of all sockets
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status, stderr: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers
# The programs here are started without HOST:PORT, and that is 6666 on every machine.
export AT=127.0.0.1:6666

# connects WHERE   starts a peer there and the client, and compares the endpoints that the client
# tells with those that ss knows.
connects() {
    peer server "get(accepted('$1'))"
    saw server '^listening'
    start client bin/05-connect "$1"
    saw client '^connect: '
    [[ $(sed -n 's/^connect: \(.*\) -> \(.*\)/3 \1 \2/p' "$log/client") == \
        "$(sockets_of "$pid")" ]]
}

@test "claim 9: a program listens on (address, port): connected, and the endpoints are printed" {
    connects 127.0.0.1:6666
    shown 'ESTAB 0 0 127\.0\.0\.1:6666 '
}

@test "claim 9: the same over IPv6" {
    needs ipv6
    connects '[::1]:6666'
    shown 'ESTAB 0 0 \[::1\]:6666 '
}

# refused WHERE   a port that is bound is nobody else's; not listened on, it refuses.
refused() {
    peer owner 'my $s = owner(@ARGV); print "bound\n"; cue()' "$1"
    saw owner '^bound'
    run -1 --separate-stderr timeout "$patience" bin/05-connect "$1"
    [[ $output == "" ]]
    [[ ${#stderr_lines[@]} == 2 ]]
    [[ ${stderr_lines[0]} == "05-connect: connect $1: Connection refused (ECONNREFUSED)" ]]
    [[ ${stderr_lines[1]} == "  No program listens on this address and port. Or a firewall refuses." ]]
}

@test "claim 9: stumble 3: nothing listens there: refused, status 1, and what that means" {
    refused 127.0.0.1:6666
}

@test "claim 9: stumble 3: the same over IPv6" {
    needs ipv6
    refused '[::1]:6666'
}

@test "stumble 4: a server at 127.0.0.1 is at no other address; one at 0.0.0.0 is at all" {
    local where others=(127.0.0.2:6666)
    lacks ipv6 || others+=('[::1]:6666')
    start one bin/07-accept-many 127.0.0.1:6666
    saw one '^listen: '
    run -0 timeout "$patience" bin/05-connect 127.0.0.1:6666 </dev/null
    for where in "${others[@]}"; do
        run -1 timeout "$patience" bin/05-connect "$where" </dev/null
        [[ $output == *"connect $where: Connection refused (ECONNREFUSED)"* ]]
    done
    start all bin/07-accept-many 0.0.0.0:7777
    saw all '^listen: fd 3 is 0\.0\.0\.0:7777'
    for where in 127.0.0.1:7777 127.0.0.2:7777; do
        run -0 timeout "$patience" bin/05-connect "$where" </dev/null
        saw all "^accept: fd [0-9]+ is $where, "
    done
}

@test "claim 7: stumble 22: no bind: the kernel gives the client a port of the ephemeral range" {
    local chosen first last
    peer server 'for (1, 2) { my $s = accepted(); print "client ", name(getpeername $s), "\n";
        get($s) }'
    saw server '^listening'
    run -0 timeout "$patience" bin/05-connect </dev/null
    saw server '^client '
    chosen=$(sed -n 's/^client .*://p' "$log/server")
    read -r first last </proc/sys/net/ipv4/ip_local_port_range
    ((first <= chosen && chosen <= last && chosen != 6666))
    needs strace
    saw server '^listening' 2
    run -0 timeout "$patience" strace -o "$log/trace" -e trace=bind,connect bin/05-connect </dev/null
    run ! grep -q '^bind' "$log/trace"
    grep -qE '^connect\([0-9]+, .*htons\(6666\)' "$log/trace"
}

@test "stumble 12: --timeout 1 and no answer: ETIMEDOUT, after a second" {
    start server bin/06-accept-one --backlog 0
    saw server '^listen'
    start first bin/05-connect --timeout 1
    saw server '^accept'
    start second bin/05-connect # fills the queue
    saw second '^connect'
    # (A machine under load may wake it later than that, but not each time.)
    for try in {1..5}; do
        begin=${EPOCHREALTIME/[.,]/}
        start third bin/05-connect --timeout 1
        eventually shown '^SYN-SENT 0 1 127\.0\.0\.1:[0-9]+ 127\.0\.0\.1:6666'
        ended "$pid"
        took=$((${EPOCHREALTIME/[.,]/} - begin))
        [[ $status == 1 ]]
        ((950000 < took))
        ((took >= 2000000)) || break
    done
    ((took < 2000000))
    grep -q '^05-connect: connect 127.0.0.1:6666: .* (ETIMEDOUT)$' "$log/third"
    grep -q '^  No answer' "$log/third"

    # The limit is for connecting, not for the connection: the first one goes on.
    cue first "still here"
    saw first '^still here'
}

@test "in a pipe: 4 MB of any bytes to a server and back, to the byte; messages only on stderr" {
    start server bin/07-accept-many
    saw server '^listen'
    random_bytes 4000000 "$log/sent"
    head -c 4000000 "$log/sent" | timeout "$patience" bin/05-connect 2>"$log/words" | cat >"$log/back"
    cmp "$log/sent" "$log/back"
    grep -q '^connect: ' "$log/words"
    grep -q '^shutdown: ' "$log/words"
    grep -q '^recv: 0 bytes' "$log/words"
    (($(wc -l <"$log/words") == 3))
}

@test "claim 16: the peer finishes first, we still send: both sides stay open, and nothing is lost" {
    peer server 'my $s = accepted(undef, 4096); finish($s);
        cue(); open my $f, ">", shift; while (sysread $s, $_, 1000) { print $f $_ }' "$log/got"
    saw server '^listening'
    random_bytes 300000 "$log/sent"
    mkfifo "$log/slow"
    start client bash -c 'exec bin/05-connect <"$0"' "$log/slow"
    exec 7<>"$log/slow"
    saw client '^recv: 0 bytes, the peer has finished'
    eventually shown '^FIN-WAIT-2 .* 127\.0\.0\.1:6666 '
    shown '^CLOSE-WAIT .* 127\.0\.0\.1:6666'
    cue server
    timeout "$patience" cat "$log/sent" >&7
    exec 7>&-
    ended "$pid"
    [[ $status == 0 ]]
    eventually cmp -s "$log/sent" "$log/got"
}

@test "a slow peer, 1 kB at a time through a small buffer, gets all of it" {
    peer server 'my $s = accepted(undef, 2048); cue();
        open my $f, ">", shift; while (sysread $s, $_, 1000) { print $f $_ }; close $f; cue()' \
        "$log/got"
    saw server '^listening'
    random_bytes 6000000 "$log/sent"
    start client bash -c 'exec bin/05-connect <"$0"' "$log/sent"
    eventually shown '^ESTAB [0-9]+ [1-9][0-9]{5,} 127\.0\.0\.1:[0-9]+ 127\.0\.0\.1:6666'
    cue server
    eventually cmp -s "$log/sent" "$log/got"
    # We have finished, the peer has not: the client waits for it.
    eventually shown '^FIN-WAIT-2 .* 127\.0\.0\.1:6666'
    cue server
    ended "$pid"
    [[ $status == 0 ]]
}

@test "the peer resets the connection: status 1, ECONNRESET" {
    peer server 'my $s = accepted(); get($s, 6); vanish($s)'
    saw server '^listening'
    start client bin/05-connect
    saw client '^connect'
    cue client hello
    ended "$pid"
    [[ $status == 1 ]]
    grep -q '^05-connect: recv from 127.0.0.1:6666: .* (ECONNRESET)$' "$log/client"
}

@test "the peer resets the connection after it had finished: status 1, EPIPE" {
    peer server 'my $s = accepted(); finish($s); cue(); vanish($s)'
    saw server '^listening'
    start client bin/05-connect
    saw client '^recv: 0 bytes'
    cue server
    ended "$pid"
    [[ $status == 1 ]]
    grep -q '^05-connect: connection to 127.0.0.1:6666: .* (EPIPE)$' "$log/client"
}

@test "on a terminal, what the peer sends is quoted: its control bytes do nothing" {
    peer server 'my $s = accepted(); put($s, "\e]0;title\a\x9b31m\0\x7f\b\r\"\\\n"); get($s)'
    saw server '^listening'
    run -0 timeout "$patience" script -qec bin/05-connect /dev/null </dev/null
    [[ $output == *'recv: 21 bytes "\x1b]0;title\x07\x9b31m\x00\x7f\x08\r\"\\\n"'* ]]
    run ! grep -qaP '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]' <<<"$output"
}

@test "stdin closed: we have finished at once, and still receive" {
    peer server 'my $s = accepted(); get($s); put($s, "hello\n")'
    saw server '^listening'
    run -0 --separate-stderr timeout "$patience" bash -c 'exec bin/05-connect <&-'
    [[ $output == hello ]]
}

@test "a peer that never reads: what waits to be sent does not pile up in memory" {
    peer server 'my $s = accepted(); cue()'
    saw server '^listening'
    start client bin/05-connect
    client=$pid
    saw client '^connect'
    before=$(memory_of "$client")
    start flood bash -c 'exec head -c 64M /dev/zero >"$0"' "$log/client.in"
    # It is at rest when the kernel has the same number of bytes to send in two looks.
    at_rest() {
        local last=$now
        now=$(ss -Htn dport = 6666 | awk '{ print $3 }')
        sleep 0.05
        ((now > 100000)) && [[ $now == "$last" ]]
    }
    now=0
    eventually at_rest
    (($(memory_of "$client") - before <= 2 * 65536 + 8 * 4096))
}
