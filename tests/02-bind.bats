# Lesson 02: a port is acquired, held and given back. Oracles: strace, /proc, a second bind (perl).
# shellcheck disable=SC2154 # log, pid, inside, stderr: helpers.bash and bats set them
load helpers

setup_file() {
    port_6666_is_free
}

# Each test has a machine of its own: its ports are free, and its limits can be changed.
setup() {
    machine
}

# on_it COMMAND...   runs a command on that machine, for 5 seconds at most, with no descriptors but
# 0, 1 and 2.
on_it() {
    "${inside[@]}" timeout -s KILL 5 "$@" 3>&- 4>&-
}

# hold NAME [HOST:PORT]   starts the program, and waits until it has the port.
hold() {
    start "$1" "${inside[@]}" bin/02-bind "${@:2}"
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
    hold one 127.0.0.1:6666
    local first=$pid
    hold two 127.0.0.1:6667
    [[ $(one_more 127.0.0.1 6666) == EADDRINUSE ]]
    [[ $(one_more 127.0.0.1 6667) == EADDRINUSE ]]
    [[ $(one_more 127.0.0.1 6668) == ok ]]

    # Either gives back its own one, and no other.
    kill "$first"
    ended "$first"
    [[ $(one_more 127.0.0.1 6666) == ok ]]
    [[ $(one_more 127.0.0.1 6667) == EADDRINUSE ]]
}

@test "claim 5: the ports 6666 of TCP and of UDP are two different things" {
    hold one 127.0.0.1:6666
    [[ $(one_more 127.0.0.1 6666 udp) == ok ]]
    [[ $(one_more 127.0.0.1 6666) == EADDRINUSE ]]
}

@test "claim 6: there are 2^16 ports: 65535 binds, 65536 is no port" {
    hold last 127.0.0.1:65535
    [[ $(one_more 127.0.0.1 65535) == EADDRINUSE ]]
    run -2 --separate-stderr on_it bin/02-bind 127.0.0.1:65536 </dev/null
    [[ -z $output ]]
    [[ $stderr == '02-bind: "65536" is not a port: '*"0 to 65535"*$'\n'"usage: "* ]]
}

@test "claim 6: the limits told are those of the kernel, also after they have changed" {
    local limit=/proc/sys/net/ipv4/ip_unprivileged_port_start
    local range=/proc/sys/net/ipv4/ip_local_port_range
    local first last new told
    for new in "" "80 40000 40999" "0 1024 65535"; do
        if [[ -n $new && -n ${inside[*]} ]]; then
            on_it bash -c "echo ${new%% *} >$limit; echo ${new#* } >$range"
        fi
        read -r first last < <(on_it cat "$range")
        run -0 on_it bin/02-bind 127.0.0.1:0 </dev/null
        told="ports below $(on_it cat "$limit") need privilege"
        [[ $told != *" 0 "* ]] || told="no port needs privilege"
        [[ ${lines[0]} == "this kernel: $told" ]]
        [[ ${lines[1]} == "this kernel: it chooses from ports $first to $last itself "* ]]
        [[ -z $new || -z ${inside[*]} || $new == *" $first $last" ]]
    done
}

@test "claim 6: port 0 is no port: the kernel chooses a free one of its range" {
    local first last port
    read -r first last < <(on_it cat /proc/sys/net/ipv4/ip_local_port_range)
    hold any 127.0.0.1:0
    port=$(port_of any)
    ((port >= first && port <= last))
    [[ $(one_more 127.0.0.1 "$port") == EADDRINUSE ]]
    saw any "^port 0 is the bytes 00 00 "

    # What it says is what getsockname() was told.
    traced 127.0.0.1:0
    port=$(sed -nE 's/^bind: .*:([0-9]+)$/\1/p' <<<"$output")
    grep -q '^bind(.*sin_port=htons(0)' "$log/trace"
    grep -q "^getsockname(.*sin_port=htons($port)" "$log/trace"
}

