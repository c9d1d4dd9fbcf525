# The hints below an error: each is true whatever the reason of the error is. So each reason is made
# to happen here, and what the hint says is looked up in the kernel, or done.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, output: helpers.bash and bats set them
# shellcheck disable=SC2016 # variables of Perl, and of shells inside
load ../lib/helpers
load ../lib/peers

setup() {
    machine
}

on_it() {
    "${inside[@]}" timeout -s KILL "$patience" "$@" 3>&- 4>&-
}

# hinted ERROR COMMAND...   The command fails with status 1 and that error, on one line. $hint is what
# comes after that line, and fits into 80 columns.
hinted() {
    run -1 on_it "${@:2}" </dev/null
    echo "$output"
    hint=${output##*" ($1)"$'\n'}
    [[ $hint != "$output" && $hint == "  "* ]]
    run ! grep -E '.{81}' <<<"$hint"
}

in_use="  try: another port. Or look for this one in \`ss -tanp\`. A program: end it.
  TIME-WAIT or FIN-WAIT-2: wait a minute. No program: it is another user's.
  No line, or UNCONN: a program that has bound the port and does not listen."

# in_use PORT   The port is in use, and another port is not. $rows are the lines with this port of
# `ss -tanp`.
in_use() {
    hinted EADDRINUSE bin/02-bind "127.0.0.1:$1"
    [[ $hint == "$in_use" ]]
    on_it bin/02-bind "127.0.0.1:$((port + 9))" </dev/null
    rows=$(on_it ss -tanp | grep -E "^[^ ]+ +[0-9]+ +[0-9]+ +[^ ]+:$1 ") || :
    echo "ss: $rows"
}

# ends PID PORT   As the hint says, the port is free when this program has ended.
ends() {
    kill -INT "$1"
    ended "$1"
    on_it bin/02-bind "127.0.0.1:$2" </dev/null
}

@test "EADDRINUSE: ss shows the program, a server, at this address or at all addresses" {
    local where
    for where in "127.0.0.1:$port" "0.0.0.0:$port" "[::]:$port"; do
        [[ $where != "["* ]] || ! lacks ipv6 || continue
        start server "${inside[@]}" bin/06-accept-one "$where"
        saw server '^listen: '
        in_use "$port"
        [[ $rows == LISTEN*'users:(("06-accept-one"'* ]]
        ends "$pid" "$port"
    done
}

@test "EADDRINUSE: ss shows a program that is stopped (^Z), and it can be ended" {
    start server "${inside[@]}" bin/06-accept-one "$at"
    saw server '^listen: '
    kill -STOP "$pid"
    in_use "$port"
    [[ $rows == LISTEN*'users:(("06-accept-one"'* ]]
    kill -CONT "$pid" # fg
    ends "$pid" "$port"
}

@test "EADDRINUSE: ss shows a client that has this port" {
    start server "${inside[@]}" bin/07-accept-many "$at"
    saw server '^listen: '
    start client "${inside[@]}" bin/05-connect "$at"
    saw client '^connect: '
    local its
    its=$(sed -nE 's/^connect: .*:([0-9]+) -> .*/\1/p' "$log/client")
    in_use "$its"
    # (On the machine itself another connection, in TIME-WAIT, may have had that port, too.)
    grep -qE '^ESTAB.*users:\(\("05-connect"' <<<"$rows"
}

@test "EADDRINUSE: no line, or UNCONN: an earlier copy that has bound the port, or is stopped" {
    start owner "${inside[@]}" bin/02-bind "$at"
    saw owner '^The port is ours'
    in_use "$port"
    [[ -z $rows || $rows == UNCONN* ]]
    kill -STOP "$pid"
    in_use "$port"
    [[ -z $rows || $rows == UNCONN* ]]
    kill -CONT "$pid"
    ends "$pid" "$port"
}

# visited   a server has had a client, and has been ended while the client was connected.
visited() {
    local server
    start server "${inside[@]}" bin/06-accept-one "$at"
    server=$pid
    saw server '^listen: '
    start client "${inside[@]}" bin/05-connect "$at"
    saw server 'connected$'
    kill -INT "$server"
    ended "$server"
    saw client '^recv: 0 bytes'
}

@test "EADDRINUSE: FIN-WAIT-2 and TIME-WAIT, no program: they last for a minute at most" {
    visited
    in_use "$port"
    [[ $rows == FIN-WAIT-2* && $rows != *users* ]]
    on_it ss -Htano "sport = :$port" | grep -qE 'timer:\(timewait,[0-9]+sec,'
    kill -KILL "$pid" # the client: its kernel sends FIN
    only_time_wait() { [[ $(on_it ss -Htan "sport = :$port") == TIME-WAIT* ]]; }
    eventually only_time_wait
    in_use "$port"
    [[ $rows == TIME-WAIT* && $rows != *users* ]]
    on_it ss -Htano "sport = :$port" | grep -qE 'timer:\(timewait,([0-9]+sec|1min),'
}

@test "EADDRINUSE: no program: it is another user's" {
    ((UID == 0)) && setpriv --reuid 65534 --clear-groups true 2>/dev/null ||
        skip "only root can become another user"
    start server "${inside[@]}" bin/06-accept-one "$at"
    saw server '^listen: '
    rows=$(on_it setpriv --reuid 65534 --clear-groups --inh-caps=-all --bounding-set=-all ss -Htanp)
    [[ $rows == LISTEN* && $rows != *users* ]]
    in_use "$port"
    [[ $rows == *users* ]] # root sees all
}

@test "EADDRINUSE: two sockets share a port, and the other one listens first" {
    needs strace
    start server "${inside[@]}" strace -D -qq -o "$log/trace" -e trace=bind \
        -e inject=bind:signal=STOP bin/06-accept-one "$at"
    stopped() { [[ $(<"/proc/$pid/stat") == *") "[Tt]" "* ]]; }
    eventually grep -q 'SIGSTOP' "$log/trace"
    eventually stopped
    start other "${inside[@]}" bin/06-accept-one "$at"
    other=$pid pid=${started[-2]}
    saw other '^listen: '
    kill -CONT "$pid"
    ended "$pid"
    ((status == 1))
    grep -q '^06-accept-one: listen .* (EADDRINUSE)$' "$log/server"
    [[ $(tail -n 3 "$log/server") == "$in_use" ]]
    in_use "$port"
    [[ $rows == *'users:(("06-accept-one"'* ]]
}

@test "EADDRINUSE: no port of the kernel's range is free, and another port is" {
    needs network
    on_it bash -c 'echo 50122 50122 >/proc/sys/net/ipv4/ip_local_port_range'
    start one "${inside[@]}" bin/02-bind 127.0.0.1:0
    saw one '^The port is ours'
    hinted EADDRINUSE bin/02-bind 127.0.0.1:0
    [[ $hint == "$in_use" ]]
    on_it bin/02-bind "$at" </dev/null
}

@test "EACCES: 02-bind shows the lowest port that needs no privilege" {
    needs low-ports network
    export -f as_student
    local limit lowest
    for limit in 1024 81; do
        on_it bash -c "echo $limit >/proc/sys/net/ipv4/ip_unprivileged_port_start"
        hinted EACCES bash -c 'as_student bin/02-bind 127.0.0.1:80'
        [[ $hint == "  try: a port that needs no privilege: bin/02-bind shows the lowest one" ]]
        lowest=$(on_it bin/02-bind "$at" </dev/null |
            sed -nE 's/^this kernel: ports below ([0-9]+) need privilege$/\1/p')
        on_it bash -c "as_student bin/02-bind 127.0.0.1:$lowest" </dev/null
        run -1 on_it bash -c "as_student bin/02-bind 127.0.0.1:$((lowest - 1))" </dev/null
    done
}

@test "EADDRNOTAVAIL of bind: 01-interfaces lists the addresses that can be bound" {
    local address foreign=(192.0.2.1:6666)
    lacks ipv6 || foreign+=('[2001:db8::1]:6666')
    for address in "${foreign[@]}"; do
        hinted EADDRNOTAVAIL bin/02-bind "$address"
        [[ $hint == "  try: an address of this machine: bin/01-interfaces lists them" ]]
    done
    # Each that it lists can be bound, even if its interface is down.
    needs network
    on_it ip -batch - <<'END'
link add e0 type veth peer name e1
addr add 192.0.2.1/24 dev e0
link set e0 up
link set e0 down
END
    run -0 on_it bin/01-interfaces
    [[ $output == *"e0: down"* ]]
    local addresses
    mapfile -t addresses < <(sed -nE 's/^    ([0-9a-f.:]*:[0-9a-f.:]*)\/.*/[\1]/p; s/^    ([0-9.]+)\/.*/\1/p' <<<"$output")
    ((${#addresses[@]} >= 2))
    [[ "${addresses[*]}" == *192.0.2.1* ]]
    for address in "${addresses[@]}"; do
        on_it bin/02-bind "$address:6666" </dev/null
    done
}

@test "bind: EINVAL and EAFNOSUPPORT, by fe80 without its interface and by mistakes in a program" {
    needs ipv6
    ! grep -q fsanitize bin/compile || skip "with SANITIZE=1 bin/common.o does not link with this"
    cat >"$log/mistakes.c" <<'END'
#include "common.h"
#include <string.h>
int main(int argc, char **argv)
{
    (void)argc;
    struct endpoint four = parse_endpoint("127.0.0.1:0"), six = parse_endpoint("[::1]:0");
    int s4 = socket(AF_INET, SOCK_STREAM, 0), s6 = socket(AF_INET6, SOCK_STREAM, 0);
    if (strcmp(argv[1], "twice") == 0 && bind(s4, &four.sa, four.length) == 0 &&
        bind(s4, &four.sa, four.length) < 0)
        die("bind %s", endpoint_text(&four).s);
    if (strcmp(argv[1], "four in six") == 0 && bind(s6, &four.sa, four.length) < 0)
        die("bind %s", endpoint_text(&four).s);
    if (strcmp(argv[1], "six in four") == 0 && bind(s4, &six.sa, six.length) < 0)
        die("bind %s", endpoint_text(&six).s);
    if (strcmp(argv[1], "family") == 0 && socket(45, SOCK_STREAM, 0) < 0)
        die("socket");
    return 0;
}
END
    cc -Icommon -D_POSIX_C_SOURCE=200809L -std=c17 -o "$log/mistakes" "$log/mistakes.c" bin/common.o
    local both="  try: bind a socket only once, with an address of its own IP version;
  an address that begins with fe80 needs its interface: [fe80::1%eth0]:6666."
    hinted EINVAL bin/02-bind '[fe80::1]:6666'
    [[ $hint == "$both" ]]
    hinted EINVAL "$log/mistakes" twice
    [[ $hint == "$both" ]]
    hinted EINVAL "$log/mistakes" "four in six"
    [[ $hint == "$both" ]]
    hinted EAFNOSUPPORT "$log/mistakes" "six in four"
    [[ $hint == "  try: an address of the IP version that socket() was called with" ]]
    hinted EAFNOSUPPORT "$log/mistakes" family
    [[ $hint == "  try: an IPv4 address: this machine may have no IPv6" ]]
}

@test "EMFILE: with more descriptors, up to the hard limit, it works" {
    ! grep -q fsanitize bin/compile || skip "with SANITIZE=1 the checks themselves need descriptors"
    local start='exec bin/08-endpoints 127.0.0.1:0'
    hinted EMFILE bash -c "ulimit -Sn 8; $start"
    [[ $hint == "  try: \`ulimit -Sn N\`, then start it again. N can be as high as \`ulimit -Hn\`." ]]
    on_it bash -c "ulimit -Sn 8; ulimit -Sn 20; $start" </dev/null
    on_it bash -c "ulimit -Sn 8; ulimit -Sn \$(ulimit -Hn); $start" </dev/null
    run -1 on_it bash -c 'ulimit -n 8; ulimit -Sn 9'
    # The servers of 07 and 11 run out of them while they serve: they say so in three lines.
    start server "${inside[@]}" bash -c "ulimit -n 5; exec bin/07-accept-many $at"
    saw server '^listen: '
    for _ in 1 2; do
        start client "${inside[@]}" bin/05-connect "$at"
    done
    saw server 'new clients wait until another one leaves$'
    grep -q "^07-accept-many: accept on $at: .* (EMFILE)\$" "$log/server"
    run ! grep -E '.{81}' "$log/server"
}

# ---- datagrams ----

@test "EMSGSIZE: a datagram has room for as many bytes as the hint says, and for no more" {
    local where sizes=("$at 65507") size
    lacks ipv6 || sizes+=("[::1]:$port 65527")
    for where in "${sizes[@]}"; do
        size=${where#* }
        run -0 on_it bash -c 'head -c "$1" /dev/zero | bin/13-datagrams "$0"' "${where% *}" "$size"
        [[ ${lines[-1]} == "sendto: $size bytes from port "* ]]
        run -0 on_it bash -c 'head -c "$1" /dev/zero | bin/13-datagrams "$0"' "${where% *}" $((size + 1))
        echo "$output"
        [[ $output == *" (EMSGSIZE)"$'\n'"  try: at most 65507 bytes in a datagram over IPv4, and 65527 over IPv6" ]]
    done
}

@test "EACCES of sendto: a broadcast address, which --broadcast allows; or a rule of this machine" {
    local hello='echo hello | bin/13-datagrams "$@"'
    rule="  try: --broadcast, for a broadcast address. Otherwise a rule forbids it."
    hinted EACCES bash -c "$hello" - "127.255.255.255:$port"
    [[ $hint == "$rule" ]]
    run -0 on_it bash -c "$hello" - --broadcast "127.255.255.255:$port"
    needs network
    on_it ip route add prohibit 192.0.2.66
    hinted EACCES bash -c "$hello" - --broadcast 192.0.2.66:6666
    [[ $hint == "$rule" ]]
}

# ---- connect ----

refused="  No program listens on this address and port. Or a firewall refuses."
no_answer="  No answer. Is the machine on, the server busy? Does a firewall drop packets?"
no_host="  Not reached: is the machine on, is the address right? Or a firewall refuses."
no_route="  No route leads there. Is this machine connected, is the address right?"

@test "ECONNREFUSED: nothing listens; or at another address; or a program has only bound the port" {
    hinted ECONNREFUSED bin/05-connect "$at"
    [[ $hint == "$refused" ]]
    start server "${inside[@]}" bin/06-accept-one "127.0.0.2:$port"
    saw server '^listen: '
    hinted ECONNREFUSED bin/05-connect "$at"
    [[ $hint == "$refused" ]]
    kill -KILL "$pid"
    ended "$pid"
    start owner "${inside[@]}" bin/02-bind "$at"
    saw owner '^The port is ours'
    hinted ECONNREFUSED bin/05-connect "$at"
    [[ $hint == "$refused" ]]
}

# firewall ANSWER   192.0.2.66 is a machine of our network, and what is sent to it gets lost. A
# firewall answers in its place: "reset", or an ICMP message of type 3 with this code. "": nobody does.
firewall() {
    needs network
    on_it ip -batch - <<'END'
link add e0 type veth peer name e1
addr add 192.0.2.1/24 dev e0
link set e0 up
link set e1 up
neigh add 192.0.2.66 lladdr 02:00:00:00:00:99 dev e0
END
    on_it bash -c 'echo 1 >/proc/sys/net/ipv4/tcp_syn_retries'
    [[ -n $1 ]] || return 0
    start firewall "${inside[@]}" perl -e '
        use strict; use Socket; $| = 1;
        sub sum { my $n = 0; $n += $_ for unpack "n*", $_[0] . "\0" x (length($_[0]) % 2);
            $n = ($n & 65535) + ($n >> 16) for 1, 2; return ~$n & 65535 }
        socket my $all, 17, 3, unpack("S", pack "n", 3) or die $!; # AF_PACKET: all packets
        socket my $raw, AF_INET, SOCK_RAW, 255 or die $!;
        print "ready\n";
        while (recv $all, my $frame, 2000, 0) {
            my ($type, $ip) = (unpack("x12 n", $frame), substr $frame, 14);
            next if $type != 0x800 || unpack("x9 C", $ip) != 6 || inet_ntoa(substr $ip, 16, 4) ne "192.0.2.66";
            my ($from, $to, $seq) = unpack "x20 n n N", $ip;
            my ($client, $server, $data, $protocol) = (substr($ip, 12, 4), substr($ip, 16, 4));
            if ($ARGV[0] eq "reset") { # RST and ACK
                $protocol = 6;
                $data = pack "n n N N C C n n n", $to, $from, 0, $seq + 1, 0x50, 0x14, 0, 0, 0;
                substr $data, 16, 2, pack "n", sum($server . $client . pack("n n", 6, 20) . $data);
            } else {
                $protocol = 1;
                $data = pack("C C n N", 3, $ARGV[0], 0, 0) . substr $ip, 0, 28;
                substr $data, 2, 2, pack "n", sum($data);
            }
            send $raw, pack("C C n n n C C n", 0x45, 0, 20 + length $data, 0, 0, 64, $protocol, 0) .
                $server . $client . $data, 0, pack_sockaddr_in(0, $client) or die $!;
        }' "$1"
    saw firewall '^ready'
}

@test "ECONNREFUSED: a firewall resets the connection" {
    firewall reset
    hinted ECONNREFUSED bin/05-connect 192.0.2.66:6666
    [[ $hint == "$refused" ]]
}

@test "ECONNREFUSED: a firewall says that the port cannot be reached (ICMP)" {
    firewall 3
    hinted ECONNREFUSED bin/05-connect 192.0.2.66:6666
    [[ $hint == "$refused" ]]
}

@test "ETIMEDOUT: packets get lost, and the kernel gives up; or --timeout does" {
    firewall ""
    hinted ETIMEDOUT bin/05-connect 192.0.2.66:6666
    [[ $hint == "$no_answer" ]]
    # Nobody has this address, and that would be known only later.
    hinted ETIMEDOUT bin/05-connect --timeout 1 192.0.2.77:6666
    [[ $hint == "$no_answer" ]]
}

@test "ETIMEDOUT: the server's queue is full: it is busy, or stopped (^Z)" {
    start server "${inside[@]}" bin/06-accept-one --backlog 0 "$at"
    local server=$pid
    saw server '^listen: '
    start first "${inside[@]}" bin/05-connect "$at"
    saw server 'connected$'
    start second "${inside[@]}" bin/05-connect "$at"
    saw second '^connect: '
    hinted ETIMEDOUT bin/05-connect --timeout 1 "$at"
    [[ $hint == "$no_answer" ]]
    kill -STOP "$server"
    hinted ETIMEDOUT bin/05-connect --timeout 1 "$at"
    [[ $hint == "$no_answer" ]]
}

@test "EHOSTUNREACH: nobody has this address" {
    firewall ""
    on_it ip ntable change name arp_cache dev e0 mcast_probes 1 retrans 300
    hinted EHOSTUNREACH bin/05-connect 192.0.2.77:6666
    [[ $hint == "$no_host" ]]
}

@test "EHOSTUNREACH: a router does not reach the machine (ICMP)" {
    firewall 1
    hinted EHOSTUNREACH bin/05-connect 192.0.2.66:6666
    [[ $hint == "$no_host" ]]
}

@test "EHOSTUNREACH: a firewall forbids it (ICMP)" {
    firewall 10
    hinted EHOSTUNREACH bin/05-connect 192.0.2.66:6666
    [[ $hint == "$no_host" ]]
}

@test "ENETUNREACH: this machine has no route, IPv4 and IPv6" {
    needs network
    hinted ENETUNREACH bin/05-connect 192.0.2.66:6666
    [[ $hint == "$no_route" ]]
    needs ipv6
    hinted ENETUNREACH bin/05-connect '[2001:db8::1]:6666'
    [[ $hint == "$no_route" ]]
}

@test "ENETUNREACH: a router has no route (ICMP)" {
    firewall 0
    hinted ENETUNREACH bin/05-connect 192.0.2.66:6666
    [[ $hint == "$no_route" ]]
}

@test "EACCES of connect: a rule of this machine" {
    needs network
    on_it ip route add prohibit 192.0.2.66
    hinted EACCES bin/05-connect 192.0.2.66:6666
    [[ $hint == "  A rule on this machine forbids it (a firewall, or a prohibited route)." ]]
}

@test "EADDRNOTAVAIL of connect: no ephemeral port is left, or IPv6 is off" {
    needs network
    local none="  No address of this machine fits (no IPv6?), or no ephemeral port is left."
    start server "${inside[@]}" bin/07-accept-many "$at"
    saw server '^listen: '
    on_it bash -c 'echo 50122 50122 >/proc/sys/net/ipv4/ip_local_port_range'
    start client "${inside[@]}" bin/05-connect "$at"
    saw client '^connect: '
    hinted EADDRNOTAVAIL bin/05-connect "$at"
    [[ $hint == "$none" ]]
    on_it ip -6 address flush dev lo
    run -1 on_it bin/05-connect "[::1]:$port" </dev/null
    [[ $output == *"(EADDRNOTAVAIL)"$'\n'"$none" || $output == *"(EAFNOSUPPORT)"* ]]
}

@test "EINVAL of connect: fe80 without its interface" {
    needs ipv6
    hinted EINVAL bin/05-connect '[fe80::1]:6666'
    [[ $hint == "  If the address begins with fe80, it lacks its interface: [fe80::1%eth0]:6666." ]]
}

@test "EAI_NONAME: a name that cannot be one; an interface that is not there" {
    local name
    for name in a..b '[fe80::1%nope]'; do # no name server is asked for these
        hinted EAI_NONAME bin/05-connect "$name:6666"
        [[ $hint == "  No address was found for this name: is it spelled right?" ]]
    done
}

# resolved_by TEXT COMMAND...   runs it where /etc/resolv.conf has this text.
resolved_by() {
    printf '%s\n' "$1" >"$log/resolv.conf"
    printf 'hosts: dns\n' >"$log/nsswitch.conf"
    bash -c 'mount --bind "$0/resolv.conf" /etc/resolv.conf &&
        mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf && exec "$@"' "$log" "${@:2}"
}

@test "EAI_AGAIN: no name server answers; or one says that it cannot" {
    needs network
    "${inside[@]}" unshare --mount true 2>/dev/null || skip "needs a mount namespace"
    export -f resolved_by
    export log
    local asks=(unshare --mount bash -c 'resolved_by "nameserver 127.0.0.1" bin/05-connect www.example.com:80')
    hinted EAI_AGAIN "${asks[@]}"
    [[ $hint == "  No name server could answer: is this machine connected?" ]]
    start names "${inside[@]}" perl -e 'use Socket; $| = 1;
        socket S, AF_INET, SOCK_DGRAM, 0; bind S, pack_sockaddr_in 53, INADDR_LOOPBACK or die $!;
        print "ready\n";
        while (my $from = recv S, my $q, 2000, 0) { substr $q, 2, 2, pack "n", 0x8182; send S, $q, 0, $from }'
    saw names '^ready'
    hinted EAI_AGAIN "${asks[@]}"
    [[ $hint == "  No name server could answer: is this machine connected?" ]]
}
