# Lesson 03: one port, two programs. Oracles: strace, ss, and the same sockets made in perl.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, inside, stderr: helpers.bash and bats set them
load ../lib/helpers
# needs the machine to itself (tests/lib/run): it counts what is in TIME_WAIT

# Each test has a machine of its own, where every port is free, if that is to be had. On the machine
# itself it has ports of its own, $port and the next ones (the program does without SO_REUSEADDR).
setup() {
    machine
    closed >"$log/before"
}

# on_it COMMAND...   runs a command on that machine, with no descriptors but 0, 1 and 2.
on_it() {
    "${inside[@]}" timeout -s KILL "$patience" "$@" 3>&- 4>&-
}

# closed   the connections in TIME_WAIT there, a line for each: LOCAL PEER.
closed() {
    on_it ss -Htan state time-wait | awk '{ print $3, $4 }'
}

# left sport|dport PORT   how many of these have come since the test began, with that port on our side,
# or on the peer's?
left() {
    closed | grep -vxFf "$log/before" | awk -v side="$1" -v port="$2" '
        (side == "sport" ? $1 : $2) ~ ":" port "$" { n++ } END { print n + 0 }'
}

# A small language for pairs of sockets, in perl. Each argument is a word of it:
#   tcp:HOST[:OPTION] udp:HOST[:OPTION]  a new socket, with one of the options SO_... and IPV6_...
#   bind:N listen:N                      the call for the Nth socket: " ok" or its error is printed
#   end                                  all are closed, the line ends; a new pair can begin
# The port is $PORT, or for each pair one that is free.
pairs=$(
    cat <<'END'
use Socket qw(:all);
use Errno;
sub said { print $_[0] ? " ok" : " " . (grep { $!{$_} && !/^ENOTSUP$/ } sort keys %!)[0] }
sub at {
    my ($host, $port) = @_;
    return pack_sockaddr_in6($port, inet_pton(AF_INET6, $1)) if $host =~ /^\[(.*)\]$/;
    return pack_sockaddr_in($port, inet_aton($host));
}
sub free_port {
    socket(my $any, AF_INET, SOCK_STREAM, 0) or die $!;
    bind($any, at("0.0.0.0", 0)) or die $!;
    return (unpack_sockaddr_in(getsockname($any)))[0];
}
my (@socket, @host, $port);
for (@ARGV) {
    $port ||= $ENV{PORT} || free_port();
    if (/^(tcp|udp):(\[.*\]|[^:]*)(?::(\w+))?$/) {
        my ($type, $host, $option) = ($1, $2, $3);
        socket(my $s, $host =~ /^\[/ ? AF_INET6 : AF_INET,
            $type eq "udp" ? SOCK_DGRAM : SOCK_STREAM, 0) or die $!;
        setsockopt($s, $option eq "IPV6_V6ONLY" ? IPPROTO_IPV6 : SOL_SOCKET,
            Socket->can($option)->(), 1) or die $! if $option;
        push @socket, $s;
        push @host, $host;
    }
    elsif (/^bind:(\d)$/) { said(bind($socket[$1], at($host[$1], $port))) }
    elsif (/^listen:(\d)$/) { said(listen($socket[$1], 1)) }
    elsif ($_ eq "end") { print "\n"; @socket = @host = (); $port = 0 }
    else { die "what is $_?" }
}
END
)

# says_to_bind ADDRESS PORT   prints what the kernel says to one more socket that binds there.
says_to_bind() {
    PORT=$2 on_it perl -e "$pairs" "tcp:$1" bind:0
}

# A server in perl, with three arguments: who closes first, the server (1) or its client (0); has
# the old server SO_REUSEADDR (1) or not (0); has the new one? Prints the port, and what the kernel
# says to the new server's bind and listen.
restart=$(
    cat <<'END'
use Socket qw(:all);
use Errno;
sub said { print $_[0] ? " ok" : " " . (grep { $!{$_} } sort keys %!)[0]; $_[0] }
my ($server_first, $old, $new) = map { $_ + 0 } @ARGV;
my $at = pack_sockaddr_in(0, inet_aton("127.0.0.1"));
my ($listener, $client, $accepted, $again);
socket($listener, AF_INET, SOCK_STREAM, 0) && socket($client, AF_INET, SOCK_STREAM, 0) &&
    setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, $old) && bind($listener, $at) &&
    listen($listener, 1) && connect($client, $at = getsockname($listener)) &&
    accept($accepted, $listener) or die $!;
my ($first, $second) = $server_first ? ($accepted, $client) : ($client, $accepted);
close($first);
sysread($second, my $byte, 1) == 0 or die "not closed";
close($second);
close($listener);
print +(unpack_sockaddr_in($at))[0];
socket($again, AF_INET, SOCK_STREAM, 0) or die $!;
setsockopt($again, SOL_SOCKET, SO_REUSEADDR, $new);
said(bind($again, $at)) && said(listen($again, 1));
print "\n";
END
)

