# Lesson 11: the crowd, and what the server takes for it. (What 07 bears, 11 bears: that is tested
# in 11-accept-many.bats.) Oracles: ss, strace, /proc, peers in Perl.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

setup() {
    start server bin/11-ten-thousand --quiet "$at"
    server=$pid
    saw server '^listen: '
}

# instead COMMAND...   ends the server of setup, and starts this one in its place.
instead() {
    kill "$server"
    ended "$server"
    start server "$@"
    server=$pid
    saw server '^listen'
}

# crowd OPTION...   starts the crowd, at $at.
crowd() {
    start crowd bin/11-crowd "$@" "$at"
    crowd=$pid
}

# held COUNT   does the kernel have so many connections to the server?
held() {
    (($(ss -Htn state established sport = ":$port" | wc -l) == $1))
}

# number PATTERN   the number in what the crowd said that stands in the brackets of the pattern.
number() {
    sed -nE "s/^.*$1.*$/\1/p" "$log/crowd"
}

# all_well CLIENTS IDLE   the crowd has ended, has found nothing wrong, and says so.
all_well() {
    saw crowd '^talked: '
    ended "$crowd"
    cat "$log/crowd"
    ((status == 0))
    grep -qx "connected: $1 of $1, 0 refused; $1 answered" "$log/crowd"
    grep -qx "answered again: $1 of $1, $2 of them idle" "$log/crowd"
}

# stopped   ^C ends the crowd.
stopped() {
    kill -INT "$crowd"
    ended "$crowd"
    cat "$log/crowd"
    ((status == 0))
}

@test "10,000 clients held at once, each answered, none refused; under 100 bytes for each" {
    clients=10000 limit=$(ulimit -Hn)
    if ((limit < clients + 100)); then
        clients=$((limit - 100))
        echo "# only $clients clients: ulimit -Hn is $limit" >&3
    fi
    peer first 'my $s = connected(); put($s, "hello"); print get($s, 5), "\n"; cue()'
    saw first '^hello' # so that all that is needed for the first one has been touched
    before=$(memory_of "$server")
    crowd --clients "$clients" --active 50 --seconds 0
    saw crowd '^connected: '
    kill -STOP "$crowd" # so that it does not end while we look
    eventually held $((clients + 1))
    (($(sockets_of "$server" | wc -l) == clients + 2)) # the listener, and `first`
    grep -q '^Threads:.1$' "/proc/$server/status"
    grep -q '^Threads:.1$' "/proc/$crowd/status"
    kill -CONT "$crowd"
    all_well "$clients" $((clients - 50))
    more=$(($(memory_of "$server") - before))
    echo "$more bytes more"
    ((more > 0)) || return 0 # not measured
    ((more > clients * 40 && more < clients * 100))
    each=$(number ' more bytes, ([0-9]+) per client')
    ((each * clients / 2 < more && more < each * clients * 3 / 2 && each < 100))
}

@test "the active clients talk, and the others are idle" {
    crowd --clients 60 --active 7 --seconds 2
    saw crowd '^connected: 60 '
    begun=$SECONDS
    # What the server has received of each connection: at first a message of 64 bytes.
    idle() {
        (($(ss -Htin state established sport = ":$port" | grep -cw 'bytes_received:64') == 53))
    }
    eventually idle
    sleep 0.3 # nothing is waited for here: they stay idle
    idle
    kill -STOP "$crowd" # so that it does not end while we look
    received=$(ss -Htin state established sport = ":$port" | grep -oE 'bytes_received:[0-9]+' |
        cut -d : -f 2 | sort -n | tail -n 7 | head -n 1)
    ((received > 640))
    over() { ((SECONDS >= begun + 3)); }
    eventually over # the two seconds, which it would else use up
    kill -CONT "$crowd"
    all_well 60 53
    (($(number '^talked: .* ([0-9]+) messages,') > 700))
    # It has used no more processor time than there was, and about as much as /proc says.
    used=$(($(awk '{ print $14 + $15 }' "/proc/$server/stat") * 1000000 / $(getconf CLK_TCK)))
    told=$(awk '/^talked: / { n = $8 } /^cost: / { print int(n * $2) }' "$log/crowd")
    echo "used $used us, told $told us"
    ((told > 1000 && told < used + 50000 && used < told + 150000))
    rate=$(number '^rate: ([0-9]+) ') messages=$(number '^talked: .* ([0-9]+) messages,')
    ((rate * 18 / 10 < messages))
}

