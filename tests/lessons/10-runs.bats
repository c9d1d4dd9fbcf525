# Lesson 10: other runs of the program than that of 10-states.bats, which all last a second: so they
# begin at the same time. And what the kernel does with a socket that waits for the peer's end.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
load ../lib/helpers
load ../lib/peers

setup_file() {
    log=$BATS_FILE_TMPDIR
    local name
    start usual bin/10-states "127.0.0.1:$port"
    start chosen bin/10-states 127.0.0.1:0
    # shellcheck disable=SC2016 # the script is Perl's
    start ignored perl -e '$SIG{PIPE} = $SIG{CHLD} = "IGNORE"; exec @ARGV' bin/10-states "127.0.0.1:$((port + 1))"
    for name in usual chosen ignored; do
        ended "${started[0]}"
        echo "$status" >"$log/$name.status"
        started=("${started[@]:1}")
    done
}

# shows_the_same NAME   has that run ended with status 0, and shown what the usual one did?
shows_the_same() {
    [[ $(<"$BATS_FILE_TMPDIR/usual.status") == 0 && $(<"$BATS_FILE_TMPDIR/$1.status") == 0 ]]
    (($(wc -l <"$BATS_FILE_TMPDIR/usual") > 50))
    diff "$BATS_FILE_TMPDIR/usual" "$BATS_FILE_TMPDIR/$1"
}

@test "the kernel may choose the port" {
    shows_the_same chosen
}

@test "started with SIGPIPE and SIGCHLD ignored, it shows the same" {
    shows_the_same ignored
    grep -q 'killed by signal 13 (SIGPIPE)' "$BATS_FILE_TMPDIR/ignored"
}

@test "an address that is taken is an error, status 1" {
    start server bin/06-accept-one "$at"
    saw server '^listen'
    run -1 --separate-stderr timeout $((2 * patience)) bin/10-states "$at"
    [[ ${stderr_lines[0]} == "10-states: bind $at: Address already in use (EADDRINUSE)" ]]
}

@test "a stranger that connects is disconnected: no descriptor is left" {
    needs strace
    # shellcheck disable=SC2016 # the script is Perl's
    start stranger perl -Itests/lib -MPeer -e 'cue(); my $s = connected($ARGV[0]); print "in\n";
        get($s); print "closed\n"; cue()' "$at"
    # It stops when it listens for the second time; then the stranger is the first in the queue.
    start program strace -D -qq -o "$log/trace" -e trace=listen,accept,close \
        -e inject=listen:signal=STOP:when=2 bin/10-states "$at"
    eventually grep -q 'stopped by SIGSTOP' "$log/trace"
    echo >"$log/stranger.in"
    saw stranger '^in'
    kill -CONT "$pid"
    saw stranger '^closed'
    ended "$pid"
    ((status == 0))
    sed -nE '/stopped by/,$s/^(accept|close)\((.*)/\1 \2/p' "$log/trace" | head -n 3 | tr -s ' ' >"$log/calls"
    cat "$log/calls"
    fd=$(sed -nE '1s/^accept .* = ([0-9]+)$/\1/p' "$log/calls")
    diff - "$log/calls" <<<"$(sed -n 1p "$log/calls")
close $fd) = 0
$(sed -n 1p "$log/calls")"
}

# states   of the sockets of the machine inside, in one line
states() {
    "${inside[@]}" ss -Htan | cut -d ' ' -f 1 | sort | xargs
}

are() { # STATES
    [[ $(states) == "$1" ]]
}

@test "FIN_WAIT2 of a closed socket is removed after tcp_fin_timeout; what comes then is reset" {
    machine
    ((${#inside[@]} > 0)) || skip "needs a network whose limits we may change"
    "${inside[@]}" bash -c 'echo 1 >/proc/sys/net/ipv4/tcp_fin_timeout' 2>/dev/null ||
        skip "needs a network whose limits we may change"
    start server "${inside[@]}" bin/06-accept-one
    server=$pid
    saw server '^listen'
    start client "${inside[@]}" bin/05-connect
    client=$pid
    saw server 'connected$'
    are "ESTAB ESTAB LISTEN"
    kill -INT "$server"
    ended "$server"
    saw client '^recv: 0 bytes'
    eventually are "CLOSE-WAIT"
    echo x >"$log/client.in"
    ended "$client"
    ((status == 1))
    eventually are ""
}
