# Lesson 04: which program has which port. Oracles: ss, strace, peers in Perl, tables of ours. (--watch:
# 04-watch.bats)
# needs the machine to itself (tests/lib/run): port 6666, or a list of all sockets
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, port, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's, or for a shell inside
load ../lib/helpers
load ../lib/peers
ports_for_each_test

# listing   what the program shows (stdin), one socket a line, sorted: STATE RECV-Q SEND-Q LOCAL
# PEER PID/NAME,... and nothing else. A listener's Send-Q is none of its business. Complains of what
# it can't read, and where the last line does not count what is above.
listing() {
    perl -ne 'if (/^sockets: (\d+), listening: (\d+)$/ && $. > 1 && eof) {
            print "counted $1 and $2, not $n and $l\n" if $1 != $n || $2 != $l;
        } elsif (/^ state +Recv-Q +Send-Q +local endpoint +peer.s endpoint +program$/ && $. == 1) {
            ($n, $l) = (0, 0);
        } elsif (my ($state, $in, $out, $local, $peer, $waits, $who) =
                /^ (\S+) +(\d+) +(\d+) (\S+) +([^\s,]+)(?:, (\d+) waiting)? +(\S.*)$/) {
            print "for $local: $waits waiting\n" if ($state eq "LISTEN") * $in != ($waits // 0);
            ($out, $l) = ("-", $l + 1) if $state eq "LISTEN";
            my @who = sort map { /^(\d+) (\S+)$/ ? "$1/$2" : $_ } split /, /, $who;
            print "$state $in $out $local $peer @who\n";
            $n++;
        } else { print "not to be read: $_" }' | LC_ALL=C sort
}

# listing_of_ss   the same, from what ss -Htuanp shows. (From version 6.8 on, ss -a also shows TCP
# sockets that are only bound, as UNCONN. /proc/net/tcp has none.)
listing_of_ss() {
    perl -ne 'BEGIN { %name = ("ESTAB" => "ESTABLISHED", "FIN-WAIT-1" => "FIN_WAIT1",
            "FIN-WAIT-2" => "FIN_WAIT2") }
        my ($kind, $state, $in, $out, $local, $peer, $who) = split " ", $_, 7;
        next if $kind eq "tcp" && $state eq "UNCONN";
        $state = "UDP" if $kind eq "udp";
        $state = $name{$state} // $state =~ tr/-/_/r;
        $out = "-" if $state eq "LISTEN";
        s/^\*:/[::]:/, s/.*:\*$/none/ for $local, $peer;
        my %who;
        $who{"$2/$1"} = 1 while $who =~ /\("(.*?)",pid=(\d+),fd=\d+\)/g;
        my @who = %who ? sort keys %who : "-";
        print "$state $in $out $local $peer @who\n"' | LC_ALL=C sort
}

# of_test   of a list, the sockets that have a port of the test's own, at either end. In a network of
# its own that is all of the list: nobody else is there.
of_test() {
    if [[ ${PLAYED_IN-} == in* ]]; then
        cat
    else
        grep -E ":${port%?}[0-9] |^[^A-Z]" || :
    fi
}

# agrees [COMMAND...]   do the program and ss, run with that in front, show the same? Only where ss
# shows the same before and after, that is the question. What both show is in $log/ss then.
agrees() {
    local tries=0 deadline=$((SECONDS + patience))
    "$@" ss -Htuanp | listing_of_ss | of_test >"$log/after"
    until
        mv "$log/after" "$log/ss"
        "$@" bin/04-ports-in-use >"$log/said"
        "$@" ss -Htuanp | listing_of_ss | of_test >"$log/after"
        cmp -s "$log/ss" "$log/after"
    do
        ((SECONDS <= deadline)) || {
            echo "never at rest"
            return 1
        }
        rest
    done
    listing <"$log/said" | of_test >"$log/ours"
    diff "$log/ss" "$log/ours" >"$log/diff" || {
        head -n 40 "$log/diff"
        return 1
    }
}

# has COUNT PATTERN   do exactly so many lines of what agrees() has left match?
has() {
    (($(grep -cE -e "$2" "$log/ss") == $1)) || {
        echo "not $1 of: $2"
        head -n 40 "$log/ss"
        return 1
    }
}