@test "the same over IPv6" {
    needs ipv6
    visited "[::1]:$port" "[::1]:$((port + 1))" "127.0.0.1:$port"
}

@test "the same with the server of 07" {
    visited "$at" "127.0.0.1:$((port + 1))" "127.0.0.2:$port"
}

# visited HOST:PORT OTHER THIRD   the crowd visits the server of 07 at the first of them.
visited() {
    at=$1
    instead bin/07-accept-many --quiet "$at"
    start another bin/06-accept-one "$2" # the crowd is not to look at this one,
    saw another '^listen: '
    start third bin/06-accept-one "$3" # nor at this one
    saw third '^listen: '
    crowd --clients 200 --seconds 0
    all_well 200 190
    [[ $(number '^memory: pid ([0-9]+) has 199 more clients') == "$server" ]]
    [[ $(grep -c '^memory: ' "$log/crowd") == 1 ]]
}

@test "the server waits with epoll_wait and never with poll; what it tells is what it does" {
    needs strace
    instead strace -D -f -xx -s 99999 -o "$log/trace" -e signal=none \
        -e 'trace=%network,close,write,poll,ppoll,epoll_wait,epoll_pwait' bin/11-ten-thousand "$at"
    peer one 'my $s = connected(); put($s, "hello"); print get($s, 5), "\n"; cue()'
    saw one '^hello'
    peer two 'my $s = connected(); put($s, "hello"); get($s, 5); vanish($s)'
    saw server '^close: '
    kill "$server"
    eventually grep -q 'exited with 0' "$log/trace"
    run -0 perl tests/course/honest.pl listen accept close <"$log/trace"
    [[ $output == "6 calls told, honest" ]]
    # (say() asks for room in stdout: that is no socket.)
    run -1 grep -E '\bp?poll\((\[\{fd=([^1]|1[^,])|[^[])' "$log/trace"
    (($(grep -cE '\bepoll_p?wait\(' "$log/trace") >= 5))
}

@test "the server raises its limit of descriptors, and tells it" {
    hard=$(ulimit -Hn)
    instead bash -c 'ulimit -Sn 20; exec bin/11-ten-thousand --quiet "$0"' "$at"
    grep -qx "limit: $hard descriptors" "$log/server"
    grep -qE "^Max open files +$hard +$hard " "/proc/$server/limits"
    peer many 'my @s = many(100); put($_, "hello") for @s; get($_, 5) for @s; print "all\n"'
    saw many '^all'
}

@test "the crowd raises its limit, too; where it may not, it says what to do" {
    start crowd bash -c 'ulimit -Sn 40; exec bin/11-crowd --clients 200 --seconds 100 "$0"' "$at"
    crowd=$pid
    saw crowd '^connected: 200 of 200, 0 refused; 200 answered$'
    stopped
    run -1 as_student bash -c 'ulimit -n 150; exec bin/11-crowd --clients 200 "$0" 2>&1' "$at"
    [[ ${lines[0]} == "11-crowd: setrlimit RLIMIT_NOFILE to 216, for 200 clients: "*" (EPERM)" ]]
    [[ ${lines[1]} == "  try: "*" 150 descriptors (\`ulimit -Hn\`)"* ]]
}

@test "an answer with a wrong byte is seen, and one that belongs to somebody else" {
    for answer in 'substr($_, 63, 1) ^= "\1" for @a' '@a = reverse @a' '$_ .= "x" for @a'; do
        instead perl -Itests/lib -MPeer -e 'my $l = Peer::owner(); listen $l, 99; print "listening\n";
            my @s; for (1 .. 2) { accept $s[@s], $l; my $s = $s[-1]; put($s, get($s, 64)) }
            my @a = map { get($_, 64) } @s; '"$answer"'; put($s[$_], $a[$_]) for 0, 1; cue()'
        crowd --clients 2
        ended "$crowd"
        cat "$log/crowd"
        ((status == 1))
        grep -qE '^11-crowd: client [12]: message [23] has not come back as it was$' "$log/crowd"
    done
}

