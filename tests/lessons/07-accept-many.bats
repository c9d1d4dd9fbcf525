# Lesson 07: the server goes on listening. Oracles: ss, strace, /proc, cmp, peers in Perl.
# The server of lesson 11 has to bear the same: the name 11-accept-many.bats leads to this file.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

program=bin/07-accept-many first=4 # the descriptor of the first client
if [[ $BATS_TEST_FILENAME == */11-* ]]; then
    program=bin/11-ten-thousand first=5 # it has one more: epoll
fi

setup_file() {
    echo "# the server is $program" >&3
}

setup() {
    ulimit -Sn "$(ulimit -Hn)"
    start server "$program" "$at"
    server=$pid
    saw server '^listen: '
}

# another COMMAND...   ends the server of setup, and starts this one in its place.
another() {
    kill "$server"
    ended "$server"
    start server "$@"
    server=$pid
    saw server '^listen: '
}

# serves   the server answers a new client, within 3 seconds.
serves() {
    [[ $(perl -Itests/lib -MPeer -e 'alarm 3; print talk(connected(), "are you there?")') == \
        "are you there?" ]]
}

# told_sockets   the sockets that the server has told of and has not closed: FD LOCAL PEER.
told_sockets() {
    sed -nE -e 's/^listen: fd ([0-9]+) is ([^,]*),.*/\1 \2 none/p' \
        -e 's/^accept: fd ([0-9]+) is (.*), the client is ([^ ]*)$/\1 \2 \3/p' \
        -e 's/^close: fd ([0-9]+),.*/\1/p' "$log/server" |
        awk 'NF == 3 { open[$1] = $0 } NF == 1 { delete open[$1] }
            END { for (fd in open) print open[fd] }' | sort -n
}

@test "claim 10: claim 19: stumble 21: clients come and go, a socket for each, as ss shows" {
    grep -qx "listen: fd 3 is $at, waiting for clients" "$log/server"
    for n in 1 2 3; do
        peer "client-$n" 'my $s = connected(); put($s, "hello\n"); print get($s, 6);
            cue(); finish($s); print get($s), "end\n"'
        saw "client-$n" '^hello'
        [[ "$(told_sockets)" == "$(sockets_of "$server")" ]]
        (($(sockets_of "$server" | wc -l) == n + 1))
        [[ $(tail -n 1 "$log/server") == *"    $n client"*", $((n + 1)) sockets, 1 port" ]]
        shown "^LISTEN .* $at"
    done
    grep -q '^Threads:.1$' "/proc/$server/status"
    for n in 2 1; do
        cue "client-$n"
        saw "client-$n" '^end'
        saw server '^close: ' $((3 - n))
        [[ "$(told_sockets)" == "$(sockets_of "$server")" ]]
    done
    [[ $(tail -n 2 "$log/server") == *" has finished"$'\n'"    1 client, 2 sockets, 1 port" ]]
    cue client-3
    saw server '^    0 clients, 1 socket, 1 port$'
    serves
}

@test "claim 10: claim 19: the same over IPv6" {
    needs ipv6
    start six "$program" "[::1]:$port"
    saw six "^listen: fd 3 is \[::1\]:$port"
    peer client 'my $s = connected("[::1]:'"$port"'"); print talk($s, "hello\n"), "end\n"'
    saw client '^end'
    grep -qx hello "$log/client"
    grep -qE '^accept: fd '"$first"" is \[::1\]:$port, the client is \[::1\]:[0-9]+$" "$log/six"
}

@test "stumble 7: a second client is served while the first one is idle" {
    peer silent 'my $s = connected(); print "in\n"; cue()'
    saw silent '^in'
    saw server '^accept: '
    serves
}

