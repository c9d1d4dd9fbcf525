# Lesson 04: --watch. Oracles: strace, peers in Perl. (The table itself: 04-ports-in-use.bats)
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, port, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers
ports_for_each_test

# tables COUNT   has the watch shown the table that many times?
tables() {
    (($(grep -c '^sockets: ' "$log/watch") == $1))
}

@test "claim 8: --watch shows the table whenever it changes, and marks what is new with +" {
    start server bin/07-accept-many "$at"
    saw server '^listen'
    start watch bin/04-ports-in-use "$port" --watch
    watch=$pid
    saw watch '^sockets: 1, listening: 1'
    run ! grep '^+' "$log/watch"
    tables 1

    peer client 'my $s = connected($ARGV[0]); print name(getsockname $s), "\n";
        cue(); finish($s); cue()' "$at"
    saw client '^127'
    read -r client <"$log/client"
    saw watch '^sockets: 3, listening: 1'
    # What the kernels and the server have made of it may come a look later: SYN_SENT before
    # ESTABLISHED, and that before accept, and after.
    saw watch "^\+ESTABLISHED +0 +0 $at +$client "
    saw watch "^\+ESTABLISHED +0 +0 $client +$at "
    sed -n '/^$/,$p' "$log/watch" | grep -qE '^ LISTEN '

    cue client # 07 closes its end, too: client's end to TIME_WAIT
    saw watch "^\+TIME_WAIT +0 +0 $client +$at +-$"
    kill "$watch"
    ended "$watch"
    [[ $status == 0 ]]
}

@test "claim 8: --watch: a socket that changes only its state is new as well" {
    peer both 'my $l = owner($ARGV[0]); listen $l, 5;
        my $c = connected($ARGV[0]); accept(my $s, $l); print name(getsockname $c), "\n";
        cue(); finish($c); cue()' "$at"
    saw both '^127'
    read -r client <"$log/both"
    start watch bin/04-ports-in-use --watch "$port"
    watch=$pid
    saw watch '^sockets: 3, listening: 1'
    cue both
    saw watch "^\+FIN_WAIT2 +0 +0 $client +$at "
    saw watch "^\+CLOSE_WAIT +[01] +0 $at +$client "
    kill -INT "$watch"
    ended "$watch"
    [[ $status == 0 ]]
}

@test "--watch looks and prints nothing while nothing changes; SIGINT and SIGTERM end it, status 0" {
    needs strace
    start server bin/06-accept-one "$at"
    saw server '^listen'
    for signal in INT TERM; do
        start watch strace -D -qq -o "$log/trace" -e trace=openat \
            bin/04-ports-in-use --watch "$port"
        saw watch '^sockets: 1, listening: 1'
        eventually eval '(($(grep -c "/proc/net/tcp\"" "$log/trace") >= 4))'
        tables 1
        kill -"$signal" "$pid"
        ended "$pid"
        [[ $status == 0 ]]
        tables 1
    done
}
