# Lesson 02: a port is acquired, held and given back. Oracles: strace, /proc, a second bind (perl).
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, inside, stderr: helpers.bash and bats set them
load ../lib/helpers

# Each test has a machine of its own, if that is to be had: its limits can be changed. On the machine
# itself it has ports of its own, $port and the next ones (the program does without SO_REUSEADDR).
setup() {
    machine
}

# on_it COMMAND...   runs a command on that machine, with no descriptors but 0, 1 and 2.
on_it() {
    "${inside[@]}" timeout -s KILL "$patience" "$@" 3>&- 4>&-
}

# hold NAME HOST:PORT   starts the program, and waits until it has the port.
hold() {
    start "$1" "${inside[@]}" bin/02-bind "$2"
    saw "$1" "^The port is ours"
}

# one_more ADDRESS PORT [udp]   prints what the kernel says to a socket that binds there: ok, or the
# name of the error.
one_more() {
    # shellcheck disable=SC2016 # the variables are perl's
    on_it perl -MSocket=:all -MErrno -e '
        my ($host, $port, $udp) = @ARGV;
        my $v6 = $host =~ /:/;
        socket(my $s, $v6 ? AF_INET6 : AF_INET, $udp ? SOCK_DGRAM : SOCK_STREAM, 0) or die $!;
        my $ip = inet_pton($v6 ? AF_INET6 : AF_INET, $host);
        my $at = $v6 ? pack_sockaddr_in6($port, $ip) : pack_sockaddr_in($port, $ip);
        print bind($s, $at) ? "ok" : grep { $!{$_} } sort keys %!;' "$@"
}

# port_of NAME   prints the port that the program says it has got.
port_of() {
    sed -nE 's/^bind: .*:([0-9]+)$/\1/p' "$log/$1"
}

# traced HOST:PORT   runs the program to its end under strace: its words are in $output, all its
# calls for sockets, and the close of one, in $log/trace.
traced() {
    run -0 on_it strace -y -qq -o "$log/calls" -e trace=%network,close \
        bin/02-bind "$1" </dev/null
    grep -v '^close.*</' "$log/calls" >"$log/trace"
}

@test "claim 5: two programs hold two ports of one address" {
    hold one "$at"
    local first=$pid
    hold two "127.0.0.1:$((port + 1))"
    [[ $(one_more 127.0.0.1 "$port") == EADDRINUSE ]]
    [[ $(one_more 127.0.0.1 $((port + 1))) == EADDRINUSE ]]
    [[ $(one_more 127.0.0.1 $((port + 2))) == ok ]]

    # Either gives back its own one, and no other.
    kill "$first"
    ended "$first"
    [[ $(one_more 127.0.0.1 "$port") == ok ]]
    [[ $(one_more 127.0.0.1 $((port + 1))) == EADDRINUSE ]]
}

@test "claim 5: a port of TCP and the same one of UDP are two different things" {
    hold one "$at"
    [[ $(one_more 127.0.0.1 "$port" udp) == ok ]]
    [[ $(one_more 127.0.0.1 "$port") == EADDRINUSE ]]
}

@test "claim 6: there are 2^16 ports: 65535 binds, 65536 is not a port" {
    hold last 127.0.0.1:65535
    [[ $(one_more 127.0.0.1 65535) == EADDRINUSE ]]
    run -2 --separate-stderr on_it bin/02-bind 127.0.0.1:65536 </dev/null
    [[ -z $output ]]
    [[ $stderr == '02-bind: "65536" is not a port from 0 to 65535'$'\n'"usage: "* ]]
}

# tells_limits   the program tells the limits that the kernel has now.
tells_limits() {
    local first last told
    read -r first last < <(on_it cat /proc/sys/net/ipv4/ip_local_port_range)
    limit=$(on_it cat /proc/sys/net/ipv4/ip_unprivileged_port_start)
    run -0 on_it bin/02-bind 127.0.0.1:0 </dev/null
    told="ports below $limit need privilege"
    ((limit > 1)) || told="no port needs privilege"
    [[ ${lines[0]} == "this kernel: $told" ]]
    [[ ${lines[1]} == "this kernel: it chooses from ports $first to $last itself "* ]]
    limits="$limit $first $last"
}

@test "claim 6: the limits printed are those of the kernel, even after they have changed" {
    local new values limits
    tells_limits
    needs network
    for new in "80 40000 40999" "0 1024 65535"; do
        read -ra values <<<"$new"
        # shellcheck disable=SC2016 # the variables are for the shell inside
        on_it bash -c 'cd /proc/sys/net/ipv4 && echo "$1" >ip_unprivileged_port_start &&
            echo "$2 $3" >ip_local_port_range' - "${values[@]}"
        tells_limits
        [[ $limits == "$new" ]]
    done
}

