# Lesson 12, what takes long: limits of time, a crowd of clients, big snapshots. .ci/run has this file.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers
load ../lib/web

@test "half a request: 408 when its time is over, and then the connection is closed" {
    sed 's/\(TIME_FOR_A_REQUEST = \)60000/\1300/; s/\(TIME_TO_LEAVE = \)60000/\1300/' \
        lessons/12-picture/picture.c >"$log/quick.c"
    run ! cmp -s "$log/quick.c" lessons/12-picture/picture.c
    ! grep -q fsanitize bin/compile || sanitize=(bin/sanitize.o)
    $(<bin/compile) -o "$log/12-picture" "$log/quick.c" bin/common.o \
        "${sanitize[@]}"
    export AT=127.0.0.1:$((port + 1))
    start quick "$log/12-picture" "$AT"
    quick=$pid
    saw quick '^open'
    # One has sent half a request, one never reads its answer, one has an answer and asks no more.
    peer half 'my $s = connected(); put($s, "GET / HTT"); print get($s, 12), "\n"; print "end\n" if !sysread $s, $_, 1e5; cue()'
    peer deaf 'my $s = connected(); fcntl $s, 4, 2048;
        syswrite $s, "GET /picture.js HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n" x 300; print "asked\n"; cue()'
    peer idle 'my $s = connected(); put($s, "GET / HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n"); get($s, 12);
        print "answered\n"; cue()'
    saw half '^HTTP/1.1 408'
    saw deaf '^asked'
    saw idle '^answered'
    saw quick '^request: fd [0-9]+, "GET / HTT": 408 '
    saw quick '^late: fd [0-9]+ has not closed in time'
    saw quick '^late: fd [0-9]+ has not read its answer in time'
    saw quick '^close: .*disconnecting' 2
    one_left() { (($(find "/proc/$quick/fd" -lname 'socket:*' | wc -l) == 2)); }
    eventually one_left
    run ! grep -q disconnecting <(grep "$(grep -m 1 'GET / HTTP' "$log/quick" | cut -d, -f1)" "$log/quick")
}

@test "a stream that nobody reads loses snapshots, and costs no memory; the others get each of them" {
    request='put($s, "GET $ARGV[0] HTTP/1.1\r\nHost: '"$at"'\r\n\r\n");'
    ulimit -Sn "$(ulimit -Hn)"
    export AT=127.0.0.1:$((port + 1))
    start echo bin/07-accept-many --quiet "$AT"
    saw echo '^listen'
    # With 600 connections a snapshot has 150 kB: the buffers of a socket are full, sooner or later.
    [[ $PLAYED_IN != "in a network"* ]] || echo 4096 16384 65536 2>/dev/null >/proc/sys/net/ipv4/tcp_wmem || :
    peer changes 'alarm 60; my @s = many(600); print "in\n"; cue();
        while (1) { push @s, connected(); select undef, undef, undef, 0.03 }'
    changes=$pid
    saw changes '^in'
    peer all "my \$s = connected('$at'); $request"' while (sysread $s, $_, 1e6) { print "data\n" while /^data: /gm }' "/events?all"
    peer deaf 'alarm 60; my ($s, $address) = Peer::unbound("'"$at"'"); setsockopt $s, 1, 8, 4096; connect $s, $address;'"$request"'
        sysread $s, $_, 100; print "deaf ", name(getsockname $s), "\n"; cue(); setsockopt $s, 1, 8, 1e6;
        get($s, 1e6); print "1 MB\n"' /events
    peer one "my \$s = connected('$at'); $request"' while (sysread $s, $_, 1e6) { print "data\n" while /^data: /gm }' /events
    saw one '^data'
    before=$(memory_of "$server")
    cue changes
    # What the kernel keeps for it is full when it stays the same, though the others get more.
    stuck() {
        local kept
        kept=$(unread)
        lines_of one '^data' && saw one '^data' $((REPLY + 3))
        ((kept > 0)) && [[ $(unread) == "$kept" ]]
    }
    unread() { ss -Htn "sport = :$port and dst $deaf" | awk '{ print $3 }'; }
    saw deaf '^deaf'
    deaf=$(sed -n 's/^deaf //p' "$log/deaf")
    eventually stuck
    lines_of one '^data'
    saw one '^data' $((REPLY + 25)) # they have 150 kB each: it keeps one for each client at most
    (($(memory_of "$server") - before <= 2500000))
    cue deaf # and goes on with those that come now
    saw deaf '^1 MB'
    kill "$changes"
    grep -q '^data' "$log/all"
}

@test "1,000 clients that ask nothing: a browser is served all the same" {
    ulimit -Sn "$(ulimit -Hn)"
    kill "$server"
    ended "$server"
    start server bin/12-picture "$at"
    server=$pid
    saw server '^open'
    peer crowd 'my @s = many(1000); put($_, "GET /page.css HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n") for @s;
        get($_, 15) eq "HTTP/1.1 200 OK" or die for @s; print "all\n"; cue()'
    saw crowd '^all'
    serves
}
