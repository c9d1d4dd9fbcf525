# Lesson 13: datagrams. Oracles: ss, strace, the kernel's counters in /proc/net, peers in Perl.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

# receive [OPTION...]   starts the receiver at $at; strace, if $trace is set, leaves its calls there.
trace=
receive() {
    start receiver ${trace:+strace -D -qq -s 64 -o "$trace" -e trace=%network -e signal=none} \
        bin/13-datagrams --receiver "$@" "$at"
    receiver=$pid
    saw receiver '^bind: .*waiting'
}

# send_from NAME [OPTION...]   starts a sender, which sends what `cue NAME LINE` gives it.
send_from() {
    start "$1" bin/13-datagrams "${@:2}" "$at"
    saw "$1" '^socket: '
}

# drops PORT   how many datagrams for that port the kernel has dropped, by its own table.
drops() {
    local hex
    printf -v hex ':%04X ' "$1"
    cat /proc/net/udp{,6} 2>/dev/null | # (a kernel without IPv6 has no udp6)
        awk -v hex="$hex" 'index($2 " ", hex) { n += $NF } END { print n + 0 }'
}

# counter NAME   one of the kernel's counters for UDP over IPv4: InErrors, InCsumErrors, NoPorts.
counter() {
    awk -v name="$1" '$1 == "Udp:" { if (!column) for (i = 2; i <= NF; i++) { if ($i == name) column = i }
        else print $column }' /proc/net/snmp
}

@test "claim 20: one socket for three senders; it neither listens nor accepts, as strace shows" {
    needs strace
    trace=$log/calls
    receive
    for name in one two three; do
        send_from "$name"
        cue "$name" "hello from $name"
        saw "$name" "^recvfrom: .*\"hello from $name\" from $at$"
        from=$(sed -nE 's/^sendto: .* from port ([0-9]+) .*/\1/p' "$log/$name")
        grep -qxF "recvfrom: $((11 + ${#name})) bytes \"hello from $name\" from 127.0.0.1:$from" \
            "$log/receiver"
        [[ $(ss -Huan "sport = :$from" | wc -l) == 1 ]]
    done
    [[ $(ss -Huanp | grep -c "pid=$receiver,") == 1 ]]
    ss -Huan "sport = :$port" | awk '{ print $1, $4, $5 }' | grep -xF "UNCONN $at 0.0.0.0:*"
    shown "$at" 0 # nothing of TCP
    kill "$receiver"
    ended "$receiver"
    ((status == 0))
    [[ $(sed 's/(.*//' "$log/calls" | sort | uniq -c | xargs) == \
        "1 bind 1 getsockname 3 recvfrom 3 sendto 1 socket" ]]
}

@test "claim 20: each of 500 messages keeps its borders, of any bytes and from 0 to 65507 bytes" {
    receive
    peer sender 'use Socket; my ($s, $to) = Peer::unbound($ARGV[0], SOCK_DGRAM);
        for my $i (0 .. 499) {
            my $length = $i == 0 ? 0 : $i == 1 ? 65507 : int rand($i % 10 ? 1400 : 60000);
            my $sent = join "", map chr int rand 256, 1 .. 200;
            $sent = substr $sent x (1 + $length / 200), 0, $length;
            defined send $s, $sent, 0, $to or die "send: $!"; ready($s, 0, 5);
            defined recv $s, my $got, 70000, 0 or die "recv: $!";
            $got eq $sent or die "message $i: sent ", length $sent, ", got ", length $got, "\n";
        }
        print "all came back\n"' "$at"
    saw sender '^all came back$'
    (($(grep -c '^recvfrom: ' "$log/receiver") == 500))
    grep -qE '^recvfrom: 0 bytes "" from ' "$log/receiver"
    grep -qE '^recvfrom: 65507 bytes ' "$log/receiver"
    run ! grep -aP '[^\n\x20-\x7e]' "$log/receiver"
}

@test "a message that is longer than the room is cut, and the next one is whole, as strace shows" {
    needs strace
    trace=$log/calls
    receive --room 4
    send_from sender
    for text in "hello, world" hell abc ""; do
        cue sender "$text"
        saw sender '^recvfrom: '
        : >"$log/sender"
    done
    eventually grep -q '"abc".*= 3' "$log/calls"
    [[ $(sed -nE 's/^recvfrom\(3, (".*"), 4, MSG_TRUNC.* = ([0-9]+)$/\1 \2/p' "$log/calls" |
        tr '\n' ' ') == '"hell" 12 "hell" 4 "abc" 3 "" 0 ' ]]
    diff - <(sed -n 's/ from 127[^;]*/ from it/; s/^recvfrom: //p' "$log/receiver") <<'END'
4 bytes "hell" from it; 8 more are lost
4 bytes "hell" from it
3 bytes "abc" from it
0 bytes "" from it
END
}