@test "claim 6: port 0 is not a port: the kernel chooses a free one of its range" {
    local first last chosen
    read -r first last < <(on_it cat /proc/sys/net/ipv4/ip_local_port_range)
    hold any 127.0.0.1:0
    chosen=$(port_of any)
    ((chosen >= first && chosen <= last))
    [[ $(one_more 127.0.0.1 "$chosen") == EADDRINUSE ]]
    saw any "^port 0: bytes 00 00 "

    # What it says is what getsockname() was told.
    needs strace
    traced 127.0.0.1:0
    chosen=$(sed -nE 's/^bind: .*:([0-9]+)$/\1/p' <<<"$output")
    grep -q '^bind(.*sin_port=htons(0)' "$log/trace"
    grep -q "^getsockname(.*sin_port=htons($chosen)" "$log/trace"
}

@test "claim 6: of a range of two ports the kernel gives both, and then none" {
    needs network
    on_it bash -c 'echo 50122 50123 >/proc/sys/net/ipv4/ip_local_port_range'
    hold one 127.0.0.1:0
    hold two 127.0.0.1:0
    [[ $(sort <(port_of one) <(port_of two)) == 50122$'\n'50123 ]]
    run -1 --separate-stderr on_it bin/02-bind 127.0.0.1:0 </dev/null
    [[ $stderr == "02-bind: bind 127.0.0.1:0: "*" (EADDRINUSE)"* ]]
}

@test "claim 7: from bind on the port is held, by a socket of this process, until close" {
    [[ $(one_more 127.0.0.1 "$port") == ok ]]
    hold one "$at"
    [[ $(one_more 127.0.0.1 "$port") == EADDRINUSE ]]
    [[ $(sed -nE 's/^bind: (.*)/\1/p' "$log/one") == "fd 3 is $at" ]]
    [[ $(readlink "/proc/$pid/fd/3") == socket:* ]]

    # It has a port, and still nobody can talk to it: that needs listen(), or connect(). (A newer ss
    # shows it, as UNCONN.)
    on_it ss -Htan "sport = :$port" >"$log/sockets"
    run -1 grep -v '^UNCONN' "$log/sockets"
    run -1 on_it bin/05-connect "$at" </dev/null
    [[ $output == *ECONNREFUSED* ]]

    echo 1<>"$log/one.in"
    ended "$pid"
    ((status == 0))
    [[ $(one_more 127.0.0.1 "$port") == ok ]]
}