@test "claim 6: of a range of two ports the kernel gives both, and then none" {
    [[ -n ${inside[*]} ]] || return 0
    on_it bash -c 'echo 50122 50123 >/proc/sys/net/ipv4/ip_local_port_range'
    hold one 127.0.0.1:0
    hold two 127.0.0.1:0
    [[ $(sort <(port_of one) <(port_of two)) == 50122$'\n'50123 ]]
    run -1 --separate-stderr on_it bin/02-bind 127.0.0.1:0 </dev/null
    [[ $stderr == "02-bind: bind 127.0.0.1:0: "*" (EADDRINUSE)"* ]]
}

@test "claim 7: from bind on the port is held, by a socket of this process, until close" {
    [[ $(one_more 127.0.0.1 6666) == ok ]]
    hold one
    [[ $(one_more 127.0.0.1 6666) == EADDRINUSE ]]
    [[ $(sed -nE 's/^bind: (.*)/\1/p' "$log/one") == "fd 3 is 127.0.0.1:6666" ]]
    [[ $(readlink "/proc/$pid/fd/3") == socket:* ]]

    # It has a port, and still nobody can talk to it: that needs listen(), or connect(). (A newer ss
    # shows it, as UNCONN.)
    if [[ ${inside[*]} ]]; then
        on_it ss -Htan >"$log/sockets"
        run -1 grep -v '^UNCONN' "$log/sockets"
    fi
    run -1 on_it bin/05-connect 127.0.0.1:6666 </dev/null
    [[ $output == *ECONNREFUSED* ]]

    echo 1<>"$log/one.in"
    ended "$pid"
    ((status == 0))
    [[ $(one_more 127.0.0.1 6666) == ok ]]
}