# table   runs --table; its rows of pairs go to $log/pairs, those of restarts to $log/restarts, each
# with a word for each column (- for nothing); pairs for which this kernel has no IPv6 socket go to
# $log/no-ipv6, all other lines to $log/other.
table() {
    run -0 --separate-stderr on_it bin/03-bind-twice --table
    [[ -z $stderr ]]
    local host='127.0.0.1|127.0.0.2|0.0.0.0|\[::\]' option='[A-Z][A-Z0-9_]+' said='ok|E[A-Z]+|-'
    local row="^($host) +($option)? +(bound|listening) +($host) +($option)? +($said) +($said)$"
    local restart_row="^the (server|client) +($option|-) +($option|-) +($said) +($said)$"
    local line
    while IFS= read -r line; do
        if [[ $line == *EAFNOSUPPORT* ]]; then
            echo "$line" >&7
        elif [[ $line =~ $row ]]; then
            set -- "${BASH_REMATCH[@]:1}"
            echo "$1 ${2:--} $3 $4 ${5:--} $6 $7" >&5
        elif [[ $line =~ $restart_row ]]; then
            echo "${BASH_REMATCH[@]:1}" >&6
        else
            echo "$line"
        fi
    done <<<"$output" >"$log/other" 5>"$log/pairs" 6>"$log/restarts" 7>"$log/no-ipv6"
    [[ -s $log/pairs && -s $log/restarts ]]
}

# both   the table is one of both IPv4 and IPv6; the test is skipped where the kernel has no IPv6 at
# all. (It needs no address ::1.)
both() {
    [[ ! -s $log/no-ipv6 ]] || needs ipv6
    [[ ! -s $log/no-ipv6 ]]
}

# row WORD...   succeeds if the table has this row.
row() {
    grep -qxF -e "$*" "$log/pairs" "$log/restarts" && return
    echo "no row \"$*\" in"
    cat "$log/pairs" "$log/restarts"
    return 1
}