@test "claim 7: the calls printed are the calls made, in that order and with these results" {
    needs strace
    traced "$at"
    local ip='sin_addr=inet_addr("127.0.0.1")' told calls
    mapfile -t calls <"$log/trace"
    [[ ${calls[0]} =~ ^"socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<" ]]
    [[ ${calls[1]} =~ ^"bind(3<".*">, {sa_family=AF_INET, sin_port=htons($port), $ip}, 16) = 0"$ ]]
    [[ ${calls[2]} =~ ^"getsockname(3<".*" {sa_family=AF_INET, sin_port=htons($port), $ip}, "\[ ]]
    [[ ${calls[2]} == *" = 0" ]]
    [[ ${calls[3]} =~ ^"close(3<".*">)"\ +"= 0"$ ]]
    ((${#calls[@]} == 4))
    told=$(sed -n '3,$p' <<<"$output")
    [[ $told == "port $port: bytes "*" in network byte order, "*"
socket: fd 3
bind: fd 3 is $at
The port is ours. Enter ends this.
close: fd 3; $at is free again" ]]
}

@test "claim 7: an IPv6 port is held, and is not the IPv4 one" {
    needs ipv6
    hold six "[::1]:$port"
    saw six "^bind: fd 3 is \[::1\]:$port$"
    [[ $(one_more ::1 "$port") == EADDRINUSE ]]
    [[ $(one_more 127.0.0.1 "$port") == ok ]]
    needs strace
    traced "[::1]:$((port + 1))"
    grep -qF "sin6_port=htons($((port + 1)))" "$log/trace"
    grep -qF 'inet_pton(AF_INET6, "::1", &sin6_addr)' "$log/trace"
}

@test "claim 7: a link-local address needs its interface, and takes no other" {
    needs network ipv6
    on_it ip -batch - <<'END'
link add name eth0 type bridge
link set eth0 up
addr add fe80::1/64 dev eth0 nodad
link add name eth1 type bridge
link set eth1 up
END
    hold local "[fe80::1%eth0]:6667"
    saw local '^bind: fd 3 is \[fe80::1%eth0\]:6667$'
    run -1 on_it bin/02-bind "[fe80::1]:6666" </dev/null
    [[ $output == *EINVAL*"[fe80::1%eth0]:6666"* ]]
    run -1 on_it bin/02-bind "[fe80::1%eth1]:6666" </dev/null
    [[ $output == *EADDRNOTAVAIL* ]]
    run -2 on_it bin/02-bind "[fe80::1%eth7]:6666" </dev/null
    [[ $output == *'"eth7" is not an interface of this machine'* ]]
    needs strace
    traced "[fe80::1%eth0]:6666"
    grep -q '^bind(.*sin6_scope_id=if_nametoindex("eth0").* = 0$' "$log/trace"
}

@test "an address of another machine cannot be bound: EADDRNOTAVAIL, and what to try" {
    run -1 --separate-stderr on_it bin/02-bind 192.0.2.1:6666 </dev/null
    [[ $stderr == "02-bind: bind 192.0.2.1:6666: Cannot assign requested address (EADDRNOTAVAIL)
  try: "*bin/01-interfaces* ]]
    [[ $output != *"bind: "* ]]
    needs network
    on_it ip addr add 192.0.2.1/24 dev lo
    run -0 on_it bin/02-bind 192.0.2.1:6666 </dev/null
}

@test "an IPv6 address of another machine cannot be bound: EADDRNOTAVAIL" {
    needs ipv6
    run -1 --separate-stderr on_it bin/02-bind "[2001:db8::1]:6666" </dev/null
    [[ $stderr == "02-bind: bind [2001:db8::1]:6666: "*"(EADDRNOTAVAIL)"* ]]
}

@test "stumble 11: the bytes of the port, in network byte order and in this machine's memory" {
    local p told
    for p in "$port" 4096 "$((port + 1))" 65535; do # all open to an ordinary user
        # shellcheck disable=SC2016 # the variables are perl's
        told=$(perl -MSocket=:all -e '
            my $port = shift;
            my @network = unpack("x2 H2 H2", pack_sockaddr_in($port, INADDR_ANY));
            my @here = unpack("H2 H2", pack("S", $port));
            print "port $port: bytes @network in network byte order, @here in this machine\x27s memory";' "$p")
        run on_it bin/02-bind "127.0.0.1:$p" </dev/null # it may be taken, on the machine itself
        [[ ${lines[2]} == "$told" ]]
    done
    needs strace
    traced "$at"
    grep -q "^bind(.*sin_port=htons($port).* = 0$" "$log/trace"
}

@test "stumble 23: below the limit an ordinary user gets EACCES, and from it on the port" {
    local file=/proc/sys/net/ipv4/ip_unprivileged_port_start limit p
    limit=$(on_it cat "$file")
    export -f as_student
    student() {
        # shellcheck disable=SC2016 # $1 is for the shell inside
        on_it bash -c 'as_student bin/02-bind "127.0.0.1:$1"' student "$1" </dev/null
    }
    run -0 student "$((limit > 0 ? limit : 1))"
    needs low-ports
    for p in 80 "$((limit - 1))"; do
        run -1 --separate-stderr student "$p"
        [[ $output == *"ports below $limit need privilege"* && $output != *"bind: "* ]]
        [[ $stderr == "02-bind: bind 127.0.0.1:$p: Permission denied (EACCES)
  try: "*privilege* ]]
    done

    # Not always: for whoever has the privilege it binds, and for all when the limit is lower.
    needs network
    run -0 on_it bin/02-bind 127.0.0.1:80 </dev/null
    on_it bash -c "echo 80 >$file"
    run -0 student 80
    [[ $output == *"ports below 80 need privilege"*"bind: fd 3 is 127.0.0.1:80"* ]]
    run -1 student 79
    [[ $output == *EACCES* ]]
}

@test "Enter ends it, even after other text; the port is free again" {
    hold one "$at"
    printf 'no line yet' 1<>"$log/one.in"
    [[ $(one_more 127.0.0.1 "$port") == EADDRINUSE ]]
    echo 1<>"$log/one.in"
    ended "$pid"
    ((status == 0))
    saw one "^close: fd 3; $at is free again$"
    [[ $(one_more 127.0.0.1 "$port") == ok ]]
}

@test "end of input ends it" {
    run -0 --separate-stderr on_it bin/02-bind "$at" </dev/null
    [[ $output == *"close: fd 3; $at is free again" && -z $stderr ]]
    run -0 on_it bin/02-bind "$at" < <(printf 'text without an end of line')
    [[ $output == *"close: fd 3; $at is free again" ]]
}

@test "SIGINT and SIGTERM end it with status 0; the port is free again" {
    local signal
    for signal in INT TERM; do
        hold "$signal" "$at"
        kill -s "$signal" "$pid"
        ended "$pid"
        ((status == 0))
        saw "$signal" "^close: fd 3; $at is free again$"
        [[ $(one_more 127.0.0.1 "$port") == ok ]]
    done
}
