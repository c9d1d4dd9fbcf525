# Exercise 12: the time, for a browser. The clients are Perl's, and curl where there is one.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# Perl for the clients: answer($s) receives one answer, as a browser does, and returns it as
# "STATUS BODY", with the time as TIME if it is one of the last minute.
http='use Time::Local; sub answer { my ($s) = @_; my $head = "";
        while ($head !~ /\r\n\r\n\z/) { (ready($s, 0, 3))[0] or return in_words($head, "and then nothing");
            my $n = sysread $s, $head, 1, length $head;
            defined $n or return in_words($head, "and then a reset"); $n or return in_words($head, "and then the end") }
        my ($status) = $head =~ m{^HTTP/1\.1 (\d\d\d)\b.*\r\n} or return in_words($head, "which is not a status line");
        my ($length) = $head =~ /^Content-Length: *(\d+)\r\n/im or return "$status, without a Content-Length";
        my $body = "";
        while (length $body < $length) { (ready($s, 0, 3))[0] or return "$status, and " . length($body) . " bytes of $length";
            sysread $s, $body, $length - length $body, length $body or return "$status, and " . length($body) . " bytes of $length" }
        if (my ($y, $mo, $d, $h, $mi, $sec) = $body =~ /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\n\z/) {
            $body = "TIME" if abs(time - timelocal($sec, $mi, $h, $d, $mo - 1, $y)) < 60 }
        return "$status " . ($body eq "TIME" ? $body : "and a body") }
    sub in_words { $_[0] eq "" ? $_[1] =~ s/^and then //r : in_quotes($_[0]) . ", $_[1]" }
    sub request { "GET $_[0] HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: a browser\r\n\r\n" }
    sub ended { my ($s) = @_; (ready($s, 0, 3))[0] or return "still open"; my $n = sysread $s, my $got, 9;
        !defined $n ? "reset" : $n ? "more: " . in_quotes($got) : "closed" } '

# asks SCRIPT   runs such a client; what it prints is in $output.
asks() {
    ask "$http$1" "$at"
}

@test "GET / gets 200, a Content-Length and the time" {
    serve
    asks 'my $s = connected($ARGV[0]); put($s, request("/")); print answer($s)'
    same "200 TIME" "$output"
}

@test "a request typed with \n alone gets the time, too" {
    serve
    asks 'my $s = connected($ARGV[0]); put($s, "GET / HTTP/1.1\n"); put($s, "\n"); print answer($s)'
    same "200 TIME" "$output"
}

@test "what is not there is 404, /favicon.ico for example, and the connection stays open" {
    serve
    asks 'my $s = connected($ARGV[0]); for my $path ("/favicon.ico", "/index.html", "/") {
        put($s, request($path)); print answer($s), "\n" }'
    same $'404 and a body\n404 and a body\n200 TIME' "$output"
}

@test "keep-alive: ten requests on one connection get ten answers" {
    serve
    asks 'my $s = connected($ARGV[0]); my $n = 0; my $last = "";
        for (1 .. 10) { put($s, request("/")); $last = answer($s); last if $last ne "200 TIME"; $n++ } print "$n answers, the last one: $last"'
    same "10 answers, the last one: 200 TIME" "$output"
}

@test "a request that comes byte by byte is one request" {
    serve
    asks 'my $s = connected($ARGV[0]); for (split //, request("/")) { put($s, $_); select undef, undef, undef, 0.002 }
        print answer($s), "\n"; print ended($s) eq "still open" ? "" : "and more"'
    same "200 TIME" "$output"
}

@test "three requests in one piece get three answers, in their order" {
    serve
    asks 'my $s = connected($ARGV[0]); put($s, request("/") . request("/favicon.ico") . request("/"));
        print answer($s), "\n" for 1 .. 3'
    same $'200 TIME\n404 and a body\n200 TIME' "$output"
}

@test "one and a half requests: one answer now, the other one when the rest has come" {
    serve
    asks 'my $s = connected($ARGV[0]); put($s, request("/") . "GET /x HT"); print answer($s), "\n";
        put($s, "TP/1.1\r\n\r\n"); print answer($s)'
    same $'200 TIME\n404 and a body' "$output"
}

@test "two connections at once: one with half a request does not stop the other" {
    serve
    asks 'my $half = connected($ARGV[0]); put($half, "GET / HT"); my $idle = connected($ARGV[0]);
        my $s = connected($ARGV[0]); put($s, request("/")); print answer($s), "\n";
        put($half, "TP/1.1\r\n\r\n"); print answer($half)'
    same $'200 TIME\n200 TIME' "$output"
}

@test "another method, or what is not a request, gets 400, and then the connection is closed" {
    serve
    asks 'for my $request ("POST / HTTP/1.1\r\nHost: x\r\n\r\n", "hello\r\n\r\n", "\x16\x03\x01\n\n", "GET /\r\n\r\n") {
        my $s = connected($ARGV[0]); put($s, $request); print answer($s), ", ", ended($s), "\n" }'
    same $'400 and a body, closed\n400 and a body, closed\n400 and a body, closed\n400 and a body, closed' "$output"
}

@test "a request of 1 MB without an end: this client has to leave, the server goes on" {
    serve
    asks 'my $s = connected($ARGV[0]); eval { put($s, "GET /" . "x" x 1e6) }; my $end = ended($s);
        print $end =~ /^(reset|closed|more: "HTTP)/ ? "refused" : $end, "\n"; $s = connected($ARGV[0]);
        put($s, request("/")); print answer($s)'
    same $'refused\n200 TIME' "$output"
    keeps 2 "the server has closed the connection of that client"
}

@test "clients that finish, and clients that vanish, are closed; the server goes on" {
    serve
    asks 'for (1 .. 20) { my $s = connected($ARGV[0]); put($s, request("/")); answer($s) if $_ % 2; my $t = connected($ARGV[0]);
        put($t, "GET / HT"); vanish($s); close $t } my $s = connected($ARGV[0]); put($s, request("/")); print answer($s)'
    same "200 TIME" "$output"
    keeps 1 "the server has closed the sockets of all who have gone"
    sleeps "it sleeps when nobody asks"
}

@test "curl gets the time, with a connection that it uses again" {
    ! lacks curl || skip "$REPLY"
    serve
    output=$(curl -sS -m 5 -w '%{http_code} %{num_connects}\n' -o "$log/time" "http://$at/" \
        -o "$log/none" "http://$at/favicon.ico" 2>&1) || :
    same $'200 1\n404 0' "$output"
}

@test "a browser shows the time" {
    local browser
    browser=$(type -P chromium chromium-browser google-chrome | head -n 1)
    [[ -n $browser ]] || skip "there is no Chromium or Chrome here"
    serve
    # (It needs its sandbox for pages of others, and root can't have one.)
    output=$(HOME=$log timeout -k 1 "$patience" "$browser" --headless --no-sandbox --disable-gpu \
        --user-data-dir="$log/browser" --dump-dom "http://$at/" 2>/dev/null |
        sed -nE 's/.*[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}.*/a page with the time/p')
    same "a page with the time" "$output"
}