@test "claim 7: the calls told are the calls made, in that order and with these results" {
    traced 127.0.0.1:6666
    local ip='sin_addr=inet_addr("127.0.0.1")' told calls
    mapfile -t calls <"$log/trace"
    [[ ${calls[0]} =~ ^"socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<" ]]
    [[ ${calls[1]} =~ ^"bind(3<".*">, {sa_family=AF_INET, sin_port=htons(6666), $ip}, 16) = 0"$ ]]
    [[ ${calls[2]} =~ ^"getsockname(3<".*" {sa_family=AF_INET, sin_port=htons(6666), $ip}, "\[ ]]
    [[ ${calls[2]} == *" = 0" ]]
    [[ ${calls[3]} =~ ^"close(3<".*">)"\ +"= 0"$ ]]
    ((${#calls[@]} == 4))
    told=$(sed -n '3,$p' <<<"$output")
    [[ $told == "port 6666 is the bytes 1a 0a in network order; "*"
socket: fd 3
bind: fd 3 is 127.0.0.1:6666
The port is ours. Enter ends this.
close: fd 3; 127.0.0.1:6666 is free again" ]]
}

@test "claim 7: an IPv6 port is held, and is not the IPv4 one" {
    hold six "[::1]:6666"
    saw six '^bind: fd 3 is \[::1\]:6666$'
    [[ $(one_more ::1 6666) == EADDRINUSE ]]
    [[ $(one_more 127.0.0.1 6666) == ok ]]
    traced "[::1]:6667"
    grep -qF "sin6_port=htons(6667)" "$log/trace"
    grep -qF 'inet_pton(AF_INET6, "::1", &sin6_addr)' "$log/trace"
}

@test "claim 7: a link-local address needs its interface, and takes no other" {
    [[ -n ${inside[*]} ]] || return 0
    on_it ip -batch - <<'END'
link add name eth0 type bridge
link set eth0 up
addr add fe80::1/64 dev eth0 nodad
link add name eth1 type bridge
link set eth1 up
END
    traced "[fe80::1%eth0]:6666"
    [[ $output == *"bind: fd 3 is [fe80::1%eth0]:6666"* ]]
    grep -q '^bind(.*sin6_scope_id=if_nametoindex("eth0").* = 0$' "$log/trace"
    run -1 on_it bin/02-bind "[fe80::1]:6666" </dev/null
    [[ $output == *EINVAL*"[fe80::1%eth0]:6666"* ]]
    run -1 on_it bin/02-bind "[fe80::1%eth1]:6666" </dev/null
    [[ $output == *EADDRNOTAVAIL* ]]
    run -2 on_it bin/02-bind "[fe80::1%eth7]:6666" </dev/null
    [[ $output == *'"eth7" is not an interface of this machine'* ]]
}

@test "an address of another machine cannot be bound: EADDRNOTAVAIL, and what to try" {
    run -1 --separate-stderr on_it bin/02-bind 192.0.2.1:6666 </dev/null
    [[ $stderr == "02-bind: bind 192.0.2.1:6666: Cannot assign requested address (EADDRNOTAVAIL)
  try: "*bin/01-interfaces* ]]
    [[ $output != *"bind: "* ]]
    [[ -z ${inside[*]} ]] || on_it ip addr add 192.0.2.1/24 dev lo
    [[ -z ${inside[*]} ]] || run -0 on_it bin/02-bind 192.0.2.1:6666 </dev/null
    run -1 --separate-stderr on_it bin/02-bind "[2001:db8::1]:6666" </dev/null
    [[ $stderr == "02-bind: bind [2001:db8::1]:6666: "*"(EADDRNOTAVAIL)"* ]]
}

@test "stumble 11: the bytes of the port, in network order and as this machine has them" {
    local port told
    for port in 6666 4096 8080 65535; do # all open to an ordinary user
        # shellcheck disable=SC2016 # the variables are perl's
        told=$(perl -MSocket=:all -e '
            my $port = shift;
            my @network = unpack("x2 H2 H2", pack_sockaddr_in($port, INADDR_ANY));
            my @here = unpack("H2 H2", pack("S", $port));
            print "port $port is the bytes @network in network order; ",
                "@here as this machine stores it";' "$port")
        traced "127.0.0.1:$port"
        [[ ${lines[2]} == "$told" ]]
        grep -q "^bind(.*sin_port=htons($port).* = 0$" "$log/trace"
    done
}

@test "stumble 23: below the limit an ordinary user gets EACCES, and from it on the port" {
    local file=/proc/sys/net/ipv4/ip_unprivileged_port_start limit
    limit=$(on_it cat "$file")
    export -f as_student
    student() {
        # shellcheck disable=SC2016 # $1 is for the shell inside
        on_it bash -c 'as_student bin/02-bind "127.0.0.1:$1"' student "$1" </dev/null
    }
    run -0 student "$((limit > 0 ? limit : 1))"
    [[ -n ${inside[*]} ]] || return 0

    ((limit > 80))
    local port
    for port in 80 "$((limit - 1))"; do
        run -1 --separate-stderr student "$port"
        [[ $output == *"ports below $limit need privilege"* && $output != *"bind: "* ]]
        [[ $stderr == "02-bind: bind 127.0.0.1:$port: Permission denied (EACCES)
  try: "*privilege* ]]
    done

    # Not always: for whoever has the privilege it binds, and for all when the limit is lower.
    run -0 on_it bin/02-bind 127.0.0.1:80 </dev/null
    on_it bash -c "echo 80 >$file"
    run -0 student 80
    [[ $output == *"ports below 80 need privilege"*"bind: fd 3 is 127.0.0.1:80"* ]]
    run -1 student 79
    [[ $output == *EACCES* ]]
}

@test "Enter, also after other text, ends it; the port is free again" {
    hold one
    printf 'no line yet' 1<>"$log/one.in"
    [[ $(one_more 127.0.0.1 6666) == EADDRINUSE ]]
    echo 1<>"$log/one.in"
    ended "$pid"
    ((status == 0))
    saw one '^close: fd 3; 127.0.0.1:6666 is free again$'
    [[ $(one_more 127.0.0.1 6666) == ok ]]
}

@test "end of input ends it" {
    run -0 --separate-stderr on_it bin/02-bind </dev/null
    [[ $output == *"close: fd 3; 127.0.0.1:6666 is free again" && -z $stderr ]]
    run -0 on_it bin/02-bind < <(printf 'text without an end of line')
    [[ $output == *"close: fd 3; 127.0.0.1:6666 is free again" ]]
}

@test "SIGINT and SIGTERM end it with status 0; the port is free again" {
    local signal
    for signal in INT TERM; do
        hold "$signal"
        kill -s "$signal" "$pid"
        ended "$pid"
        ((status == 0))
        saw "$signal" '^close: fd 3; 127.0.0.1:6666 is free again$'
        [[ $(one_more 127.0.0.1 6666) == ok ]]
    done
}