@test "claim 14: the second bind fails, with the error on one line and what to try below" {
    start one "${inside[@]}" bin/03-bind-twice "$at"
    saw one "^bind: fd 3 is $at$"
    run -1 --separate-stderr on_it bin/03-bind-twice "$at"
    [[ -z $output ]]
    ((${#stderr_lines[@]} == 4))
    [[ ${stderr_lines[0]} == \
        "03-bind-twice: bind $at: Address already in use (EADDRINUSE)" ]]
    [[ ${stderr_lines[1]} == "  try: "*"another port"* ]]

    # The kernel says the same to others; and the first program still has what it had.
    [[ $(says_to_bind 127.0.0.1 "$port") == *EADDRINUSE ]]
    [[ $(readlink "/proc/$pid/fd/3") == socket:* ]]

    # When the first one has ended, the second one gets the port.
    kill -INT "$pid"
    ended "$pid"
    ((status == 0))
    saw one "^close: fd 3; $at is free again$"
    run -0 on_it bin/03-bind-twice "$at" </dev/null
    [[ $output == *"bind: fd 3 is $at"* ]]
}

@test "claim 14: the error printed is that of the call" {
    needs strace
    start one "${inside[@]}" bin/03-bind-twice "$at"
    saw one "^The port is ours"
    run -1 on_it strace -qq -o "$log/trace" -e trace=bind bin/03-bind-twice "$at"
    [[ $(<"$log/trace") == *"htons($port)"*"= -1 EADDRINUSE (Address already in use)" ]]
}

@test "claim 14: with port 0 it prints the port that the kernel chose, for the second program" {
    start one "${inside[@]}" bin/03-bind-twice 127.0.0.1:0
    saw one "^The port is ours"
    at=$(sed -nE 's/^bind: fd 3 is (.*)/\1/p' "$log/one")
    [[ $at == 127.0.0.1:[1-9]* && $(says_to_bind 127.0.0.1 "${at#*:}") == *EADDRINUSE ]]
    run -1 on_it bin/03-bind-twice "$at"
    [[ $output == *"bind $at: "*"(EADDRINUSE)"* ]]
}

@test "claim 14: IPv6 as well: the second bind fails, on [::1] and on [::]" {
    needs ipv6
    start one "${inside[@]}" bin/03-bind-twice "[::1]:$port"
    saw one "^The port is ours"
    local where
    for where in "[::1]:$port" "[::]:$port"; do
        run -1 --separate-stderr on_it bin/03-bind-twice "$where"
        [[ $stderr == "03-bind-twice: bind $where: Address already in use (EADDRINUSE)"* ]]
    done
    run -0 on_it bin/03-bind-twice "$at" </dev/null
}

@test "claim 14: Enter, end of input, SIGINT and SIGTERM end it, and the port is free" {
    local how
    for how in Enter INT TERM; do
        start "$how" "${inside[@]}" bin/03-bind-twice "$at"
        saw "$how" "^The port is ours"
        [[ $(says_to_bind 127.0.0.1 "$port") == *EADDRINUSE ]]
        if [[ $how == Enter ]]; then echo 1<>"$log/Enter.in"; else kill -s "$how" "$pid"; fi
        ended "$pid"
        ((status == 0))
        [[ $(says_to_bind 127.0.0.1 "$port") == *ok ]]
    done
    run -0 on_it bin/03-bind-twice "$at" </dev/null
}

@test "claim 14 bends: another address, 127.0.0.2, has ports of its own" {
    table
    row 127.0.0.1 - bound 127.0.0.1 - EADDRINUSE -
    row 127.0.0.1 - bound 127.0.0.2 - ok ok
    start one "${inside[@]}" bin/03-bind-twice "$at"
    saw one "^The port is ours"
    run -0 on_it bin/03-bind-twice "127.0.0.2:$port" </dev/null
    run -1 on_it bin/03-bind-twice "0.0.0.0:$port" </dev/null
}

@test "claim 14 bends: IPv6-only beside IPv4, SO_REUSEPORT, and UDP beside TCP" {
    table
    row 127.0.0.1 SO_REUSEPORT listening 127.0.0.1 SO_REUSEPORT ok ok
    row 127.0.0.1 - listening 127.0.0.1 UDP ok EOPNOTSUPP
    both
    row '[::]' IPV6_V6ONLY bound 0.0.0.0 - ok ok
}

@test "claim 14 bends: a socket that is inherited over fork has two programs on one port" {
    # shellcheck disable=SC2016 # the variables are perl's
    start two "${inside[@]}" perl -MSocket=:all -e '
        socket(my $s, AF_INET, SOCK_STREAM, 0) or die $!;
        listen($s, 5) && defined fork() or die $!;
        $| = 1;
        print((unpack_sockaddr_in(getsockname($s)))[0] . " is of process $$\n");
        accept(my $client, $s) && print "process $$ has a client\n";'
    saw two "is of process" 2
    local port
    port=$(sed -n '1s/ .*//p' "$log/two")
    (($(grep -c "^$port is of" "$log/two") == 2))
    [[ $(on_it ss -Htln "sport = :$port" | wc -l) == 1 ]]
    start client1 "${inside[@]}" bin/05-connect "127.0.0.1:$port"
    start client2 "${inside[@]}" bin/05-connect "127.0.0.1:$port"
    saw two "has a client" 2
    [[ $(grep "has a client" "$log/two" | sort -u | wc -l) == 2 ]]
}

@test "claim 18: one address and port has one listener: the second listen fails" {
    table
    row 127.0.0.1 SO_REUSEADDR bound 127.0.0.1 SO_REUSEADDR ok EADDRINUSE
    # With a listener there, it is the second bind that fails.
    row 127.0.0.1 SO_REUSEADDR listening 127.0.0.1 SO_REUSEADDR EADDRINUSE -

    # The same with two programs of the course: one line in ss, before and after.
    start one "${inside[@]}" bin/06-accept-one "$at"
    saw one "^listen: "
    run -1 on_it bin/06-accept-one "$at"
    [[ $output == *"$at: Address already in use (EADDRINUSE)"* ]]
    [[ $(on_it ss -Htln "sport = :$port" | wc -l) == 1 ]]
}

@test "claim 18 bends: with SO_REUSEPORT two listen, the kernel distributes the clients" {
    table
    row 127.0.0.1 SO_REUSEPORT listening 127.0.0.1 SO_REUSEPORT ok ok
    # shellcheck disable=SC2016 # the variables are perl's
    run -0 on_it perl -MSocket=:all -e '
        my ($at, @listener, @client) = pack_sockaddr_in(0, inet_aton("127.0.0.1"));
        for (0, 1) {
            socket($listener[$_], AF_INET, SOCK_STREAM, 0) &&
                setsockopt($listener[$_], SOL_SOCKET, SO_REUSEPORT, 1) &&
                bind($listener[$_], $at) && listen($listener[$_], 100) or die $!;
            $at = getsockname($listener[0]);
        }
        print +(unpack_sockaddr_in($at))[0], "\n";
        for (1 .. 100) {
            socket($client[$_], AF_INET, SOCK_STREAM, 0) && connect($client[$_], $at) or die $!;
        }
        my $port = (unpack_sockaddr_in($at))[0];
        print qx(ss -Htln "sport = :$port");'
    # ss: state, Recv-Q (the clients that wait for accept), Send-Q, address.
    local port=${lines[0]}
    ((${#lines[@]} == 3))
    read -r _ first _ at1 _ <<<"${lines[1]}"
    read -r _ second _ at2 _ <<<"${lines[2]}"
    [[ $at1 == "127.0.0.1:$port" && $at2 == "$at1" ]]
    ((first > 0 && second > 0 && first + second == 100))
}

@test "--table: each pair of sockets, made by another program, gets the same answers" {
    table
    local host1 option1 state host2 option2 bind listen words=()
    while read -r host1 option1 state host2 option2 bind listen; do
        local type=tcp
        [[ $option2 != UDP ]] || type=udp option2=-
        words+=("tcp:$host1:$option1" bind:0)
        [[ $state == bound ]] || words+=(listen:0)
        words+=("$type:$host2:$option2" bind:1)
        printf ' ok'
        [[ $state == bound ]] || printf ' ok'
        printf ' %s' "$bind"
        if [[ $bind == ok ]]; then
            [[ $state == listening ]] || words+=(listen:0)
            words+=(listen:1)
            [[ $state == listening ]] || printf ' ok'
            printf ' %s' "$listen"
        else
            [[ $listen == - ]]
        fi
        words+=(end)
        echo
    done <"$log/pairs" >"$log/told"
    diff "$log/told" <(on_it perl -e "$pairs" "${words[@]//:-/}") || {
        nl "$log/pairs"
        return 1
    }

    # All lines are accounted for: a line about the port, two headings and a sentence.
    (($(cat "$log/pairs" "$log/no-ipv6" | wc -l) >= 15))
    [[ $(grep -cv '^$' "$log/other") == 4 ]]
    [[ -z $(sort "$log/pairs" | uniq -d) ]]
    # They fit on a terminal of 80 columns.
    run ! grep -E '.{80}' <<<"$output"
    both # else the rest of the table is not tested
}

@test "--table: each restart, made by another program, gets the same answers" {
    table
    local first old new bind listen p answer rows=0
    while read -r first old new bind listen; do
        [[ $first == server ]] && first=1 || first=0
        [[ $old == - ]] && old=0 || old=1
        [[ $new == - ]] && new=0 || new=1
        read -r p answer < <(on_it perl -e "$restart" "$first" "$old" "$new")
        echo "restart $first $old $new: the table tells $bind $listen, perl $answer"
        [[ ${answer/%EADDRINUSE/EADDRINUSE -} == "$bind $listen" ]]
        rows=$((rows + 1))

        # The end that closed first is in TIME_WAIT, and no other.
        local side=sport
        ((first)) || side=dport
        [[ $(left "$side" "$p") == 1 ]]
    done <"$log/restarts"
    ((rows >= 5))
    needs network # else there may be others
    [[ $(on_it ss -Htan state time-wait | wc -l) == $((2 * rows)) ]]
}

# What the table tells, as calls: "bind HOST ANSWER", "listen ANSWER", "set OPTION".
calls_of_table() {
    local host1 option1 state host2 option2 bind listen first old new
    set_of() {
        [[ $1 == - || $1 == UDP ]] || echo "set $1"
    }
    echo "bind [::] ok" # to find a free port
    while read -r host1 option1 state host2 option2 bind listen; do
        set_of "$option1"
        echo "bind $host1 ok"
        [[ $state == bound ]] || echo "listen ok"
        set_of "$option2"
        echo "bind $host2 $bind"
        [[ $bind == ok ]] || continue
        [[ $state == listening ]] || echo "listen ok"
        echo "listen $listen"
    done <"$log/pairs"
    while read -r first old new bind listen; do
        echo "bind [::] ok"
        set_of "$old"
        printf 'bind 127.0.0.1 ok\nlisten ok\n'
        set_of "$new"
        echo "bind 127.0.0.1 $bind"
        [[ $bind != ok ]] || echo "listen $listen"
    done <"$log/restarts"
}

@test "--table: the answers printed are those of the calls made, in that order" {
    needs strace
    # The table is what the traced run itself says.
    on_it() {
        "${inside[@]}" timeout -s KILL "$patience" strace -qq -o "$log/trace" \
            -e trace=bind,listen,setsockopt "$@" 3>&- 4>&-
    }
    table
    both
    diff <(calls_of_table) <(sed -E '
        s/^(bind|listen|setsockopt)(.*) = 0$/\1\2 = ok/
        s/^(.*) = -1 (E[A-Z]+) .*/\1 = \2/
        s/^setsockopt\([0-9]+, [A-Z0-9_]+, ([A-Z0-9_]+), \[1\], 4\) = ok$/set \1/
        s/^bind.*inet_addr\("([0-9.]+)"\)\}.* = ([a-zA-Z]+)$/bind \1 \2/
        s/^bind.*inet_pton\(AF_INET6, "([0-9a-f:]+)".* = ([a-zA-Z]+)$/bind [\1] \2/
        s/^listen.* = ([a-zA-Z]+)$/listen \1/' "$log/trace")

    # All pairs are tried on the one port that the table names; a first bind with port 0 found it.
    local p
    p=$(sed -nE 's/^All on port ([0-9]+), which was free\.$/\1/p' "$log/other")
    [[ -n $p ]]
    [[ $(head -n 1 "$log/trace") == bind*htons\(0\)* ]]
    local of_pairs=$((2 * $(wc -l <"$log/pairs")))
    [[ $(grep '^bind' "$log/trace" | sed -n "2,$((of_pairs + 1))p" | grep -c "htons($p)") == \
        "$of_pairs" ]]
}

@test "--table finds other ports when some are taken, and leaves no socket behind" {
    needs network
    # Of the two ports that this machine gives out, one is taken: all has to happen on the other.
    on_it bash -c 'echo 50122 50123 >/proc/sys/net/ipv4/ip_local_port_range'
    start one "${inside[@]}" bin/03-bind-twice 127.0.0.1:50122
    saw one "^The port is ours"
    run on_it bin/03-bind-twice --table
    [[ $output == "All on port 50123, which was free."* ]]
    [[ -z $(on_it ss -Htlnu) ]]
}

@test "stumble 1: just after a restart: Address already in use, though nobody listens there" {
    local p answer
    # The server closed first, with no option set.
    read -r p answer < <(on_it perl -e "$restart" 1 0 0)
    [[ $answer == EADDRINUSE ]]
    [[ $(on_it ss -Htan "sport = :$p") == TIME-WAIT*"127.0.0.1:$p"* ]]
    run -1 --separate-stderr on_it bin/03-bind-twice "127.0.0.1:$p" </dev/null
    [[ $stderr == "03-bind-twice: bind 127.0.0.1:$p: "*"(EADDRINUSE)"*$'\n'"  try: "* ]]
    [[ -z $(on_it ss -Htln "sport = :$p") ]]

    # The client closed first: the client's port is in TIME_WAIT, the server's is free.
    read -r p answer < <(on_it perl -e "$restart" 0 0 0)
    [[ $(on_it ss -Htan "dport = :$p") == TIME-WAIT* ]]
    run -0 on_it bin/03-bind-twice "127.0.0.1:$p" </dev/null

    # What helps is SO_REUSEADDR, in the old server and in the new one.
    table
    row server - - EADDRINUSE -
    row server - SO_REUSEADDR EADDRINUSE -
    row server SO_REUSEADDR - EADDRINUSE -
    row server SO_REUSEADDR SO_REUSEADDR ok ok
    row client - - ok ok
}

@test "stumble 1: --table leaves each restart's TIME_WAIT on the side that closed first" {
    needs strace
    run -0 on_it strace -qq -o "$log/trace" -e trace=connect bin/03-bind-twice --table
    local -a ports
    mapfile -t ports < <(sed -nE 's/^connect.*htons\(([0-9]+)\).* = (0|-1 EINPROGRESS.*)$/\1/p' "$log/trace")
    local -a rows
    mapfile -t rows < <(grep -oE '^the (server|client) ' <<<"$output")
    ((${#ports[@]} == ${#rows[@]} && ${#rows[@]} >= 5))
    local i side
    for i in "${!rows[@]}"; do
        [[ ${rows[i]} == *server* ]] && side=sport || side=dport
        [[ $(left "$side" "${ports[i]}") == 1 ]]
    done
}

@test "stumble 13: a listener's port is not shared by SO_REUSEADDR, by SO_REUSEPORT if both do" {
    table
    row 127.0.0.1 SO_REUSEADDR listening 127.0.0.1 SO_REUSEADDR EADDRINUSE -
    row 127.0.0.1 SO_REUSEPORT listening 127.0.0.1 SO_REUSEPORT ok ok
    row 127.0.0.1 SO_REUSEPORT listening 127.0.0.1 SO_REUSEADDR EADDRINUSE -
    row 127.0.0.1 SO_REUSEPORT bound 127.0.0.1 - EADDRINUSE -
}

@test "stumble 16: [::] includes 0.0.0.0, in either order, unless it is IPV6_V6ONLY" {
    table
    row 0.0.0.0 - bound 127.0.0.1 - EADDRINUSE -
    row 127.0.0.1 - bound 0.0.0.0 - EADDRINUSE -
    both
    row '[::]' - bound 0.0.0.0 - EADDRINUSE -
    row 0.0.0.0 - bound '[::]' - EADDRINUSE -
    row '[::]' IPV6_V6ONLY bound 0.0.0.0 - ok ok
    row 0.0.0.0 - bound '[::]' IPV6_V6ONLY ok ok
    start one "${inside[@]}" bin/03-bind-twice "[::]:$port"
    saw one "^The port is ours"
    run -1 on_it bin/03-bind-twice "0.0.0.0:$port"
    run -1 on_it bin/03-bind-twice "$at"
}

@test "--table does not take an endpoint" {
    run -2 --separate-stderr on_it bin/03-bind-twice --table 127.0.0.1:6666
    [[ -z $output && $stderr == "03-bind-twice: "*'"127.0.0.1:6666"'*$'\n'"usage: "* ]]
}