# a_life HOST   starts a peer that has sockets in all states that last, and both queues filled, at
# $port and the next one.
a_life() {
    peer "life" '
        my ($host, $port) = @ARGV;
        my $next = $port + 1;
        our @all;
        sub listening { push @all, my $s = owner("$host:$_[0]"); listen $s, $_[1]; return $s }
        sub pair { my $c = connected("$host:$_[1]"); accept my $s, $_[0]; push @all, $c, $s;
            return $c, $s }
        my $l = listening($port, 5);
        my ($client, $server) = pair($l, $port);          # both ESTABLISHED
        put($client, "unread");
        my ($wait2) = pair($l, $port); finish($wait2);    # FIN_WAIT2, CLOSE_WAIT
        (undef, my $full) = pair($l, $port); fill($full); # unread and unsent bytes
        my ($reads, $wait1) = pair($l, $port); fill($wait1);
        finish($wait1);                                  # FIN_WAIT1
        my ($done, $last) = pair($l, $port); finish($done); fill($last);
        @all = grep { $_ != $last } @all; close $last;   # LAST_ACK, and no program has it
        my ($first, $second) = pair($l, $port);
        @all = grep { $_ != $first && $_ != $second } @all; close $first; get($second);
        close $second;                                   # TIME_WAIT
        my $queue = listening($next, 2);                  # three wait to be accepted, one says more
        push @all, my $waits = connected("$host:$next"); put($waits, "hello");
        push @all, connected("$host:$next") for 1 .. 2;
        socket my $s, ($host =~ /:/ ? AF_INET6 : AF_INET), SOCK_STREAM, 0;
        fcntl $s, 4, 2048; connect $s, getsockname $queue; # O_NONBLOCK; SYN_SENT
        print "ready\n"; cue()' -MSocket=:all -- "$1" "$port"
}

