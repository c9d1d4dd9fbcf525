# Lesson 12: the web server, and its snapshots. Oracles: ss, /proc, curl, jq, peers in Perl. (What the
# browser makes of it is tested in a browser.)
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

web=$at # the server that is asked: see http
setup() {
    start server bin/12-picture "$at"
    server=$pid
    saw server '^open in a browser: '
}

# http LINE...   sends a request of these lines, and the empty line at its end; prints all that comes
# back until the server at $web has finished, with \n as the end of a line.
http() {
    local request
    printf -v request '%s\r\n' "$@" ""
    raw "$request"
}
raw() { # BYTES
    AT=$web perl -Itests/lib -MPeer -e 'alarm 5; print talk(connected(), $ARGV[0])' "$1" | tr -d '\r'
}
get() { # TARGET   prints the body of the answer
    http "GET $1 HTTP/1.1" "Host: $web" | sed '1,/^$/d'
}

# answers <<END   does the server at $web answer each of these requests with its status? Each is a line
# STATUS|LINE|LINE..., all of the same server and each on a connection of its own.
answers() {
    AT=$web perl -Itests/lib -MPeer -e 'alarm 5; while (<STDIN>) {
        chomp; my ($status, @lines) = split /\|/;
        my $said = talk(connected(), join "", map { "$_\r\n" } @lines, "");
        die "expected $status: $_\nnot: ", $said =~ /(.*)/, "\n" if $said !~ m{^HTTP/1.1 $status }; }'
}
serves() {
    answers <<<"200|GET /page.css HTTP/1.1|Host: $web"
}

