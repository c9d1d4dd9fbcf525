# Lesson 12: the web server, and its snapshots. Oracles: ss, /proc, curl, jq, peers in Perl. (What the
# browser makes of it is tested in a browser.)
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers
load ../lib/web

# compared [?all]   writes the sockets at the port of $AT to $log/pictured, from a snapshot, and to
# $log/by-ss, as ss has them; one per line: PID FD STATE RECV-Q SEND-Q LOCAL PEER, with - for who has
# one that no program has. (One process: it is done often. The Send-Q of a listener in ss is the
# longest that the queue may be. At the server's own port there are other sockets each time.)
compared() {
    WEB=$web perl -Itests/lib -MPeer -e 'alarm 5; my ($port) = $ENV{AT} =~ /(\d+)$/;
        sub save { my $name = shift; open my $f, ">", $name or die; print $f sort grep /:$port\b/, @_ }
        my $json = talk(connected($ENV{WEB}), "GET /snapshot$ARGV[1] HTTP/1.1\r\nHost: $ENV{WEB}\r\n\r\n");
        $json =~ m{^HTTP/1.1 200 } or die $json;
        my ($pid, @pictured, @by_ss);
        while ($json =~ /"pid":(\d+)|("orphans":)|\{(?:"fd":(\d+),)?"local":"(.*?)","peer":"(.*?)","state":"(.*?)","recv_q":(\d+),"send_q":(\d+)\}/g) {
            if (defined $1 || defined $2) { $pid = $1 // "-" }
            else { push @pictured, join(" ", $pid, $3 // "-", $6, $7, $8, $4, $5) . "\n" } }
        my %long = ("ESTAB" => "ESTABLISHED", "UNCONN" => "CLOSE");
        for (`ss -Htuanp`) {
            my ($protocol, $state, $recv, $send, $local, $peer) = split;
            ($state = $long{$state} // $state) =~ s/-/_/g;
            $state =~ s/WAIT_([12])/WAIT$1/;
            $peer = "none" if $peer =~ /:\*$/;
            $send = 0 if $state eq "LISTEN";
            $state = "UDP" if $protocol eq "udp";
            my @owners = /pid=(\d+),fd=(\d+)/g;
            push @owners, "-", "-" if !@owners;
            while (my ($pid, $fd) = splice @owners, 0, 2) {
                push @by_ss, "$pid $fd $state $recv $send $local $peer\n" } }
        save("$ARGV[0]/pictured", @pictured); save("$ARGV[0]/by-ss", @by_ss)' "$log" "${1-}"
}
agree() { # [?all]   do both say the same?
    compared "${1-}" && [[ $(<"$log/pictured") == "$(<"$log/by-ss")" ]]
}
agrees() {
    eventually agree "${1-}" || {
        diff "$log/by-ss" "$log/pictured"
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

@test "13: UDP sockets, beside TCP at the same port; neither is taken for the other" {
    needs network # (two ports of others have to be free)
    export AT=127.0.0.1:$((port + 6))
    start echo bin/06-accept-one "$AT"
    saw echo '^listen'
    start receiver bin/13-datagrams --receiver "$AT"
    receiver=$pid
    saw receiver '^bind'
    start fixed bin/13-datagrams --connect "$AT"
    saw fixed '^connect'
    start client bin/05-connect "$AT"
    saw client '^connect'
    saw echo '^accept'
    agrees
    (($(grep -c ' UDP ' "$log/pictured") == 2))
    (($(grep -c ' ESTABLISHED ' "$log/pictured") == 2))
    grep -qE "^$receiver 3 UDP 0 0 $AT none$" "$log/pictured"
    kill -STOP "$receiver"
    cue fixed hello
    saw fixed '^sendto'
    agrees
    grep -qE "^$receiver 3 UDP [1-9][0-9]* 0 $AT none$" "$log/pictured"
    # Of others: a UDP socket, and a TCP connection that is at the two endpoints of a UDP socket of ours.
    from=$(sed -nE 's/^connect: (.*) -> .*/\1/p' "$log/fixed")
    kill "$pid" "${started[1]}" # 05, and 06: now others may listen
    ended "${started[1]}"
    peer udp 'my $s = datagrams($ARGV[0]); print "bound\n"; cue()' "127.0.0.1:$((port + 7))"
    peer tcp 'my $s = accepted(); print "accepted\n"; cue()'
    saw tcp '^listening'
    peer other 'my $s = owner($ARGV[0]); connect $s, (Peer::unbound())[1] or die "connect: $!"; cue()' "$from"
    saw tcp '^accepted'
    saw udp '^bound'
    compared
    (($(grep -c ' UDP ' "$log/pictured") == 2))
    run ! grep "$from" <(grep ' ESTABLISHED ' "$log/pictured")
    agrees '?all'
    grep -qE " ESTABLISHED 0 0 $AT $from$" "$log/pictured"
    AT=127.0.0.1:$((port + 7)) agrees '?all'
}

@test "programs of others are not shown, unless they are connected; with ?all they are" {
    export AT=127.0.0.1:$((port + 4))
    peer other 'listen my $s = owner(), 5; print "listening\n"; cue()'
    saw other '^listening'
    compared
    [[ ! -s $log/pictured ]]
    agrees '?all'
    (($(wc -l <"$log/pictured") == 1))
    start client bin/05-connect "$AT"
    saw client '^connect'
    agrees '?all'
    (($(wc -l <"$log/pictured") == 3))
    compared # all but the listener of a program that is not the course's
    grep -v ' LISTEN ' "$log/by-ss" | diff - "$log/pictured"
    # It ends: what the kernel keeps of its connection is still known to have been the course's.
    kill "$pid"
    ended "$pid"
    left() { compared && grep -q "^- - FIN_WAIT2 0 0 .* $AT$" "$log/pictured"; }
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
    perl -Itests/lib -MPeer -e 'alarm 5; my $csp = "default-src \x27none\x27; script-src \x27self\x27; style-src \x27self\x27; "
            . "connect-src \x27self\x27; img-src \x27self\x27 data: blob:; base-uri \x27none\x27; form-action \x27none\x27; frame-ancestors \x27none\x27";
        sub ask { my $s = connected(); put($s, "GET $_[0] HTTP/1.1\r\nHost: $ENV{AT}\r\nConnection: close\r\n\r\n");
            return split /\r\n\r\n/, get($s), 2 }
        for (["/", "text/html", "lessons/12-picture/page.html"], ["/page.css", "text/css", "lessons/12-picture/page.css"],
            ["/page.js", "text/javascript", "lessons/12-picture/page.js"], ["/picture.js", "text/javascript", "common/picture.js"]) {
            my ($path, $type, $file) = @$_;
            open my $f, "<", $file or die; my $bytes = do { local $/; <$f> };
            my ($head, $body) = ask($path);
            $body eq $bytes or die "$path is not $file\n";
            my @headers = split /\r\n/, $head;
            shift(@headers) eq "HTTP/1.1 200 OK" or die $head;
            for my $header ("Content-Type: $type; charset=utf-8", "Content-Length: " . length $bytes,
                "Cache-Control: no-store", "X-Content-Type-Options: nosniff", "Connection: close",
                "Content-Security-Policy: $csp") {
                grep { $_ eq $header } @headers or die "$path: no $header\n$head\n" }
            !grep /^Access-Control/i, @headers or die $head;
        }
        (ask("/snapshot"))[0] =~ m{^Content-Type: application/json; charset=utf-8\r$}m or die'
}

@test "curl gets the page, two requests on one connection, and a status that says why not" {
    needs curl
    curl -sSf "http://$at/" | cmp - lessons/12-picture/page.html
    [[ $(curl -sS -o /dev/null -w '%{http_code} %{num_connects}\n' "http://$at/" --next \
        -sS -o /dev/null -w '%{http_code} %{num_connects}\n' "http://$at/favicon.ico") == $'200 1\n404 0' ]]
    one=(-sS -o /dev/null -w '%{http_code} ')
    [[ $(curl "${one[@]}" -d some "http://$at/" --next "${one[@]}" -0 "http://$at/" \
        --next "${one[@]}" -H 'Host: evil.example' "http://$at/") == "405 200 403 " ]]
    [[ $(curl -sSI "http://$at/") == "HTTP/1.1 405 "*"Allow: GET"* ]]
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
        put($s, $_), select undef, undef, undef, 0.001 for split //, "GET /page.css HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n";
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
        $n = syswrite $s, $r while select undef, my $w = $out, undef, 0.1; print "full\n"; cue()'
    saw deaf '^full'
    serves
    (($(memory_of "$server") - before <= 64 * 4096))
    answered=$(grep -c '^request: ' "$log/server")
    ((answered < 2000))
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
        for _ in {1..5}; do ss -Htan >/dev/null && rest; done
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

@test "three streams: each gets each snapshot, and ?all one with the sockets of others, too" {
    for name in one two all; do
        peer "$name" 'my $s = connected(); put($s, "GET /events$ARGV[0] HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n");
            while (sysread $s, $_, 1e6) { print }' "$([[ $name != all ]] || echo '?all')"
        saw "$name" '^data: '
    done
    start echo bin/06-accept-one "127.0.0.1:$((port + 1))"
    peer other 'listen my $s = owner($ARGV[0]), 5; print "listening\n"; cue()' "127.0.0.1:$((port + 2))"
    saw other '^listening'
    saw all ":$((port + 2))\""
    for name in one two all; do
        saw "$name" ":$((port + 1))\""
    done
    run ! grep ":$((port + 2))\"" "$log/one" "$log/two"
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

@test "descriptors for 15 clients: it says so once, and goes on when others have left" {
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
    peer resets 'for my $i (1 .. 20) { for my $r ("", "GET / HT", "GET /picture.js HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n",
            "GET /events HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n") {
            my $s = connected(); put($s, $r); sysread $s, $_, 100 if $i % 2 && length $r > 8; vanish($s) } }
        print "done\n"'
    saw resets '^done'
    serves
    saw server '^close: ' 81
    (($(find "/proc/$server/fd" -lname 'socket:*' | wc -l) == 1))
}

@test "the lab: from outside its PCs are A, B and C, each with its address and sockets" {
    needs lab
    export LAB_OF=$BATS_TEST_TMPDIR
    start A common/lab run A bin/07-accept-many 192.168.0.101:6666
    saw A '^listen'
    start B common/lab run B bin/05-connect 192.168.0.101:6666
    start C common/lab run C bin/05-connect 192.168.0.101:6666
    start outside bin/12-picture "127.0.0.1:$((port + 1))"
    start inside common/lab run B bin/12-picture 192.168.0.102:8080
    saw B '^connect'
    saw C '^connect'
    saw outside '^open'
    saw inside '^open'
    for where in outside C; do
        if [[ $where == C ]]; then # on PC B, asked by PC C
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