@test "no listener, no answer, too few answers, a server that closes: each is told, status 1" {
    # Who waits in the queue of a server that is out of descriptors has no answer, either.
    start few bash -c 'ulimit -n 25; exec bin/11-ten-thousand --quiet "$0"' "127.0.0.1:$((port + 3))"
    saw few '^listen'
    start waiting bin/11-crowd --clients 60 "127.0.0.1:$((port + 3))"
    waiting=$pid
    instead perl -Itests/lib -MPeer -e 'my $l = Peer::owner(); listen $l, 99; print "listening\n";
        cue()'
    crowd --clients 20
    unanswered=$crowd # it takes 3 seconds: meanwhile

    run -1 bin/11-crowd "127.0.0.1:$((port + 1))"
    [[ $output == "11-crowd: connect to 127.0.0.1:$((port + 1)): Connection refused (ECONNREFUSED)" ]]

    mkfifo "$log/three.in"
    start three perl -Itests/lib -MPeer -e 'my $l = Peer::owner($ARGV[0]); listen $l, 99;
        print "listening\n"; my @s; for (1 .. 3) { accept $s[@s], $l; put($s[-1], get($s[-1], 64)) }
        shutdown $s[1], 2; get($s[0]); cue()' \
        "127.0.0.1:$((port + 2))"
    saw three '^listening'
    run -1 bin/11-crowd --clients 3 "127.0.0.1:$((port + 2))"
    echo "$output"
    [[ $output == *"11-crowd: client 2: the server has closed the connection"* ]]

    ended "$unanswered"
    cat "$log/crowd"
    ((status == 1))
    grep -qx '11-crowd: no answer for 3 s: 1 of 20 clients wait' "$log/crowd"
    grep -qx 'connected: 1 of 20, 0 refused; 0 answered' "$log/crowd"

    ended "$waiting"
    cat "$log/waiting"
    ((status == 1))
    answered=$(sed -nE 's/^connected: 60 of 60, 0 refused; ([0-9]+) answered$/\1/p' "$log/waiting")
    ((answered >= 10 && answered <= 20))
    grep -qx "11-crowd: no answer for 3 s: $((60 - answered)) of 60 clients wait" \
        "$log/waiting"
}

@test "ephemeral ports run out: told, and others come from 127.0.0.2 and 127.0.0.3" {
    needs network
    machine
    range=/proc/sys/net/ipv4/ip_local_port_range
    [[ ${inside[*]} ]] && "${inside[@]}" bash -c "echo 40000 40049 2>/dev/null >$range" ||
        skip "the range of ephemeral ports cannot be set here"
    for at in $at "[::1]:$port"; do
        start other "${inside[@]}" bin/11-ten-thousand --quiet "$at"
        saw other '^listen: '
        start crowd "${inside[@]}" bin/11-crowd --clients 120 --seconds 100 "$at"
        crowd=$pid
        [[ $at == 127.* ]] || break
        saw crowd '^connected: 120 '
        "${inside[@]}" ss -Htn state established sport = ":$port" | awk '{ sub(/:.*/, "", $4)
            n[$4]++ } END { for (a in n) print a, n[a] }' | sort >"$log/sources"
        cat "$log/crowd" "$log/sources"
        diff - "$log/sources" <<<$'127.0.0.1 50\n127.0.0.2 50\n127.0.0.3 20'
        stopped
        grep -qx 'connected: 120 of 120, 0 refused; 120 answered' "$log/crowd"
        grep -qx 'ports: after 50 clients no ephemeral port is left; the next come from 127.0.0.2' \
            "$log/crowd"
        grep -qx 'ports: after 100 clients .* from 127.0.0.3' "$log/crowd"
    done
    ended "$crowd"
    ((status == 1))
    grep -q "^11-crowd: connect to \[::1\]:$port: after 50 .* port is left: .*(EADDRNOTAVAIL)$" \
        "$log/crowd"
}