# with_tables STATUS   runs the program, built to look into $tables/proc where it says /proc: so the
# kernel's tables are files of ours. (A mount over /proc would need more rights than some have.)
with_tables() {
    [[ -x $tables/04-ports-in-use ]] ||
        sed "s#\"/proc#\"$tables/proc#" lessons/04-ports-in-use/ports-in-use.c |
        $(<bin/compile) -o "$tables/04-ports-in-use" \
            -x c - -x none bin/common.o
    run timeout -k 1 "$patience" "$tables/04-ports-in-use"
    output=${output//"$tables/"//}
    ((status == $1))
}

setup() {
    tables=$BATS_FILE_TMPDIR
    rm -rf "$tables/proc"
    mkdir -p "$tables/proc/net"
    heading='  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid'
    rest='00:00000000 00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0'
}

@test "claim 8: it agrees with ss, socket by socket, in every state that lasts" {
    local next=$((port + 1))
    a_life 127.0.0.1
    saw life '^ready'
    agrees
    has 2 "^LISTEN .* none $pid/perl$"
    has 1 "^LISTEN 3 - 127.0.0.1:$next"
    has 1 "^ESTABLISHED 6 0 $at "
    has 2 '^ESTABLISHED [0-9]{4,} 0 127\.'
    has 1 '^ESTABLISHED 0 [0-9]{4,} 127\.'
    has 1 "^CLOSE_WAIT .* $pid/perl$"
    has 3 "^FIN_WAIT[12] .* $pid/perl$" # one of them beside LAST_ACK
    has 1 '^FIN_WAIT1 0 [0-9]{4,} '
    has 1 '^LAST_ACK [01] [0-9]{4,} .* -$'
    has 1 "^TIME_WAIT .*:$port .*-$"
    has 1 "^SYN_SENT 0 1 127.0.0.1:[0-9]+ 127.0.0.1:$next $pid/perl$"
}

@test "claim 8: it agrees with ss over IPv6, and for listeners that take IPv4 as well" {
    needs ipv6
    local next=$((port + 1))
    a_life ::1
    saw life '^ready'
    peer listeners 'use Socket qw(:all); use Config; my @all;
        my ($a, $b, $c) = map { $ARGV[0] + $_ } 2, 3, 4;
        for (["[::]:$a", 0], ["[::]:$b", 1], ["0.0.0.0:$b", 0], ["127.0.0.2:$c", 0]) {
            my ($s, $at) = Peer::unbound($_->[0]);
            $_->[0] !~ /::/ || setsockopt $s, IPPROTO_IPV6, IPV6_V6ONLY, $_->[1] or die $!;
            bind $s, $at or die "bind: $!"; listen $s, 5; push @all, $s;
        }
        push @all, connected("127.0.0.1:$a"), connected("[::1]:$a"), connected("[::1]:$b"),
            connected("127.0.0.1:$b"); accept my $mapped, $all[0]; push @all, $mapped;
        print "ready\n"; cue()' "$port"
    saw listeners '^ready'
    agrees
    has 1 "^LISTEN 0 - \[::1\]:$port none "
    has 1 "^SYN_SENT 0 1 \[::1\]:[0-9]+ \[::1\]:$next "
    has 1 "^TIME_WAIT 0 0 \[::1\]:"
    has 1 "^LISTEN 1 - \[::\]:$((port + 2)) none "
    has 1 "^ESTABLISHED 0 0 \[::ffff:127.0.0.1\]:$((port + 2)) \[::ffff:127.0.0.1\]:[0-9]+ "
    has 1 "^LISTEN 1 - \[::\]:$((port + 3)) none "
    has 1 "^LISTEN 1 - 0.0.0.0:$((port + 3)) none "
    has 1 "^LISTEN 0 - 127.0.0.2:$((port + 4)) none "
}

@test "claim 8: stumble 20: before accept: a listener's Recv-Q counts connections" {
    start server bin/06-accept-one "$at"
    server=$pid
    saw server '^listen'
    peer first 'my $s = connected($ARGV[0]); cue()' "$at"
    saw server '^accept'
    agrees
    has 1 "^LISTEN 0 - $at none $server/06-accept-one$"
    has 1 "^ESTABLISHED 0 0 $at 127.0.0.1:[0-9]+ $server/06-accept-one$"
    has 1 "^ESTABLISHED 0 0 127.0.0.1:[0-9]+ $at $pid/perl$"
    peer second 'my $s = connected($ARGV[0]); put($s, "hello"); print "in\n"; cue()' "$at"
    peer third 'my $s = connected($ARGV[0]); print "in\n"; cue()' "$at"
    saw second '^in'
    saw third '^in'
    agrees
    has 1 "^LISTEN 2 - $at none $server/06-accept-one$"
    has 1 "^ESTABLISHED 5 0 $at 127.0.0.1:[0-9]+ -$" # no program has it yet
    grep -qE "^ LISTEN +2 +0 +$at +none, 2 waiting " "$log/said"
}

@test "claim 8: UDP sockets: bound, connected, and full, beside TCP's at the same port" {
    peer udp 'my $s = datagrams("$ARGV[0]"); my ($c, $to) = Peer::unbound($ARGV[0], SOCK_DGRAM);
        connect $c, $to or die; syswrite $c, "hello" for 1 .. 3;
        my $l = owner($ARGV[0]); listen $l, 5; my $t = connected($ARGV[0]); print "ready\n"; cue()' \
        -MSocket=:all -- "$at"
    saw udp '^ready'
    agrees
    has 1 "^LISTEN 1 - $at none $pid/perl$"
    has 1 "^UDP [0-9]+ 0 $at none $pid/perl$"
    has 1 "^UDP 0 0 127.0.0.1:[0-9]+ $at $pid/perl$"
    run ! grep -q "^UDP 0 0 $at" "$log/ss" # there are unread messages
    needs ipv6
    peer six 'my @s = map { datagrams($_) } "[::1]:$ARGV[0]", "[::]:" . ($ARGV[0] + 1);
        print "ready\n"; cue()' "$port"
    saw six '^ready'
    agrees
    has 1 "^UDP 0 0 \[::1\]:$port none $pid/perl$"
    has 1 "^UDP 0 0 \[::\]:$((port + 1)) none $pid/perl$"
}

@test "claim 8: PORT: only the sockets that have it, on either side" {
    peer sockets 'my @at = map { "127.0.0.1:" . ($ARGV[0] + $_) } 0, 1;
        my @all = map { my $s = owner($_); listen $s, 5; $s } @at;
        push @all, map { connected($_) } @at; print "ready\n"; cue()' "$port"
    saw sockets '^ready'
    bin/04-ports-in-use "$port" | listing >"$log/ours"
    ss -Htuanp "sport = :$port or dport = :$port" | listing_of_ss >"$log/ss"
    cat "$log/ss"
    (($(wc -l <"$log/ss") == 3))
    diff "$log/ss" "$log/ours"
    [[ "$(bin/04-ports-in-use "$((port + 2))" | tail -n +2)" == "sockets: 0, listening: 0" ]]
}

@test "claim 8 bends: a port that is bound and not listened on is in use, and not in the list" {
    peer holder 'my $s = owner($ARGV[0]); print "bound\n"; cue();
        listen $s, 1; print "listens\n"; cue()' "$at"
    saw holder '^bound'
    agrees
    [[ "$(bin/04-ports-in-use "$port" | tail -n +2)" == "sockets: 0, listening: 0" ]]
    run -1 timeout -k 1 "$patience" bin/02-bind "$at" </dev/null
    [[ $output == *"bind $at: Address already in use (EADDRINUSE)"* ]]
    cue holder
    saw holder '^listens'
    agrees
    has 1 "^LISTEN 0 - $at none $pid/perl$"
}

@test "claim 8: a socket that two programs have after fork has two owners, each named once" {
    peer parent 'my $s = owner($ARGV[0]); listen $s, 5; open my $again, "<&", $s or die $!;
        my $child = fork // die $!;
        if (!$child) { $0 = "child"; print "ready $$\n"; cue() } wait' "$at"
    saw parent '^ready'
    read -r _ child <"$log/parent"
    agrees
    has 1 "^LISTEN 0 - $at none $pid/perl $child/child$"
}

@test "claim 8: the owner of a socket is shown if we have the permission, as with ss" {
    as_student true
    local script='my $s = owner($ARGV[0]); listen $s, 5; print "in\n"; cue()' next=$((port + 1))
    start mine setpriv --bounding-set=-all --inh-caps=-all perl -Itests/lib -MPeer -e "$script" "$at"
    mine=$pid
    peer other "$script" "127.0.0.1:$next"
    saw mine '^in'
    saw other '^in'
    agrees
    has 1 "^LISTEN 0 - 127.0.0.1:$next none $pid/perl$"
    agrees as_student
    has 1 "^LISTEN 0 - $at none $mine/perl$"
    ((UID > 0)) || has 1 "^LISTEN 0 - 127.0.0.1:$next none -$"
    # Another user, where one is to be had: of both sockets he learns nothing but that they are.
    local another=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    if "${another[@]}" test -x bin/04-ports-in-use; then
        agrees "${another[@]}"
        has 2 "^LISTEN 0 - 127.0.0.1:($port|$next) none -$"
    fi
}

@test "a program's name is shown quoted and escaped, all of it" {
    local name
    for name in $'\e[31m\a\x9b1m"\\' $'a\nb' $'x, 1 y' '' 'x y'; do
        peer named 'my $s = owner($ARGV[0]); listen $s, 5;
            open my $f, ">", "/proc/self/comm" or die $!; syswrite $f, "$ARGV[1]\0" or die $!;
            close $f; print "ready\n"; cue()' "$at" "$name"
        saw named '^ready'
        run bin/04-ports-in-use "$port"
        printf '%q: %s\n' "$name" "$output"
        [[ $output != *[!$'\n'\ -~]* ]]
        name=${name//\\/\\\\} name=${name//\"/\\\"} name=${name//$'\n'/\\n}
        name=${name//$'\e'/\\x1b} name=${name//$'\a'/\\x07} name=${name//$'\x9b'/\\x9b}
        [[ ${lines[1]} == *" none "*" $pid \"$name\"" ]]
        kill "$pid"
        ended "$pid"
    done
}

@test "a state that can't be made to last: SYN_RECV, CLOSING and CLOSE, from a table of ours" {
    {
        echo "$heading"
        echo "   0: 0100007F:1A0A 0200007F:C001 03 00000001:00000000 $rest"
        echo "   1: 0100007F:1A0A 0200007F:C002 0B 00000000:FFFFFFFF $rest" | sed s/12345/12346/
        echo "   2: 0100007F:1A0A 0200007F:C003 0C 00000000:00000000 $rest" | sed s/12345/0/
        # The kernel has told of the first one twice: they come and go while it does.
        echo "   3: 0100007F:1A0A 0200007F:C001 03 00000001:00000000 $rest"
        echo "9999: 0100007F:1A0A 0200007F:C004 07 00000000:00000000 $rest" | sed s/12345/0/
    } >"$tables/proc/net/tcp"
    # And no tcp6: a kernel without IPv6.
    with_tables 0
    echo "$output"
    diff <(listing <<<"$output") - <<'END'
CLOSE 0 0 127.0.0.1:6666 127.0.0.2:49156 -
CLOSING 4294967295 0 127.0.0.1:6666 127.0.0.2:49154 -
SYN_RECV 0 0 127.0.0.1:6666 127.0.0.2:49155 -
SYN_RECV 0 1 127.0.0.1:6666 127.0.0.2:49153 -
END
}

@test "a line of the kernel's that can't be read is an error: status 1, and the line, escaped" {
    local line table wrong=0
    local zero=00000000000000000000000000000000 one=00000000000000000000000001000000
    local good4="   0: 0100007F:1A0A 00000000:0000 0A 00000000:00000000 $rest"
    local good6="   0: $one:1A0A $zero:0000 0A 00000000:00000000 $rest"
    for table in tcp tcp6; do
        cat >"$tables/proc/net/tcp" <<<"$heading"
        cat >"$tables/proc/net/tcp6" <<<"$heading"
        good=$good4
        [[ $table == tcp ]] || good=$good6
        printf '%s\n%s\n' "$heading" "$good" >"$tables/proc/net/$table"
        with_tables 0
        [[ $output == *"LISTEN "*":6666 "*"sockets: 1, listening: 1" ]]
        for line in "${good/1A0A/1A0}" "${good/1A0A/01A0A}" "${good/:1A0A/}" "${good/1A0A/1A0G}" \
            "${good/00000/0000}" "${good/ 0A / 00 }" "${good/ 0A / 0D }" "${good/ 0A / FF }" \
            "${good/ 0A / A }" "${good/ 0A / -1 }" "${good/0000:00000000/0000:0000000}" \
            "${good/00000000:0000 / }" "${good/12345/x}" "${good/ 12345*/}" "" "rubbish" \
            $'\e[31m\a 0: '"$good" "${good:0:60}" "${good/12345/12x45}" "${good/12345/-12345}" \
            "${good/12345/123456789012345678901234567890}" "${good/   0:/}" "${good/0: /0:}"; do
            [[ $line != "$good" ]]
            printf '%s\n%s\n%s\n' "$heading" "$good" "$line" >"$tables/proc/net/$table"
            escaped=${line//$'\e'/\\x1b}
            escaped=${escaped//$'\a'/\\x07}
            with_tables 1 || :
            [[ $status == 1 && ${#lines[@]} == 1 && $output != *[!\ -~]* && $output == \
                "04-ports-in-use: /proc/net/$table, line 3: "*"\"${escaped:0:40}"* ]] && continue
            printf '%s: status %s, %s\n' "$escaped" "$status" "$output"
            wrong=$((wrong + 1))
        done
    done
    ((wrong == 0))
    rm "$tables/proc/net/tcp" # without this one there is nothing to tell
    with_tables 1
    [[ $output == "04-ports-in-use: open /proc/net/tcp: No such file or directory (ENOENT)" ]]
}

@test "the tables of UDP: a line without its count of drops is an error; the tables may be missing" {
    local table line good
    local zero=00000000000000000000000000000000 end='1000        0 12345 2 0000000000000000 17   '
    echo "$heading" >"$tables/proc/net/tcp"
    with_tables 0
    for table in udp udp6; do
        good=" 2330: 0100007F:1A0A 00000000:0000 07 00000000:00000340 00:00000000 00000000  $end"
        [[ $table == udp ]] || good=" 1: $zero:1A0A $zero:0000 07 00000000:00000000 00:00000000 00000000 ${end%   }"
        printf '%s\n%s\n' "$heading" "$good" >"$tables/proc/net/$table"
        with_tables 0
        [[ $output == *" UDP "*":6666 "*"sockets: 1, listening: 0" ]]
        for line in "${good/ 17*/}" "${good/17/x}" "${good/17/-1}" "${good/1A0A/1A0}" "${good/ 07 / 0D }"; do
            [[ $line != "$good" ]]
            printf '%s\n%s\n' "$heading" "$line" >"$tables/proc/net/$table"
            with_tables 1
            [[ $output == "04-ports-in-use: /proc/net/$table, line 2: "* ]]
        done
        rm "$tables/proc/net/$table"
    done
}

@test "a read that fails in the middle of a line is reported as that, not as a malformed line" {
    needs strace
    local table=$tables/proc/net/tcp i
    echo "$heading" >"$table"
    for i in {1000..1099}; do
        echo "$i: 0100007F:1A0A 0200007F:C001 01 00000000:00000000 ${rest/12345/$i}"
    done >>"$table"
    with_tables 0
    [[ ${lines[-1]} == "sockets: 100, listening: 0" ]]
    # (With SANITIZE=1 the search for leaks does not work under strace.)
    ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 run -1 strace -qq -o "$log/trace" -P "$table" \
        -e trace=read -e inject=read:error=EIO:when=2 "$tables/04-ports-in-use"
    [[ $output == "04-ports-in-use: read $table: Input/output error (EIO)" ]]
}

@test "a line fits into 79 columns, with both endpoints on 127.0.0.1 and a pid of any length" {
    start server bin/06-accept-one "$at"
    saw server '^listen'
    peer client 'my $s = connected($ARGV[0]); print "in\n"; cue()' "$at"
    saw client '^in'
    saw server 'connected$'
    bin/04-ports-in-use "$port" >"$log/said"
    cat "$log/said"
    (($(grep -cE ' [0-9]+ (06-accept-one|perl)$' "$log/said") == 3))
    run ! grep -E '.{80}' <(sed -E 's/ [0-9]+ ([^ ]+)$/ 4194304 \1/' "$log/said") # the largest pid
}

@test "what is not a PORT is refused, status 2" {
    local words
    for words in 80x 0 65536 -1 "" " 80" +80 127.0.0.1:80 99999999999999999999 \
        "--watch x" "--watch 0" "6666 6667"; do
        [[ -z $words || $words == " 80" ]] || read -ra args <<<"$words"
        [[ -n $words && $words != " 80" ]] || args=("$words")
        run -2 timeout -k 1 "$patience" bin/04-ports-in-use "${args[@]}"
        echo "$words: $output"
        ((${#lines[@]} == 2))
        [[ ${lines[0]} == "04-ports-in-use: "*"\""* || ${lines[0]} == *"no option"* ]]
        [[ ${lines[1]} == "usage: 04-ports-in-use [--watch] [PORT]" ]]
    done
}

# A crowd in so many sockets: 5 programs with 2,000 of them, so that `ulimit -n` does not matter.
# (They end by reset: no TIME_WAIT is left.)
crowd() {
    ulimit -n "$(ulimit -Hn)"
    local i
    for i in {1..5}; do
        peer "crowd-$i" 'use Socket qw(:all); my ($port, $count) = @ARGV;
            my $l = owner("127.0.0.1:$port"); listen $l, 5; my @all = $l;
            for (1 .. $count) {
                push @all, my $c = connected("127.0.0.1:$port"); accept my $s, $l or die $!;
                setsockopt $_, SOL_SOCKET, SO_LINGER, pack "ii", 1, 0 for $c, $s; push @all, $s;
            }
            print "ready\n"; alarm 3 * ($ENV{PATIENCE} // 20); cue()' "$((port + i))" "$1"
    done
    for i in {1..5}; do
        saw "crowd-$i" '^ready'
    done
}

@test "claim 8: while sockets come and go, all that stay are listed, each once, in 20 runs" {
    crowd 100
    ss -Htuanp | listing_of_ss | grep -E ":${port%?}[1-5] " >"$log/stay"
    (($(wc -l <"$log/stay") == 1005))
    peer churn 'use Socket qw(:all); my $l = owner($ARGV[0]); listen $l, 100; my @all;
        alarm 3 * ($ENV{PATIENCE} // 20); print "on\n";
        for (;;) {
            push @all, my $c = connected($ARGV[0]); accept my $s, $l; push @all, $s;
            if (@all > 40) {
                for (splice @all, 0, 20 + rand 20) {
                    setsockopt $_, SOL_SOCKET, SO_LINGER, pack "ii", 1, 0 if rand() < 0.99;
                    close $_;
                }
            }
        }' "$at"
    saw churn '^on'
    for i in {1..20}; do
        bin/04-ports-in-use >"$log/said-$i"
    done
    kill "$pid"
    for i in {1..20}; do
        listing <"$log/said-$i" >"$log/ours"
        grep -q ":$port " "$log/ours" # it did come and go
        grep -E ":${port%?}[1-5] |^[^A-Z]" "$log/ours" | diff "$log/stay" -
    done
}

@test "claim 8: it agrees with ss when there are 10,000 sockets" {
    crowd 1000
    agrees
    has 10000 '^ESTABLISHED .* [0-9]+/perl$'
    has 5 "^LISTEN 0 - 127.0.0.1:${port%?}[1-5] "
}