@test "nobody there: sendto succeeds and nothing comes back; the kernel has counted it" {
    needs strace network
    before=$(counter NoPorts)
    start sender strace -D -qq -o "$log/calls" -e trace=sendto,recvfrom bin/13-datagrams "$at"
    saw sender '^socket: '
    cue sender hello
    saw sender "^sendto: 5 bytes from port [0-9]+ to $at$"
    eventually grep -q 'sendto(3, "hello", 5, .* = 5$' "$log/calls"
    (($(counter NoPorts) == before + 1))
    kill "$pid"
    ended "$pid"
    ((status == 0))
    run ! grep recvfrom "$log/calls"
    (($(wc -l <"$log/sender") == 2))
}

@test "nobody there, and a fixed peer: ECONNREFUSED at the next call; later the socket works" {
    needs strace
    start sender strace -D -qq -o "$log/calls" -e trace=connect,sendto,recvfrom bin/13-datagrams \
        --connect "$at"
    saw sender '^connect: '
    from=$(sed -nE 's/^connect: (.*) -> .*/\1/p' "$log/sender")
    [[ $(ss -Huan "src $from" | awk '{ print $1, $4, $5 }') == "ESTAB $from $at" ]]
    cue sender hello
    saw sender "^13-datagrams: recvfrom $at: Connection refused \(ECONNREFUSED\)$"
    eventually grep -q '^recvfrom.* = -1 ECONNREFUSED' "$log/calls"
    grep -qE '^sendto\(3, "hello", 5, MSG_DONTWAIT, NULL, 0\) += 5$' "$log/calls"
    receive
    cue sender again
    saw sender "^recvfrom: 5 bytes \"again\" from $at$"
    grep -qxF "recvfrom: 5 bytes \"again\" from $from" "$log/receiver"
}

