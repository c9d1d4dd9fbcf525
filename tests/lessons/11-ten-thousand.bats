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

# received SIGN NUMBER   of how many connections has the server received so many bytes? (The first
# message of each client is 64.)
received() {
    ss -Htin state established sport = ":$port" | grep -oE 'bytes_received:[0-9]+' |
        awk -F : -v number="$2" "\$2 $1 number { n++ } END { print n + 0 }"
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
    crowd --clients 60 --active 7 --seconds 100
    saw crowd '^connected: 60 '
    seven_talk() { (($(received '>' 640) == 7)); }
    eventually seven_talk
    (($(received '==' 64) == 53)) # and go on doing nothing
    stopped
}

@test "^C ends the crowd at any time, status 0, and it prints what it has" {
    crowd --clients 20 --seconds 100
    they_talk() { (($(received '>' 640) > 0)); }
    eventually they_talk
    stopped
    grep -q '^rate: ' "$log/crowd"
}

@test "when it takes long to connect, a terminal shows how far it is, unless it is a dumb one" {
    local dumb
    kill -STOP "$server"
    start dumb env TERM=dumb script -qec "bin/11-crowd --clients 50 --seconds 0 $at" /dev/null
    dumb=$pid
    eventually shown "^ESTAB 64 0 $at " # so it begins to wait before the other one does
    start crowd env TERM=xterm script -qec "bin/11-crowd --clients 50 --seconds 0 $at" /dev/null
    crowd=$pid
    saw crowd '^0 of 50 \.\.\.' # after a second
    kill -CONT "$server"
    for p in crowd dumb; do
        saw "$p" '^answered again: 50 of 50,'
        ended "${!p}"
        ((status == 0))
    done
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