# pictured [?all]   the sockets of a snapshot at the port of $AT, one per line: PID FD STATE RECV-Q
# SEND-Q LOCAL PEER. (- for a socket without a program. At the server's own there are others each time.)
pictured() {
    get "/snapshot${1-}" | jq -r '.machines[]
        | (.programs[] | . as $p | .sockets[] | [$p.pid, .fd, .state, .recv_q, .send_q, .local, .peer]),
          (.orphans[] | ["-", "-", .state, .recv_q, .send_q, .local, .peer]) | @tsv' |
        tr '\t' ' ' | grep ":${AT##*:}\b" | sort
}
# by_ss   the same, as ss tells it. (The Send-Q of a listener there is the length of the queue.)
by_ss() {
    ss -Htanp | perl -lane '
        my %long = ("ESTAB" => "ESTABLISHED", "UNCONN" => "CLOSE");
        my ($state, $recv, $send, $local, $peer) = @F;
        ($state = $long{$state} // $state) =~ s/-/_/g;
        $state =~ s/WAIT_([12])/WAIT$1/;
        $peer = "none" if $peer =~ /:\*$/;
        $send = 0 if $state eq "LISTEN";
        my @owners = /pid=(\d+),fd=(\d+)/g;
        push @owners, "-", "-" if !@owners;
        while (my ($pid, $fd) = splice @owners, 0, 2) {
            print "$pid $fd $state $recv $send $local $peer";
        }' | grep ":${AT##*:}\b" | sort
}
# agree [?all]   do both say the same?
agree() {
    pictured "${1-}" >"$log/pictured"
    by_ss >"$log/by-ss"
    diff "$log/by-ss" "$log/pictured" >"$log/difference"
}
agrees() {
    eventually agree "${1-}" || {
        cat "$log/difference"
        return 1
    }
}

@test "06 and 05: a snapshot has each socket as ss has it: program, fd, endpoints, state, queues" {
    export AT=127.0.0.1:$((port + 1))
    start echo bin/06-accept-one "$AT"
    saw echo '^listen'
    agrees
    (($(wc -l <"$log/pictured") == 1))
    start client bin/05-connect "$AT"
    saw echo '^accept'
    agrees
    (($(wc -l <"$log/pictured") == 3))
    get /snapshot | jq -e --argjson pid "$pid" \
        '.machines[0].programs[] | select(.pid == $pid) | .name == "05-connect"'
}

@test "07 with clients in each state, its queue and full buffers: the snapshot agrees with ss" {
    export AT=127.0.0.1:$((port + 2))
    start echo bin/07-accept-many "$AT"
    many=$pid
    saw echo '^listen'
    peer clients 'my @s = map { connected() } 1 .. 3; print "in\n"; cue();
        fill($s[1]); print "full\n"; cue();
        close $s[0]; finish($s[2]); print "finished\n"; cue();
        my @more = map { connected() } 1 .. 4; print "queued\n"; cue()'
    saw clients '^in'
    agrees
    cue clients
    saw clients '^full'
    agrees # and the bytes in both buffers
    grep -qE ' ESTABLISHED [1-9][0-9]* [0-9]+ ' "$log/pictured"
    cue clients
    saw clients '^finished'
    agrees
    grep -q ' TIME_WAIT ' "$log/pictured"
    kill -STOP "$many"
    cue clients
    saw clients '^queued'
    agrees
    (($(grep -c "^- - ESTABLISHED 0 0 $AT " "$log/pictured") == 4))
    grep -q "^$many 3 LISTEN 4 0 $AT none" "$log/pictured"
    kill -KILL "$many"
    ended "$many"
    agrees
}

@test "FIN_WAIT2 and CLOSE_WAIT, and what a program that has ended leaves behind, are shown" {
    export AT=127.0.0.1:$((port + 3))
    peer listener 'open my $f, ">", "/proc/self/comm"; syswrite $f, "99-slow"; close $f;
        my $s = accepted(); get($s); print "eof\n"; cue()'
    saw listener '^listening'
    peer client 'my $s = connected(); finish($s); print "half\n"; cue()'
    saw listener '^eof'
    agrees
    grep -qE "^[0-9]+ [0-9]+ FIN_WAIT2 0 0 127\.0\.0\.1:[0-9]+ $AT$" "$log/pictured"
    grep -qE "^[0-9]+ [0-9]+ CLOSE_WAIT [01] 0 $AT " "$log/pictured"
    cue client # its program ends: the kernel keeps FIN_WAIT2, without a program
    ended "$pid"
    agrees
    grep -qE "^- - FIN_WAIT2 .* $AT$" "$log/pictured"
}

@test "programs of others are not shown, unless they are connected; with ?all they are" {
    export AT=127.0.0.1:$((port + 4))
    peer other 'listen my $s = owner(), 5; print "listening\n"; cue()'
    saw other '^listening'
    [[ -z $(pictured) ]]
    agrees '?all'
    (($(wc -l <"$log/pictured") == 1))
    start client bin/05-connect "$AT"
    saw client '^connect'
    agrees '?all'
    (($(wc -l <"$log/pictured") == 3))
    pictured >"$log/pictured" # all but the listener of a program that is not the course's
    grep -v ' LISTEN ' "$log/by-ss" | diff - "$log/pictured"
    # It ends: what the kernel keeps of its connection is still known to have been the course's.
    kill "$pid"
    ended "$pid"
    left() { pictured | grep -q "^- - FIN_WAIT2 0 0 .* $AT$"; }
    eventually left
}

@test "a program called <script>, quotes, a control character and half a character: it is JSON" {
    export AT=127.0.0.1:$((port + 5))
    peer hostile 'open my $f, ">", "/proc/self/comm"; syswrite $f, qq(06-<b>"\\\x01\xc3\xa9\xff\xc3); close $f;
        listen my $s = owner(), 5; print "listening\n"; cue()'
    saw hostile '^listening'
    get /snapshot >"$log/snapshot"
    name=$(jq -ac --argjson pid "$pid" '.machines[].programs[] | select(.pid == $pid).name' "$log/snapshot")
    [[ $name == '"06-<b>\"\\\u0001\u00e9\ufffd\ufffd"' ]]
    (($(wc -l <"$log/snapshot") == 0)) # one line, which ends where the length says
}

@test "each file is served to the byte, with its type, its length, and what a browser must not do" {
    for file in /=lessons/12-picture/page.html:text/html /page.css=lessons/12-picture/page.css:text/css \
        /page.js=lessons/12-picture/page.js:text/javascript /picture.js=common/picture.js:text/javascript; do
        path=${file%%=*} type=${file##*:} file=${file#*=} file=${file%:*}
        perl -Itests/lib -MPeer -e 'alarm 5; my $s = connected();
            put($s, "GET $ARGV[0] HTTP/1.1\r\nHost: $ARGV[1]\r\nConnection: close\r\n\r\n");
            my ($head, $body) = split /\r\n\r\n/, get($s), 2; print $body; print STDERR "$head\n"' \
            "$path" "$at" >"$log/body" 2>"$log/head"
        cmp "$log/body" "$file"
        tr -d '\r' <"$log/head" >"$log/headers"
        for header in "Content-Type: $type; charset=utf-8" "Content-Length: $(wc -c <"$file")" \
            "Cache-Control: no-store" "X-Content-Type-Options: nosniff" "Connection: close" \
            "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"; do
            grep -qxF "$header" "$log/headers"
        done
        run ! grep -qi '^Access-Control' "$log/headers"
    done
    [[ $(http "GET /snapshot HTTP/1.1" "Host: $at") == *"Content-Type: application/json; charset=utf-8"* ]]
}

@test "curl gets the page, two requests on one connection, and a status that says why not" {
    needs curl
    curl -sSf "http://$at/" | cmp - lessons/12-picture/page.html
    [[ $(curl -sS -o /dev/null -w '%{http_code} %{num_connects}\n' "http://$at/" --next \
        -sS -o /dev/null -w '%{http_code} %{num_connects}\n' "http://$at/favicon.ico") == $'200 1\n404 0' ]]
    [[ $(curl -sS -o /dev/null -w '%{http_code}' -d some "http://$at/") == 405 ]]
    [[ $(curl -sSI "http://$at/") == "HTTP/1.1 405 "*"Allow: GET"* ]]
    [[ $(curl -sS0 -o /dev/null -w '%{http_code}' "http://$at/") == 200 ]]
    [[ $(curl -sS -H 'Host: evil.example' -o /dev/null -w '%{http_code}' "http://$at/") == 403 ]]
}

@test "what is not a request is refused, with the status that says why" {
    local host="Host: $at" x01=$'\x01' xff=$'\xff' escape=$'\x1b' end=$'\r'
    answers <<-END
		400|hello
		400|GET /|$host
		400|GET / HTTP/2.0|$host
		400|GET / HTTP/1.1 |$host
		400|GET  / HTTP/1.1|$host
		400|GET /$x01 HTTP/1.1|$host
		400|GET /$xff HTTP/1.1|$host
		400|GET /$end HTTP/1.1|$host
		400|G(T / HTTP/1.1|$host
		400|GET / HTTP/1.1
		400|GET / HTTP/1.1|$host|$host
		400|GET / HTTP/1.1|$host|no colon
		400|GET / HTTP/1.1|Host : $at
		400|GET / HTTP/1.1|$host| more of it
		400|GET / HTTP/1.1|$host|X: ${escape}[2J
		400|GET / HTTP/1.1|$host|Content-Length: 5
		400|GET / HTTP/1.1|$host|Transfer-Encoding: chunked
		200|GET / HTTP/1.1|$host|Content-Length: 0
		200||GET / HTTP/1.1|hOST:$at  
		200|GET / HTTP/1.0
	END
    printf "405|%s / HTTP/1.1|$host\n" HEAD POST PUT DELETE OPTIONS CONNECT TRACE BREW get | answers
    printf "404|GET %s HTTP/1.1|$host\n" /favicon.ico /page.html /snapshots /../etc/passwd //page.css \
        /%70age.css "*" page.css "http://$at/" | answers
    [[ $(raw $'\x16\x03\x01\x02') == "HTTP/1.1 400 "* ]] # https:// begins so
    [[ $(raw $'GET / HTTP/1.1\nHost: '"$at"$'\n\n') == "HTTP/1.1 200 "* ]]
    [[ -z $(http "HEAD / HTTP/1.1" "$host" | sed '1,/^$/d') ]]
    run ! grep -q $'[\x01-\x09\x0b-\x1f\x7f-\xff]' "$log/server" # what a peer says is escaped
    serves
}

@test "a Host that is not the server's is refused, whatever leads to it (DNS rebinding)" {
    printf '200|GET /snapshot HTTP/1.1|Host: %s\n' \
        "127.0.0.1:$port" "localhost:$port" "LocalHost:$port" "[::1]:$port" | answers
    for path in /snapshot /events /; do
        printf "403|GET $path HTTP/1.1|Host: %s\n" "evil.example:$port" evil.example 127.0.0.1 localhost \
            "127.0.0.1:$((port + 1))" "localhost.evil.example:$port" "evil-localhost:$port" \
            "127.0.0.2:$port" "0.0.0.0:$port" "" "127.0.0.1:$port, localhost:$port" \
            "127.0.0.1:${port}0" "user@127.0.0.1:$port" | answers
    done
    answers <<<"403|GET /snapshot HTTP/1.0|Host: evil.example"
    # Beyond loopback: the address that the connection has come to.
    start wide bin/12-picture "0.0.0.0:$((port + 1))"
    saw wide '^open'
    web=127.0.0.3:$((port + 1))
    printf '%s|GET / HTTP/1.1|Host: %s\n' 200 "$web" 403 "127.0.0.4:$((port + 1))" | answers
    ! lacks ipv6 || return 0
    start six bin/12-picture "[::]:$((port + 2))"
    saw six '^open in a browser: http://\[::\]:'
    for web in "[::1]:$((port + 2))" "127.0.0.3:$((port + 2))"; do # (IPv4 comes to an IPv6 socket)
        answers <<<"200|GET / HTTP/1.1|Host: $web"
    done
}

@test "a request of 1 MB, in its line or its headers: 431, read to the end of it, and no memory" {
    serves
    before=$(memory_of "$server")
    for start in "GET /" $'GET / HTTP/1.1\r\nX: ' $'\r\n'; do
        [[ $(perl -Itests/lib -MPeer -e 'my $s = connected(); put($s, $ARGV[0] . "x" x 1e6);
            print get($s, 12)' "$start") == "HTTP/1.1 431" ]]
    done
    [[ $(raw "GET /$(printf '%*s' 16000 "" | tr ' ' x) HTTP/1.1"$'\r\nHost: '"$at"$'\r\n\r\n') == "HTTP/1.1 404 "* ]]
    (($(memory_of "$server") - before <= 16 * 4096))
    serves
}

@test "a request in pieces, byte by byte, is one request; 300 in one piece are 300, in order" {
    perl -Itests/lib -MPeer -e 'alarm 5; my $s = connected();
        put($s, $_), select undef, undef, undef, 0.002 for split //, "GET /page.css HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n";
        get($s, 15) eq "HTTP/1.1 200 OK" or die;'
    perl -Itests/lib -MPeer -e 'alarm 5;
        my $all = talk(connected(), join "", map { "GET /$_ HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n" } 1 .. 300);
        print "$_\n" for $all =~ /^HTTP.1.1 (\d+) /gm' >"$log/statuses"
    [[ $(sort "$log/statuses" | uniq -c) == *" 300 404" ]]
    sed -nE 's/^request: fd [0-9]+, "GET .([0-9]+) .*/\1/p' "$log/server" | cmp - <(seq 300)
    serves
}

@test "a client that pipelines and never reads: nothing more is received from it, others are served" {
    serves
    before=$(memory_of "$server")
    peer deaf 'my $s = connected(); my $r = "GET /picture.js HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n" x 1e4;
        fcntl $s, 4, 2048; my $n = 1; my $out = ""; vec($out, fileno $s, 1) = 1;
        $n = syswrite $s, $r while select undef, my $w = $out, undef, 0.2; print "full\n"; cue()'
    saw deaf '^full'
    serves
    (($(memory_of "$server") - before <= 64 * 4096))
    answered=$(grep -c '^request: ' "$log/server")
    ((answered < 2000))
}

@test "half a request: 408 when its time is over, and then the connection is closed" {
    sed 's/\(TIME_FOR_A_REQUEST = \)60000/\1300/; s/\(TIME_TO_LEAVE = \)2000/\1300/' \
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
    saw quick '^close: .*ETIMEDOUT' 2
    one_left() { (($(find "/proc/$quick/fd" -lname 'socket:*' | wc -l) == 2)); }
    eventually one_left
    run ! grep -q ETIMEDOUT <(grep "$(grep -m 1 'GET / HTTP' "$log/quick" | cut -d, -f1)" "$log/quick")
}

@test "the stream: one snapshot at once, one for each change, and none while nothing changes" {
    needs network
    peer watcher 'my $s = connected(); put($s, "GET /events HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n");
        while (sysread $s, $_, 1e6) { tr/\r//d; print }'
    saw watcher '^Content-Type: text/event-stream; charset=utf-8$'
    saw watcher '^data: \{"time":'
    run ! grep -q '^Content-Length' "$log/watcher"
    start echo bin/06-accept-one "127.0.0.1:$((port + 1))"
    saw watcher '"06-accept-one"'
    # (The looks are 33 ms apart. ss is a look from outside, at the same sockets.)
    quiet() {
        local n
        n=$(grep -c '^data' "$log/watcher")
        for _ in {1..10}; do ss -Htan >/dev/null && rest; done
        (($(grep -c '^data' "$log/watcher") == n))
    }
    tries=100
    eventually quiet
    last=$(grep '^data' "$log/watcher" | tail -n 1)
    jq -e '.machines[0].programs | map(.name) == ["12-picture", "06-accept-one", "perl"]
        or map(.name) == ["12-picture", "perl", "06-accept-one"]' <<<"${last#data: }"
    kill "$pid"
    gone() { run ! grep -q 06-accept-one <(grep '^data' "$log/watcher" | tail -n 1); }
    eventually gone
}

@test "two streams: both get each snapshot, ?all is another; one that is not read loses them, not memory" {
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

@test "nobody watches: the server sleeps, without a time to wait; it does so again after a visit" {
    needs strace
    sleeps() { # ppoll(2) with NULL as its third argument, and it has never waited for a time
        local words
        read -ra words <"/proc/$server/syscall"
        [[ ${words[0]} != running && ${words[3]} == 0x0 ]]
    }
    eventually sleeps
    woken() { sed -n 's/^voluntary_ctxt_switches:\t//p' "/proc/$server/status"; }
    before=$(woken)
    for _ in {1..20}; do ss -Htan >/dev/null; done
    [[ $(woken) == "$before" ]]
    peer watcher 'my $s = connected(); put($s, "GET /events HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n"); cue();
        close $s; cue()'
    looks() { ! sleeps; }
    eventually looks
    cue watcher
    saw server '^close: '
    eventually sleeps
}

@test "1,000 clients that ask nothing, and descriptors for 15: a browser is served all the same" {
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
    cue crowd
    start few bash -c 'ulimit -n 20; exec bin/12-picture "$0"' "127.0.0.1:$((port + 1))"
    web=127.0.0.1:$((port + 1))
    saw few '^open'
    AT=$web peer clients 'my @s = many(40); print "in\n"; cue(); close $_ for @s; print "out\n"; cue()'
    saw clients '^in'
    saw few EMFILE
    cue clients
    saw clients '^out'
    serves
    (($(grep -c 'accept on .*EMFILE' "$log/few") == 1))
}

@test "a snapshot that cannot be taken is said once, and is 503: the server goes on" {
    start few bash -c 'ulimit -n 5; exec bin/12-picture "$0"' "127.0.0.1:$((port + 1))"
    web=127.0.0.1:$((port + 1))
    saw few '^open'
    answers <<<"503|GET /snapshot HTTP/1.1|Host: $web"
    answers <<<"503|GET /snapshot?all HTTP/1.1|Host: $web"
    serves
    (($(grep -c '^12-picture: opendir .*EMFILE' "$log/few") == 1))
}

@test "resets, at each moment: only their clients are lost" {
    peer resets 'for my $i (1 .. 100) { for my $r ("", "GET / HT", "GET /picture.js HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n",
            "GET /events HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n") {
            my $s = connected(); put($s, $r); sysread $s, $_, 100 if $i % 2 && length $r > 8; vanish($s) } }
        print "done\n"'
    saw resets '^done'
    serves
    saw server '^close: ' 401
    (($(find "/proc/$server/fd" -lname 'socket:*' | wc -l) == 1))
}

@test "the lab: from outside its PCs are A, B and C, each with its address and sockets" {
    needs lab
    export LAB_OF=$BATS_TEST_TMPDIR
    start A common/lab run A bin/07-accept-many 192.168.0.101:6666
    saw A '^listen'
    start B common/lab run B bin/05-connect 192.168.0.101:6666
    saw B '^connect'
    start C common/lab run C bin/05-connect 192.168.0.101:6666
    saw C '^connect'
    start outside bin/12-picture "127.0.0.1:$((port + 1))"
    saw outside '^open'
    for where in outside C; do
        if [[ $where == C ]]; then # on PC B, asked by PC C
            start inside common/lab run B bin/12-picture 192.168.0.102:8080
            saw inside '^open'
            common/lab run C perl -Itests/lib -MPeer -e 'alarm 5; my $at = "192.168.0.102:8080"; my $s = connected($at);
                put($s, "GET /snapshot HTTP/1.1\r\nHost: $at\r\nConnection: close\r\n\r\n"); print get($s)' |
                sed '1,/^\r$/d' >"$log/snapshot"
        else
            web=127.0.0.1:$((port + 1))
            get /snapshot >"$log/snapshot"
        fi
        jq -c '.machines[] | [.name, .addresses[0],
            [.programs[] | select(.name | test("^0")) | .name, (.sockets[] | .state)]]' "$log/snapshot" | grep -v '^\["this' >"$log/seen"
        diff "$log/seen" - <<END
["A","192.168.0.101",["07-accept-many","LISTEN","ESTABLISHED","ESTABLISHED"]]
["B","192.168.0.102",["05-connect","ESTABLISHED"]]
["C","192.168.0.103",["05-connect","ESTABLISHED"]]
END
    done
}