@test "a connected socket lets in its peer alone; another one, whoever knows its port" {
    for how in "" --connect; do
        peer peer_at 'my $s = datagrams($ARGV[0]); print "bound\n"; my $from = recv $s, my $got, 100, 0;
            print name($from), "\n"; cue(); my $other = datagrams($ARGV[1]);
            send $other, "from a stranger", 0, $from; send $s, "from the peer", 0, $from; cue()' \
            "$at" "127.0.0.1:$((port + 1))"
        saw peer_at '^bound'
        send_from sender $how
        cue sender hello
        saw peer_at '^127'
        cue peer_at
        saw sender "^recvfrom: 13 bytes \"from the peer\" from $at$"
        strangers=$(grep -c 'from a stranger' "$log/sender") || :
        ((strangers == (${#how} == 0)))
        kill "$pid" "${started[-2]}"
        ended "${started[-2]}"
    done
}

# overfilled [ENDPOINT]   1000 messages: what the program says is what the kernel says.
overfilled() {
    start overfill bin/13-datagrams --overfill "$at"
    saw overfill '^Enter'
    [[ $(sed -nE 's/^bind: .* buffer of ([0-9]+) bytes$/\1/p' "$log/overfill") == \
        $(ss -Huamn "sport = :$port" | sed -nE 's/.*,rb([0-9]+).*/\1/p') ]]
    lost=$(drops "$port")
    [[ $(ss -Huamn "sport = :$port" | sed -nE 's/.*,d([0-9]+)\).*/\1/p') == "$lost" ]]
    cue overfill
    ended "$pid"
    ((status == 0))
    cat "$log/overfill"
    ((lost > 500 && lost < 1000))
    diff - <(tail -n 2 "$log/overfill") <<END
recvfrom: $((1000 - lost)) messages, the first ones that were sent
lost: $lost messages; the kernel has counted $lost
END
}

@test "claim 20: a full buffer loses messages: those lost are those that the kernel has dropped" {
    overfilled
    needs ipv6
    at="[::1]:$port"
    overfilled
}

@test "a stranger's message between those of --overfill: not only the first ones are received" {
    needs strace
    start overfill strace -D -qq -o "$log/trace" -e trace=sendto -e inject=sendto:signal=STOP:when=1 \
        bin/13-datagrams --overfill "$at"
    eventually grep -qs 'stopped by SIGSTOP' "$log/trace"
    run -0 perl -Itests/lib -MPeer -e 'my ($s, $to) = Peer::unbound($ARGV[0], Socket::SOCK_DGRAM);
        send $s, "message 1", 0, $to or die $!' "$at"
    kill -CONT "$pid"
    saw overfill '^Enter'
    cue overfill
    ended "$pid"
    grep -qE '^recvfrom: [0-9]+ messages, and not the first ones$' "$log/overfill"
}

@test "TCP's port and UDP's: two programs have the same number, and a third one cannot" {
    start server bin/06-accept-one "$at"
    server=$pid
    saw server '^listen'
    receive
    bin/04-ports-in-use "$port" >"$log/table"
    cat "$log/table"
    grep -qE "^ LISTEN +0 +0 $at +none +$server 06-accept-one$" "$log/table"
    grep -qE "^ UDP +0 +0 $at +none +$receiver 13-datagrams$" "$log/table"
    run -1 timeout -k 1 "$patience" bin/13-datagrams --receiver "$at"
    [[ ${lines[0]} == "13-datagrams: bind $at: Address already in use (EADDRINUSE)" ]]
}

@test "broadcast: EACCES without SO_BROADCAST; with it, it comes to whoever is at that port" {
    needs strace
    at=0.0.0.0:$port receive
    at=127.255.255.255:$port # (lo has a broadcast address, too)
    run -1 timeout -k 1 "$patience" strace -qq -o "$log/calls" -e trace=sendto bin/13-datagrams "$at" <<<hello
    grep -q '^sendto.* = -1 EACCES' "$log/calls"
    [[ $output == *"13-datagrams: sendto $at: Permission denied (EACCES)"$'\n'"  try: "* ]]
    send_from sender --broadcast
    cue sender hello
    saw receiver '^recvfrom: 5 bytes "hello" from 127'
    saw sender "^recvfrom: 5 bytes \"hello\" from 127.0.0.1:$port$"
}

@test "the same over IPv6" {
    needs ipv6
    at="[::1]:$port"
    receive
    send_from sender --connect
    cue sender hello
    saw sender "^recvfrom: 5 bytes \"hello\" from \[::1\]:$port$"
    saw receiver '^recvfrom: 5 bytes "hello" from \[::1\]:[0-9]+$'
    from=$(sed -nE 's/^connect: (.*) -> .*/\1/p' "$log/sender")
    agree() {
        bin/04-ports-in-use "$port" | awk '/^ UDP/ { print $4, $5 }' | sort >"$log/ours"
        ss -Huan "sport = :$port or dport = :$port" | sed -E 's/\[::\]:\*/none/' |
            awk '{ print $4, $5 }' | sort | diff "$log/ours" -
    }
    eventually agree
}

@test "an input of many lines at once, and one without an end: a datagram for each line" {
    peer sink 'my $s = datagrams($ARGV[0]); print "bound\n"; while (1) { recv $s, my $got, 70000, 0;
        print length $got, " ", substr($got, 0, 20), "\n" }' "$at"
    saw sink '^bound'
    {
        printf 'one\n\ntwo words\n'
        head -c 65507 /dev/zero | tr '\0' x
        printf '\nno end'
    } >"$log/input"
    run -0 timeout -k 1 "$patience" bin/13-datagrams "$at" <"$log/input"
    saw sink '^6 no end'
    diff - <(tail -n +2 "$log/sink") <<'END'
3 one
0 
9 two words
65507 xxxxxxxxxxxxxxxxxxxx
6 no end
END
    # One byte more than a datagram can have is an error, and the next line is sent.
    { head -c 65508 /dev/zero | tr '\0' y; printf '\nnext\n'; } >"$log/input"
    run -0 timeout -k 1 "$patience" bin/13-datagrams "$at" <"$log/input"
    [[ $output == *"13-datagrams: sendto $at: Message too long (EMSGSIZE)"* ]]
    saw sink '^4 next'
    run -1 timeout -k 1 "$patience" bin/13-datagrams "$at" < <(head -c 70000 /dev/zero)
    [[ $output == *"13-datagrams: a line of more than 65535 bytes does not fit into a datagram" ]]
}

# raw SCRIPT   a peer that writes whole IP packets: datagram(SOURCE-PORT, CHECKSUM, TEXT) sends one to
# $at. (A checksum of 0 says that there is none.)
raw() {
    peer raw 'use Socket; socket my $r, AF_INET, SOCK_RAW, 255 or die "socket: $!"; my $port = $ARGV[0];
        sub datagram { my ($from, $sum, $text) = @_; my $udp = pack "nnnn", $from, $port, 8 + length $text, $sum;
            my $ip = pack "CCnnnCCna4a4", 0x45, 0, 28 + length $text, 0, 0, 64, 17, 0, inet_aton("127.0.0.1"),
                inet_aton("127.0.0.1");
            send $r, $ip . $udp . $text, 0, sockaddr_in(0, inet_aton("127.0.0.1")) or die "send: $!" }
        '"$1" "$port"
}

@test "a message that was damaged on its way: it is dropped, and ^C still ends the receiver" {
    needs network
    receive
    before=$(counter InCsumErrors)
    raw 'datagram(9, 0xbad, "x" x 500); print "sent\n"; cue()'
    saw raw '^sent'
    dropped() { (($(counter InCsumErrors) == before + 1)); }
    eventually dropped
    kill "$receiver"
    ended "$receiver"
    ((status == 0))
    run ! grep '^recvfrom' "$log/receiver"
}

@test "a message that cannot be answered, from port 0: it says so, and goes on" {
    needs network
    receive
    raw 'datagram(0, 0, "hello"); print "sent\n"; cue()'
    saw receiver '^13-datagrams: sendto 127.0.0.1:0: Invalid argument \(EINVAL\)$'
    send_from sender
    cue sender hello
    saw sender '^recvfrom: 5 bytes'
}

@test "a flood of 5,000 messages: what is lost is counted, and the receiver goes on" {
    receive
    peer flood 'use Socket; my ($s, $to) = Peer::unbound($ARGV[0], SOCK_DGRAM);
        send $s, "x" x 100, 0, $to for 1 .. 5000; print "sent\n"; cue()' "$at"
    saw flood '^sent'
    empty() { [[ $(ss -Huan "sport = :$port" | awk '{ print $2 }') == 0 ]]; }
    eventually empty
    send_from sender
    cue sender hello
    saw sender '^recvfrom: 5 bytes "hello"'
    (($(grep -c '^recvfrom: 100 bytes' "$log/receiver") == 5000 - $(drops "$port")))
}

@test "nobody reads what the receiver prints: it goes on answering, and INT and TERM end it" {
    # (Both at once: for the first line without room a program waits a second.)
    for signal in INT TERM; do
        mkfifo "$log/pipe-$signal"
        exec {pipe}<>"$log/pipe-$signal"
        # shellcheck disable=SC2016 # for the shell inside
        start "receiver-$signal" bash -c 'exec "$@" >"$0"' "$log/pipe-$signal" \
            bin/13-datagrams --receiver "$at"
        receivers+=("$signal $pid")
        bound() { [[ -n $(ss -Huan "src $at") ]]; }
        eventually bound
        # (F_SETPIPE_SZ: the pipe has room for 4096 bytes, which is less than 100 lines.)
        peer "sender-$signal" 'use Socket; my ($s, $to) = Peer::unbound($ARGV[0], SOCK_DGRAM);
            open my $pipe, "+<", $ARGV[1] or die; fcntl $pipe, 1031, 4096 or die "F_SETPIPE_SZ: $!";
            for (1 .. 300) { send $s, "hello", 0, $to; recv $s, my $got, 100, 0 } print "answered\n"' \
            "$at" "$log/pipe-$signal"
        at=127.0.0.1:$((port + 1))
    done
    saw sender-INT '^answered'
    saw sender-TERM '^answered'
    for receiver in "${receivers[@]}"; do
        kill -"${receiver% *}" "${receiver#* }"
        ended "${receiver#* }"
        ((status == 0))
    done
}

@test "INT, TERM and ^D end a sender, status 0; INT and TERM a receiver" {
    for signal in INT TERM; do
        receive
        send_from sender
        sender=$pid
        kill -"$signal" "$sender"
        ended "$sender"
        ((status == 0))
        kill -"$signal" "$receiver"
        ended "$receiver"
        ((status == 0))
        [[ $(tail -n 1 "$log/receiver") == "close: fd 3" ]]
        start overfill bin/13-datagrams --overfill "$at"
        saw overfill '^Enter'
        kill -"$signal" "$pid"
        ended "$pid"
        ((status == 0))
    done
    run -0 timeout -k 1 "$patience" bin/13-datagrams "$at" </dev/null
    [[ $output == "socket: fd "[0-9] ]]
}

@test "messages without end, in or out, do not keep INT and TERM out" {
    for signal in INT TERM; do
        receive
        start sender bash -c 'exec bin/13-datagrams "$0" < <(exec yes)' "$at"
        sender=$pid
        saw sender '^recvfrom: 1 byte "y" from '
        kill -"$signal" "$receiver"
        ended "$receiver"
        ((status == 0))
        kill -"$signal" "$sender"
        ended "$sender"
        ((status == 0))
    done
}

@test "without an address the receiver is reached from this machine alone" {
    needs network
    start receiver bin/13-datagrams --receiver
    saw receiver '^bind: '
    [[ $(ss -Huanp | grep "pid=$pid," | awk '{ print $4 }') == 127.0.0.1:6666 ]]
}

@test "options that do not go together are refused, status 2" {
    local words
    for words in "--receiver --overfill" "--receiver --connect" "--receiver --broadcast" "--room 4" \
        "--overfill --connect" "--room 4 --overfill" "--receiver --room 65536"; do
        # shellcheck disable=SC2086 # words
        run -2 timeout -s KILL 5 bin/13-datagrams $words
        echo "$words: $output"
        [[ ${lines[0]} == "13-datagrams: "* && ${lines[1]} == "usage: 13-datagrams "* ]]
    done
}
