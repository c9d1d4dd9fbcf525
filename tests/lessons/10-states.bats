# Lesson 10: the life of a connection. The program is stopped after each line that it says, and ss
# asked what there is at that moment; strace has the calls. All tests look at that one run (or the one
# over IPv6, at the same time). Other runs: 10-runs.bats.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
load ../lib/helpers
load ../lib/peers

# in_steps NAME HOST:PORT   runs the program, and stops it after each line that it says, N: then
# ss -tanp goes to $log/NAME.N; its calls to $log/NAME.calls, what it says to $log/NAME.
in_steps() {
    local name=$1 n=0 calls line part="" deadline=$((SECONDS + 2 * patience))
    shift
    echo "$1" >"$log/$name.at"
    mkfifo "$log/$name.trace"
    exec {calls}<>"$log/$name.trace"
    start "$name" strace -D -f -qq -o "$log/$name.trace" \
        -e trace=write,sendto,recvfrom,shutdown,close,setsockopt,bind \
        -e inject=write:signal=STOP bin/10-states "$@"
    echo "$pid" >"$log/$name.pid"
    while is_running "$pid" && ((SECONDS < deadline)); do
        IFS='' read -rt 0.1 line <&"$calls" || { # not a whole line yet
            part+=$line
            continue
        }
        line=$part$line part=
        printf '%s\n' "$line"
        [[ $line == *"stopped by SIGSTOP"* ]] || continue
        n=$((n + 1))
        ss -Htanp >"$log/$name.$n"
        kill -CONT "$pid"
    done >"$log/$name.calls"
    while IFS='' read -rt 0.1 line <&"$calls"; do
        printf '%s\n' "$part$line"
        part=
    done >>"$log/$name.calls"
    exec {calls}<&-
    ended "$pid"
    echo "$status" >"$log/$name.status"
    ss -Htanp >"$log/$name.end"
}

setup_file() {
    log=$BATS_FILE_TMPDIR
    ! lacks strace || return 0
    local begun=$SECONDS
    lacks ipv6 || in_steps six "[::1]:$port" 3>&- &
    local six=$!
    in_steps four "$at"
    echo "$((SECONDS - begun))" >"$log/four.seconds"
    wait "$six"
    teardown
}

setup() {
    needs strace
    log=$BATS_FILE_TMPDIR
    at=$(<"$log/four.at")
}

# steps NAME PERL   looks at the run step by step. For each line that tells two states, PERL is run
# with $section (1..8), $client, $server (the states told), $what; $ss{client} and $ss{server} (the
# states of the two ends in ss, undef where it has none), $who{client} and $who{server} (the process
# ids that have it), $listens; wrong() says what is wrong.
steps() {
    perl -e 'my ($name, $script) = @ARGV;
        my ($section, $n, $port, $wrong, %old) = (0, 0, undef, 0);
        open my $a, "<", "$name.at"; chomp(my $at = <$a>);
        my %name = ("ESTAB" => "ESTABLISHED", "FIN-WAIT-2" => "FIN_WAIT2");
        our ($client, $server, $what, %ss, %who, $listens, $pid);
        open my $p, "<", "$name.pid"; chomp($pid = <$p>);
        sub wrong { $wrong++; print "section $section, $what: $client $server: @_\n" }
        open my $said, "<", $name; local $/; my $all = <$said>; $/ = "\n";
        # One write a line, but a title is three lines in one.
        for ($all =~ /\n\d\. .*\n.*\n|.*\n/g) {
            $n++;
            $section++, undef $port if /^\n/;
            ($client, $server, $what) = /^    ([A-Z_0-9]+|closed|-) +([A-Z_0-9]+|closed) +(.*)/
                or next;
            open my $file, "<", "$name.$n" or do { wrong("no $name.$n"); next };
            my @rows = map { [split " ", $_, 6] } <$file>;
            my @clients = grep { $_->[4] eq $at && $_->[0] =~ /^(SYN-SENT|ESTAB)$/ } @rows;
            my @asks = grep { $_->[0] eq "SYN-SENT" } @clients;
            @clients = @asks if @asks;
            $port = $clients[0][3] if @clients == 1;
            ($listens) = grep { $_->[0] eq "LISTEN" && $_->[3] eq $at } @rows;
            (%ss, %who) = ();
            for (@rows) {
                next if !defined $port;
                my $end = $_->[3] eq $port && $_->[4] eq $at ? "client"
                    : $_->[3] eq $at && $_->[4] eq $port ? "server" : next;
                wrong("$end twice in ss") if defined $ss{$end};
                $ss{$end} = $name{$_->[0]} // $_->[0] =~ tr/-/_/r;
                $who{$end} = join ",", $_->[5] =~ /pid=(\d+)/g;
            }
            $steps++;
            eval $script . "; 1" or die $@;
        }
        print "$steps steps, $wrong wrong\n";
        exit($steps < 30 || $wrong > 0)' "$log/$1" "$2"
}