@test "two servers share one port with --share-port, and the crowd is dealt out among them" {
    run -1 timeout 5 bin/11-ten-thousand --share-port "$at" # the first one does not share
    [[ $output == *"bind $at: Address already in use (EADDRINUSE)"* ]]
    instead bin/11-ten-thousand --quiet --share-port "$at"
    start second bin/11-ten-thousand --quiet --share-port "$at"
    second=$pid
    saw second '^listen: '
    crowd --clients 100 --active 100 --seconds 100
    saw crowd '^connected: '
    a=$(sockets_of "$server" | wc -l) b=$(sockets_of "$second" | wc -l) # with a listener each
    echo "$a $b"
    ((a + b == 102 && a > 10 && b > 10))
    stopped
    # The first client was there when the crowd first looked.
    told=$(sed -nE 's/^memory: pid ([0-9]+) has ([0-9]+) more clients.*/\1 \2/p' "$log/crowd" | sort)
    either=$(printf '%s\n' "$server $((a - 2))" "$second $((b - 1))" | sort)
    or=$(printf '%s\n' "$server $((a - 1))" "$second $((b - 2))" | sort)
    [[ $told == "$either" || $told == "$or" ]]
}

@test "^C ends the crowd in the middle, status 0, and it tells what it has" {
    crowd --clients 20 --seconds 100
    saw crowd '^connected: '
    stopped
    grep -q '^rate: ' "$log/crowd"
}

@test "when it takes long to connect, a terminal shows how far it is, unless it is a dumb one" {
    kill -STOP "$server"
    start dumb env TERM=dumb script -qec "bin/11-crowd --clients 50 --seconds 0 $at" /dev/null
    local dumb=$pid
    start crowd env TERM=xterm script -qec "bin/11-crowd --clients 50 --seconds 0 $at" /dev/null
    crowd=$pid
    saw crowd '^0 of 50 \.\.\.'
    kill -CONT "$server"
    saw crowd '^answered again: 50 of 50,'
    ended "$crowd"
    ((status == 0))
    ended "$dumb"
    ((status == 0))
    run -1 grep -a ' of 50 \.\.\.' "$log/dumb"
}

@test "the server of another user: its memory is not visible" {
    other=(setpriv --reuid 65534 --clear-groups --)
    "${other[@]}" true 2>/dev/null || skip "only root can be another user"
    start crowd "${other[@]}" bin/11-crowd --clients 5 --seconds 100 "$at"
    crowd=$pid
    saw crowd '^connected: 5 '
    stopped
    grep -q '^memory: not visible; ' "$log/crowd"
}

@test "what the page shows as the difference to 07 is the whole difference, and it is small" {
    diff lessons/07-accept-many/accept-many.c lessons/11-ten-thousand/ten-thousand.c |
        sed -n 's/^< \?/-/p; s/^> \?/+/p' >"$log/diff"
    sed -n '/^```diff$/,/^```$/{/^[-+]/p;}' lessons/11-ten-thousand/README.md >"$log/page"
    diff "$log/diff" "$log/page"
    (($(wc -l <"$log/diff") < 90))
}

@test "the chart on the page and the table on the page are of one run" {
    rows=$(grep -cE '^ *[0-9]+( +[0-9.]+){3} us( +[0-9.]+){3} us$' lessons/11-ten-thousand/README.md)
    ((rows == 5))
    while read -r clients _ us _ _ _ us11 _; do
        grep -qx " *$clients clients: poll $us, epoll $us11\." slides/figures/bench.svg
    done < <(grep -E '^ *[0-9]+( +[0-9.]+){3} us' lessons/11-ten-thousand/README.md)
    run -0 sed -nE '/ cores?, Linux /s/;.*//p' lessons/11-ten-thousand/README.md
    grep -qF "Measured on ${lines[0]}." slides/figures/bench.svg
}