@test "the queue is as long as the kernel allows" {
    longest=/proc/sys/net/core/somaxconn
    [[ $PLAYED_IN != "in a network"* ]] || echo 5000 2>/dev/null >$longest || :
    another "$program" "$at"
    # (A kernel of before 2024 does not show that file in a user's network.) As long as that of who
    # asks for the longest one there is:
    peer longest 'my $s = owner($ARGV[0]); listen $s, 2 ** 31 - 1; print "listening\n"; cue()' \
        "127.0.0.1:$((port + 1))"
    saw longest '^listening'
    length=$(ss -Htln "src 127.0.0.1:$((port + 1))" | awk '{ print $3 }')
    [[ ! -r $longest || $(<$longest) == "$length" ]]
    shown "^LISTEN 0 $length $at"
}

@test "200 clients at once: all wait in the queue, all are served" {
    kill -STOP "$server"
    peer burst 'my @s = many(200); print "connected\n"; put($_, "hello") for @s;
        get($_, 5) eq "hello" or die for @s; print "served\n"; cue()'
    saw burst '^connected' # all of them, and nobody has called accept
    shown "^ESTAB .* $at " 200
    kill -CONT "$server"
    saw burst '^served'
    saw server '^    200 clients, 201 sockets, 1 port$'
}

@test "1,000 clients held, each answered; an idle one takes less than 100 bytes of memory" {
    another "$program" --quiet "$at"
    serves # once round, so that all that is needed anyhow has been touched
    before=$(memory_of "$server")
    peer crowd 'my @s = many(1000); print "connected\n"; cue();
        for my $i (0 .. $#s) { put($s[$i], "I am $i") }
        for my $i (0 .. $#s) { get($s[$i], length "I am $i") eq "I am $i" or die "$i" }
        print "served\n"; cue()'
    saw crowd '^connected'
    all_in() { (($(find "/proc/$server/fd" -type l | wc -l) >= 1000 + first)); }
    eventually all_in
    (($(memory_of "$server") - before < 1000 * 100 + 2 * 4096))
    cue crowd
    saw crowd '^served'
    shown "^ESTAB 0 0 $at " 1000
}

@test "4 MB from a client that has half-closed come back to the byte" {
    random_bytes 4000000 "$log/sent"
    peer client 'undef $/; open my $f, "<", $ARGV[0]; open my $g, ">", $ARGV[1];
        print $g talk(connected(), <$f>); close $g; print "end\n"' "$log/sent" "$log/back"
    saw client '^end'
    cmp "$log/sent" "$log/back"
}

@test "three clients in pieces of random lengths: each has its own bytes back" {
    for n in 1 2 3; do
        random_bytes 300000 "$log/sent-$n"
        peer "client-$n" 'undef $/; open my $f, "<", $ARGV[0]; open my $g, ">", $ARGV[1];
            print "seed ", srand, "\n"; print $g talk(connected(), <$f>, 3000); close $g;
            print "end\n"' "$log/sent-$n" "$log/back-$n"
    done
    for n in 1 2 3; do
        saw "client-$n" '^end'
        cmp "$log/sent-$n" "$log/back-$n"
    done
}

@test "a client that resets: it is reported, and the others do not notice" {
    peer other 'my $s = connected(); put($s, "1"); print get($s, 1), "\n"; cue();
        put($s, "2"); print get($s, 1), "\n"; cue()'
    saw other '^1'
    peer client 'my $s = connected(); put($s, "hello"); get($s, 5); vanish($s)'
    saw server '^close: fd '$((first + 1))', the client .* has gone: .* \(ECONNRESET\)$'
    cue other
    saw other '^2'
    serves
}

@test "four clients that never read: others are served, memory is bounded, nothing is lost" {
    serves
    before=$(memory_of "$server")
    for n in 1 2 3 4; do
        peer "deaf-$n" 'my $s = connected(); my $sent = fill($s); print "full\n"; cue();
            finish($s); print get($s) eq $sent ? "all of it\n" : "something else\n"'
    done
    for n in 1 2 3 4; do
        saw "deaf-$n" '^full'
    done
    serves
    # The server keeps what one recv has given it (16 kB) for each, and no more.
    (($(memory_of "$server") - before <= 4 * (16384 + 4096) + 2 * 4096))
    # And it waits: it does not try again and again to send.
    ticks=$(ticks)
    sleep 0.3 # nothing is waited for here: this is how long we watch it
    (($(ticks) - ticks <= 3))
    for n in 1 2 3 4; do
        cue "deaf-$n"
        saw "deaf-$n" '^all of it$'
    done
}

@test "a send buffer smaller than a message: the rest of it goes in several pieces, to the byte" {
    needs strace
    # The sizes are a network's own: a socket that is accepted from now on has a small send buffer.
    local sizes=/proc/sys/net/ipv4/tcp_wmem before
    [[ ${PLAYED_IN-} == in* ]] && before=$(<"$sizes") && { echo 4096 4096 4096 >"$sizes"; } 2>/dev/null ||
        skip "the size of a send buffer is not ours to change here"
    another strace -D -qq -o "$log/trace" -e trace=sendto "$program" --quiet "$at"
    # The client has a small receive buffer, and reads only when it can send no more.
    peer client 'my ($s, $address) = Peer::unbound(); setsockopt $s, SOL_SOCKET, SO_RCVBUF, 2304;
        connect $s, $address or die "connect: $!\n"; fcntl $s, 4, 2048; # O_NONBLOCK
        my ($data, $sent, $got) = (join("", map { chr rand 256 } 1 .. 300_000), 0, "");
        while (length $got < length $data) {
            my ($in, $out) = ready($s, $sent < length $data);
            if ($out) { $sent += syswrite($s, $data, 65536, $sent) // 0 }
            elsif ($in) { sysread $s, $got, 1500, length $got }
        }
        $got eq $data or die "other bytes\n"; print "all of it\n"' -MSocket=:all
    saw client '^all of it'
    echo "$before" >"$sizes"
    # A message of which three pieces were sent, or more: part of it, part of the rest, the rest.
    eventually pieces
}
pieces() {
    perl -ne '/^sendto\(.*, (\d+), MSG_NOSIGNAL, NULL, 0\) = (\d+)/ or next;
        $row = $2 < $1 ? $row + 1 : 0; $most = $row if $row > $most;
        END { exit($most < 2) }' "$log/trace"
}

# ticks   the processor time that the server has used, in hundredths of a second.
ticks() {
    awk '{ print $14 + $15 }' "/proc/$server/stat"
}

# waits   how often the server has had to wait, for whatever it was.
waits() {
    awk '$1 == "voluntary_ctxt_switches:" { print $2 }' "/proc/$server/status"
}

@test "stumble 24: out of descriptors: one message, no busy loop, and each of 40 clients is served" {
    another bash -c 'ulimit -n 20; exec "$@"' - "$program" "$at"
    peer forty 'my @s = many(40); put($_, "hello") for @s; my $n = cue();
        for (0 .. $n - 1) { get($s[$_], 5) eq "hello" or die }
        for ($n .. 39) { die "dropped, or served" if (ready($s[$_], 0, 0))[0] }
        print "the others wait\n"; cue();
        for ($n .. 39) { close $s[$_ - $n]; get($s[$_], 5) eq "hello" or die }
        print "all served\n"'
    saw server ': out of descriptors: new clients wait until another one leaves$'
    let_in=$(grep -c '^accept: ' "$log/server")
    ((10 <= let_in && let_in <= 16))
    shown "^ESTAB .* $at " 40
    cue forty "$let_in"
    saw forty '^the others wait'

    # While nobody leaves it waits, and may look once a second.
    waits=$(waits) ticks=$(ticks)
    sleep 0.4 # nothing is waited for here: this is how long we watch it
    (($(waits) - waits <= 2 && $(ticks) - ticks <= 4))

    cue forty # now one after the other leaves
    saw forty '^all served'
    saw server '^accept: ' 40
    saw server '^    0 clients, '
    [[ $(grep -c EMFILE "$log/server") == 1 ]]
    serves
}

@test "--quiet prints nothing about clients" {
    another "$program" --quiet "$at"
    serves
    peer client 'my $s = connected(); put($s, "hello"); get($s, 5); vanish($s); print "gone\n"'
    saw client '^gone'
    peer client 'my $s = connected(); print "in\n"; cue()'
    saw client '^in'
    serves
    kill "$server"
    ended "$server"
    [[ $(grep -v '^limit: ' "$log/server") == "listen: fd 3 is $at, waiting for clients
close: fd 3, the listener" ]]
}

@test "SIGINT and SIGTERM end it, status 0: without clients, and with some, of which one never reads" {
    for signal in INT TERM; do
        for clients in "" 'my @s = many(3); put($_, "hello"), get($_, 5) for @s;
            fill(my $deaf = connected()); print "in\n"; get($_) for @s; print "end\n"'; do
            if ! is_running "$server"; then
                start server "$program" "$at"
                server=$pid
                saw server '^listen: '
            fi
            if [[ $clients ]]; then
                peer clients "$clients"
                saw clients '^in'
            fi
            kill -"$signal" "$server"
            ended "$server"
            [[ $status == 0 ]]
            [[ $(tail -n 1 "$log/server") == "close: fd 3, the listener" ]]
            [[ $(told_sockets) == "" ]]
            all=$((${#clients} > 0 ? 4 : 0))
            [[ $(grep -c '^close: .*, disconnecting the client ' "$log/server") == "$all" ]]
        done
        saw clients '^end' # they have seen the end of their connections
    done
}

@test "a message takes three calls for the sockets: one poll, one recv, one send; and sigpending" {
    needs strace
    another strace -D -o "$log/trace" "$program" "$at"
    peer client 'my $s = connected(); for (1 .. 100) { put($s, $_); get($s, length) == $_ or die }
        finish($s); get($s); print "end\n"'
    saw client '^end'
    saw server '^close'
    eventually grep -q '^recvfrom.* = 0$' "$log/trace"
    sed -nE '/^recvfrom/,/^recvfrom.* = 0$/s/\(.*//p' "$log/trace" >"$log/calls"
    for _ in {1..100}; do
        printf '%s\n' recvfrom sendto rt_sigpending poll
    done >"$log/expected"
    echo recvfrom >>"$log/expected"
    sed -i 's/^\(epoll_pwait\|ppoll\)$/poll/' "$log/calls"
    diff "$log/expected" "$log/calls"
}

@test "control bytes that a client sends come back to it, and show nowhere" {
    peer client 'my $bytes = join "", map chr, 0 .. 255;
        print talk(connected(), $bytes) eq $bytes ? "end\n" : "other\n"'
    saw client '^end'
    saw server '^close: '
    run ! grep -aP '[^\n\x20-\x7e]' "$log/server"
    (($(grep -cv '^limit: ' "$log/server") == 5))
}

@test "stumble 6: the reader of its stdout ends (| head -n 1): the server says so, and ends, status 1" {
    kill "$server"
    ended "$server"
    # shellcheck disable=SC2016 # for the shell inside
    start server bash -c '"$0" 127.0.0.1:6667 | grep -m 1 "^listen: "; exit "${PIPESTATUS[0]}"' "$program"
    server=$pid
    saw server '^listen: '
    peer client 'while (1) { my ($s, $at) = Peer::unbound("127.0.0.1:6667"); connect $s, $at or last;
        finish($s); eval { get($s) } } print "nobody listens\n"'
    ended "$server"
    ((status == 1))
    [[ $(tail -n 1 "$log/server") == "${program#bin/}: write to stdout: Broken pipe (EPIPE)" ]]
}