# calls_of SECTION   the calls (sendto, recvfrom, shutdown, signals) made in that section, as strace
# has them, in short: "sendto 6", "recvfrom ECONNRESET".
calls_of() {
    perl -ne '$n++ if /write\(1, "\\n\d\. /;
        next if $n != '"$1"';
        print "$1 $2\n" if /^\d+ +(sendto|recvfrom|shutdown)\(.* = (?:-1 )?(E?\w+)/;
        print "$1\n" if /killed by (SIG\w+)/' "$log/four.calls"
}

# told SECTION   what that section of the run says, its title apart.
told() {
    awk -v n="$1. " '/^[0-9]\. / { on = index($0, n) == 1; next } on && /^    [^ ]/' "$log/four" |
        grep -v '^    client       server$' | sed -E 's/^ +//; s/ +/ /g'
}

# as_ss_shows NAME   the states that this run has told are those of ss, step by step.
as_ss_shows() {
    [[ $(<"$log/$1.status") == 0 ]]
    # shellcheck disable=SC2016
    steps "$1" '
        wrong("ss: ", $ss{client} // "none")
            if $client ne ($ss{client} // ($client eq "-" && !defined $port ? "-" : "closed"));
        if ($server eq "LISTEN") { wrong("nobody listens") if !$listens; next }
        wrong("ss: ", $ss{server} // "none") if $server ne ($ss{server} // "closed");
        wrong("it listens") if $listens && $what !~ /^server: accept/;'
}

@test "claim 20: at each step the states printed are those that ss shows at that moment" {
    as_ss_shows four
}

@test "claim 20: a connection's whole life, in the order of the states" {
    diff - <(told 1) <<'END'
- LISTEN server: socket(), bind(), listen()
SYN_SENT LISTEN client: connect(), but the server's queue is full
ESTABLISHED LISTEN server: accept() of another client makes room
ESTABLISHED ESTABLISHED server: accept()
FIN_WAIT2 CLOSE_WAIT client: shutdown(SHUT_WR)
FIN_WAIT2 LAST_ACK server: send() until all buffers are full, close()
TIME_WAIT closed client: recv() of all that, until it returns 0
TIME_WAIT closed client: close()
END
}

@test "claim 20: over IPv6 a connection's life is the same" {
    needs ipv6
    as_ss_shows six
    diff "$log/four" "$log/six"
}

@test "claim 20: each call that is printed was made, with that result, as strace shows it" {
    for section in 2 3 4 5 6 7; do
        calls_of "$section" | grep -E '^(sendto|recvfrom)' | sed 's/EAGAIN.*/EAGAIN/' \
            >"$log/made"
        told "$section" | sed -nE -e 's/^\w+: (send|recv): ([0-9]+) bytes.*/\1 \2/p' \
            -e 's/^\w+: (send|recv): .*\((E\w+)\)$/\1 \2/p' -e 's/.*killed by.*/send EPIPE/p' |
            sed 's/^send/sendto/; s/^recv/recvfrom/' >"$log/told"
        echo "section $section"
        diff "$log/made" "$log/told"
    done
}

@test "claim 16: one side is closed, and the other is still open: in ss, and with its program" {
    # shellcheck disable=SC2016
    steps four 'if ($section == 3 && $what eq "client: close()") {
            $seen++;
            wrong("no end for the server") if $ss{server} ne "CLOSE_WAIT" || $who{server} ne $pid;
            wrong("a program has the client end") if $who{client} ne "";
        }
        END { wrong("not seen") if !$seen }'
    told 2 | grep -qx 'client: recv: 6 bytes "answer"' # the half that stands works
    told 3 | grep -qx 'server: recv: 0 bytes ""'
}

@test "stumble 1: TIME_WAIT of a run before does not keep the port, which nobody listens on" {
    grep -qE "^TIME-WAIT .* $at " <(sed 's/  */ /g' "$log/four.end")
    run ! grep "^LISTEN .* $at " "$log/four.end"
    run ! grep -s "^LISTEN .* \\[::1\\]:${at##*:} " "$log/six.end"
    run -0 --keep-empty-lines timeout $((2 * patience)) bin/10-states "$at"
    diff <(printf %s "$output") "$log/four"
    shown "^LISTEN .*:${at##*:} " 0
}

@test "stumble 6: SIGPIPE: send to a peer that has gone kills, and a shell says 141" {
    calls_of 6 | tail -n 1 | grep -qx SIGPIPE
    grep -qE 'sendto\([0-9]+, "more", 4, 0,.*EPIPE' "$log/four.calls"
    told 6 | tail -n 1 |
        grep -qx 'server: send: killed by signal 13 (SIGPIPE); a shell calls that status 141'
    # And all other sends ask not to be: MSG_NOSIGNAL.
    run ! grep -E 'sendto\(' <(grep -vE 'MSG_NOSIGNAL|"more", 4, 0,' "$log/four.calls")
}

@test "stumble 9: the first send to a peer that has closed succeeds, the second: EPIPE" {
    diff - <(calls_of 3) <<'END'
recvfrom 0
sendto 6
sendto EPIPE
END
    diff - <(told 3) <<'END'
ESTABLISHED ESTABLISHED connect() and accept()
FIN_WAIT2 CLOSE_WAIT client: close()
server: recv: 0 bytes ""
server: send: 6 bytes "answer"
closed closed (the client's kernel has answered with a reset)
server: send: Broken pipe (EPIPE)
END
}

@test "stumble 18: CLOSE_WAIT has a program that has not closed yet, TIME_WAIT has none" {
    # shellcheck disable=SC2016
    steps four 'for my $end ("client", "server") {
            my $state = $ss{$end} // next;
            $seen{$state}++;
            wrong("CLOSE_WAIT without a program") if $state eq "CLOSE_WAIT" && $who{$end} eq "";
            wrong("TIME_WAIT with $who{$end}") if $state eq "TIME_WAIT" && $who{$end} ne "";
        }
        END { wrong("too few") if $seen{CLOSE_WAIT} < 5 || $seen{TIME_WAIT} < 5 }'
}

@test "claim 20: stumble 18: TIME_WAIT is on the side that closed first" {
    diff - <(told 8) <<'END'
ESTABLISHED ESTABLISHED connect() and accept()
FIN_WAIT2 CLOSE_WAIT client: close()
TIME_WAIT closed server: close()
ESTABLISHED ESTABLISHED connect() and accept()
CLOSE_WAIT FIN_WAIT2 server: close()
closed TIME_WAIT client: close()
END
    # In ss at the end: the last connection's on the server's side, that before it on the client's.
    (($(<"$log/four.seconds") < 55)) ||
        skip "the run took a minute here, and TIME_WAIT is over by then: the states told are right"
    tr -s ' ' <"$log/four.end" >"$log/end"
    (($(grep -c "^TIME-WAIT 0 0 $at " "$log/end") >= 2)) # sections 7 and 8
    (($(grep -cE "^TIME-WAIT 0 0 \S+ $at" "$log/end") >= 3)) # 1, 2, 8
}

@test "stumble 19: shutdown ends one direction, close both" {
    diff - <(calls_of 2) <<'END'
shutdown 0
recvfrom 0
sendto 6
recvfrom 6
END
    diff - <(told 2) <<'END'
ESTABLISHED ESTABLISHED connect() and accept()
FIN_WAIT2 CLOSE_WAIT client: shutdown(SHUT_WR)
server: recv: 0 bytes ""
server: send: 6 bytes "answer"
client: recv: 6 bytes "answer"
TIME_WAIT closed both: close()
END
}

@test "claim 20: stumble 19: a reset, by unread data or by SO_LINGER 0, leaves no TIME_WAIT" {
    diff - <(told 4) <<'END'
ESTABLISHED ESTABLISHED connect() and accept()
client: send: 8 bytes "question"
closed closed server: close() with unread bytes
client: recv: Connection reset by peer (ECONNRESET)
client: send: Broken pipe (EPIPE)
END
    diff - <(told 5) <<'END'
ESTABLISHED ESTABLISHED connect() and accept()
closed closed server: close()
client: recv: Connection reset by peer (ECONNRESET)
END
    [[ "$(calls_of 4)" == $'sendto 8\nrecvfrom ECONNRESET\nsendto EPIPE' ]]
    [[ "$(calls_of 5)" == 'recvfrom ECONNRESET' ]]
    (($(grep -c 'SO_LINGER, {l_onoff=1, l_linger=0}' "$log/four.calls") == 1))
}

@test "stumble 25: a child that has the socket keeps the connection open until the child ends" {
    # shellcheck disable=SC2016
    steps four 'if ($section == 7 && $what eq "server: fork(), close()") {
            $seen++;
            wrong("held by $who{server}, not by a child")
                if $who{server} !~ /^\d+$/ || $who{server} eq $pid;
        }
        if ($section == 7 && $what eq "the child has ended") {
            $seen++;
            wrong("held by $who{server}") if $who{server} ne "";
        }
        END { wrong("not seen") if $seen != 2 }'
    diff - <(told 7) <<'END'
ESTABLISHED ESTABLISHED connect() and accept()
ESTABLISHED ESTABLISHED server: fork(), close()
client: recv: Resource temporarily unavailable (EAGAIN)
CLOSE_WAIT FIN_WAIT2 the child has ended
client: recv: 0 bytes ""
closed TIME_WAIT client: close()
END
}
