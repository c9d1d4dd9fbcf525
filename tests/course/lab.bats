#!/usr/bin/env bats
# What the PCs of common/lab show. All tests share one lab. How it comes up and goes, and what it says
# where there can be none: tests/slow/lab.bats.
# shellcheck disable=SC2016,SC2030,SC2031 # $ is for shells on the PCs; each test is a subshell

load ../lib/helpers

setup_file() {
    if lacks lab; then
        export no_lab=${REPLY//$'\n'/;}
    else
        common/lab up
    fi
}

teardown_file() {
    [[ -n ${no_lab-} ]] || common/lab down
}

setup() {
    [[ -z ${no_lab-} ]] || skip "needs lab: $no_lab"
    lab=$BATS_TEST_DIRNAME/../../common/lab
}

@test "claim 2: PC A has two network cards, and another address in each network" {
    run -0 common/lab run A ip -4 -oneline -color=never address
    [[ $output == *eth0*" 192.168.0.101/24 "*eth1*" 10.0.0.101/24 "* ]]
    run -0 common/lab run A bin/01-interfaces
    [[ $output == *"eth0: up"*192.168.0.101/24*"eth1: up"*10.0.0.101/24* ]]
    run -0 common/lab run B ip -4 -oneline -color=never address
    [[ $output != *eth1* && $output != *10.0.0.* ]]
}

@test "claim 4 bends: PC A has one link-local address on two interfaces, which differ by their names" {
    needs ipv6
    common/lab run A ip -6 address show dev eth0 | grep -q fe80::101/64
    common/lab run A ip -6 address show dev eth1 | grep -q fe80::101/64
    run -0 common/lab run A bin/01-interfaces
    [[ $output == *"fe80::101%eth0/64"*"fe80::101%eth1/64"* ]]
}

@test "claim 19: what listens on A is reached from B and C: terminals share one lab" {
    start a common/lab run A bin/07-accept-many 192.168.0.101:6666
    saw a "^listen"
    for pc in B C; do
        run -0 common/lab run "$pc" bin/05-connect A:6666 </dev/null
        [[ $output == *"connect: 192.168.0.10"*" -> 192.168.0.101:6666"* ]]
    done
    saw a "the client is 192.168.0.102:"
    saw a "the client is 192.168.0.103:"
}

@test "a command on a PC has its words, its folder, its exit status, and no descriptor of ours" {
    run -0 common/lab run A printf '<%s>\n' "a  b" '' '$HOME "'
    [[ ${lines[*]} == '<a  b> <> <$HOME ">' ]]
    cd tests/course
    run -0 "$lab" run B pwd
    [[ $output == "$BATS_TEST_DIRNAME" ]]
    run -7 "$lab" run A sh -c 'exit 7'
    status=0
    "$lab" run A no-such-command || status=$?
    ((status == 127 || status == 126))
    run -143 "$lab" run A sh -c 'kill $$'
    outside=$(ls /proc/self/fd)
    inside=$("$lab" run A ls /proc/self/fd)
    [[ $inside == "$outside" ]]
}

@test "from a PC one can run a command on another one" {
    run -0 common/lab run A common/lab run B ip -4 -oneline -color=never address show dev eth0
    [[ $output == *192.168.0.102* ]]
}

@test "the names are those of the lab, and no server is asked for one" {
    run -0 common/lab run A getent ahostsv4 B
    [[ $output == 192.168.0.102* ]]
    run -0 common/lab run A getent ahostsv4 buet.ac.bd
    [[ $output == 203.0.113.5* ]]
    run -0 common/lab run A strace -f -e trace=connect,sendto,sendmmsg getent ahostsv4 no.such.name.example ||
        true
    [[ $output != *"htons(53)"* ]]
}

@test "claim 9: buet.ac.bd answers at port 443 and refuses at 120, and the other four outcomes" {
    outcome() { # ENDPOINT CALL-AND-ERROR WHAT-THE-PROGRAM-SAYS
        run common/lab run B strace -e trace=connect,getsockopt bin/05-connect "$1" </dev/null
        echo "$output"
        [[ $output == *"$2"* && $output == *"$3"* ]]
    }
    outcome buet.ac.bd:443 'SO_ERROR, [0]' "-> 203.0.113.5:443"
    outcome buet.ac.bd:120 'SO_ERROR, [ECONNREFUSED]' "203.0.113.5:120: Connection refused"
    outcome 203.0.113.66:443 'SO_ERROR, [ETIMEDOUT]' "Connection timed out (ETIMEDOUT)"
    outcome 192.168.0.200:443 'SO_ERROR, [EHOSTUNREACH]' "No route to host (EHOSTUNREACH)"
    outcome 198.51.100.1:443 'SO_ERROR, [ENETUNREACH]' "Network is unreachable (ENETUNREACH)"
    outcome no-such-name:443 "" "Name or service not known (EAI_NONAME)"
}

# (A kernel before 6.5 that learns it later takes the last SYN that is allowed for lost.)
@test "an address that nobody has is known as such before the first SYN is repeated" {
    timeouts() { common/lab run B nstat --ignore --noupdate --zeros TcpExtTCPTimeouts; }
    before=$(timeouts)
    for twice in 1 2; do
        run -1 common/lab run B bin/05-connect 192.168.0.200:443
        [[ $output == *EHOSTUNREACH* ]]
    done
    after=$(timeouts)
    [[ $after == *TcpExtTCPTimeouts* && $after == "$before" ]] || { diff <(echo "$before") <(echo "$after"); return 1; }
}

# wire FLAGS COUNT COMMAND...   what B and A say to each other while COMMAND connects on B, until
# so many packets with these flags have come: one line for each, without what differs each time
wire() {
    local capture=$log/wire-${#started[@]}
    start "${capture##*/}" common/lab run A tcpdump -Z root -tnl --immediate-mode -i eth0 tcp
    saw "${capture##*/}" "^listening on"
    "${@:3}" >&2
    saw "${capture##*/}" "Flags .$1" "$2"
    [[ $1 != F ]] || eventually ends_with_an_ack "$capture"
    sed -n 's/^IP \(.*\): Flags \(\[[^]]*\]\).*/\1 \2/p' "$capture" |
        sed 's/192.168.0.101.6666/A/g; s/192.168.0.102.[0-9]*/B/g'
}

ends_with_an_ack() { [[ $(tail -n 1 "$1") == *"Flags [.],"* ]]; }

@test "claim 20: on the wire: SYN, SYN and ACK, ACK; and each side's FIN with its ACK" {
    command -v tcpdump >/dev/null || skip "tcpdump is missing here"
    start server common/lab run A bin/06-accept-one 192.168.0.101:6666
    saw server "^listen"
    run -0 --separate-stderr wire F 2 common/lab run B bin/05-connect 192.168.0.101:6666 <<<hello
    echo "$output"
    [[ ${lines[*]:0:3} == "B > A [S] A > B [S.] B > A [.]" ]]
    [[ ${lines[3]} == "B > A [P.]" ]] # the data, and it comes back
    # (A's data and its FIN may come one after the other; then B acknowledges each of them.)
    [[ " ${lines[*]} " == *" A > B [P.]"*" A > B [F.] "* ]]
    after=" ${lines[*]} " after=${after##*" A > B [F.] "}
    [[ $after == "B > A [.] " || $after == "B > A [.] B > A [.] " ]]
    [[ " ${lines[*]} " == *" B > A [F.] "* && " ${lines[*]} " != *"[R"* ]]
}

@test "claim 20: on the wire: nobody listens, and a SYN is answered with a reset" {
    command -v tcpdump >/dev/null || skip "tcpdump is missing here"
    refused() { common/lab run B bin/05-connect 192.168.0.101:6666 || true; }
    run -0 --separate-stderr wire R 1 refused
    [[ ${lines[-2]} == "B > A [S]" && ${lines[-1]} == "A > B [R.]" ]]
}

@test "the prompt says which PC it is" {
    run -0 env TERM=dumb HOME="$log" script --quiet --return --command "common/lab shell C" /dev/null \
        <<<'ip -4 -oneline -color=never address; exit'
    echo "$output"
    [[ $output == *"This is PC C, 192.168.0.103."*"C 192.168.0.103 "*'$'*"192.168.0.103/24"* ]]
}

@test "a mistake on the command line: status 2, with what is right" {
    for arguments in "" "shell" "shell D" "shell AB" "run" "run A" "run 1 true" "up --tmus" "down A" \
        "status A" "check A" "shell A B" "make 0" "keep lab-of-0"; do
        read -ra words <<<"$arguments"
        run -2 common/lab "${words[@]}"
        [[ $output == "lab: "*"usage: common/lab shell PC"* ]]
    done
    run -0 common/lab --help
    [[ $output == "usage: common/lab shell PC"* ]]
}

# talking SCRIPT   A and B have two connections: @s in the Perl of A, which runs the script, and B
# keeps them open. Meanwhile nothing that A sends arrives at B.
talking() {
    start a common/lab run A env PERL5LIB="$PWD/tests/lib" perl -MPeer -MSocket=:all -e '
        my $l = owner("192.168.0.101:6666"); listen $l, 5; print "listening\n"; my @s;
        for (0, 1) { accept $s[$_], $l or die } print "accepted\n"; cue(); '"$1"
    saw a "^listening"
    start b common/lab run B env PERL5LIB="$PWD/tests/lib" perl -MPeer -e '
        my @s = map { connected("192.168.0.101:6666") } 1, 2; cue()'
    saw a "^accepted"
    common/lab run A ip neigh replace 192.168.0.102 lladdr 02:00:00:00:00:99 dev eth0
    echo 1<>"$log/a.in"
    saw a "^told"
    run common/lab run A ss -Htn state established
    common/lab run A ip neigh del 192.168.0.102 dev eth0
}

@test "lesson 09: a small packet waits for the ACK of an earlier one; with TCP_NODELAY it does not" {
    # Without tcp_early_retrans=0 the kernel sends what waits as a probe, after some milliseconds.
    # Packets that are sent again may become one: so the peer asks at once. (TCP_INFO is 11 here;
    # tcpi_unacked is at byte 24 of it, tcpi_notsent_bytes at byte 144.)
    talking 'system "echo 0 >/proc/sys/net/ipv4/tcp_early_retrans";
        setsockopt $s[1], IPPROTO_TCP, TCP_NODELAY, 1 or die;
        for my $s (@s) {
            put($s, $_) for "a", "b", "c";
            printf "%d packets not confirmed, %d bytes not sent\n",
                unpack "x24 L x116 L", getsockopt $s, IPPROTO_TCP, 11;
        }
        print "told\n"; cue()'
    cat "$log/a"
    mapfile -t told < <(grep "not sent" "$log/a")
    ((${#told[@]} == 2))
    [[ ${told[0]} == "1 packets not confirmed, 2 bytes not sent" ]]
    [[ ${told[1]} == "3 packets not confirmed, 0 bytes not sent" ]]
}

@test "lesson 10: with TCP_USER_TIMEOUT what is not confirmed is an error soon: ETIMEDOUT" {
    talking 'setsockopt $s[0], IPPROTO_TCP, 18, pack "I", 1000 or die; # TCP_USER_TIMEOUT, in ms
        put($_, "x") for @s;
        sysread $s[0], $_, 1 or print "told ", $!{ETIMEDOUT} ? "ETIMEDOUT\n" : "$!\n"; cue()'
    grep -qx "told ETIMEDOUT" "$log/a"
    # The other connection has lost its packet as well, and its kernel still repeats it.
    [[ $(grep -cE "^0 +1 +192\.168\.0\.101:6666 " <<<"$output") == 1 ]]
}

@test "tc is found on a PC, even where a user's PATH has no folder sbin" {
    PATH=/usr/bin:/bin run -0 common/lab run B tc -V
    [[ $output == *tc* ]]
}
