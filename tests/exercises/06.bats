# Exercise 06: a server that sends the time of day. The clients are Perl's.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# tells_time [HOW]   a client that says nothing gets one line with the time, and then the end.
tells_time() {
    local now
    ask 'my $s = connected($ARGV[0]); print heard($s)' "$at"
    [[ $output =~ ^\"([0-9]{4}-[0-9]{2}-[0-9]{2}\ [0-9]{2}:[0-9]{2}:[0-9]{2})\\n\"$ ]] || {
        not_yet "${1:-a client} receives \"$(date '+%F %T')\\n\", and then the end" "$output"
    }
    told_time=${BASH_REMATCH[1]}
    now=$(($(date +%s) - $(date -d "${BASH_REMATCH[1]}" +%s)))
    ((now >= -2 && now <= 10)) || not_yet "the time of day now, $(date '+%F %T')" "${BASH_REMATCH[1]}"
}

@test "a client that sends nothing gets the time of day, and then the end" {
    serve
    tells_time
}

@test "it goes on: a second and a third client get the time as well" {
    serve
    tells_time
    tells_time "the second client"
    # The third one comes in another second than the second one.
    before=$told_time
    eventually eval '[[ $(date "+%F %T") != "$before" ]]'
    sleep 0.1 # (time() may be some milliseconds behind)
    tells_time "the third client"
    [[ $told_time != "$before" ]] || not_yet "a client that comes later gets a later time" \
        "$before for both"
    runs
}

@test "it listens at the endpoint given, IPv4 or IPv6, and at no other" {
    serve
    found=$(sockets_of "$server" | awk '$3 == "none" { print $2 }')
    same "$at" "$found" "its listeners, as ss shows them"
    needs ipv6
    at="[::1]:$port"
    serve
    tells_time "a client at $at"
}

@test "it goes on when a client leaves before it is served" {
    serve
    before=$(sockets_open)
    for how in 'vanish($s)' 'finish($s); vanish($s)'; do
        pause # the kernel goes on answering clients
        ask 'my $s = connected($ARGV[0]); '"$how"'; print "gone"' "$at"
        kill -CONT "$server"
        runs "a client has reset its connection; the server goes on"
        tells_time "the next client"
        runs "a client has reset its connection; the server goes on"
    done
    keeps "$before" "the sockets of clients are closed: $before open, as before they came"
}

@test "a client that neither reads nor leaves does not block the next" {
    serve
    guest silent 'our $s = connected($ARGV[0]); print "in\n"; cue()' "$at"
    saw silent '^in'
    tells_time "the next client"
}

@test "when it is started again, it gets its port at once" {
    serve
    tells_time
    ends_by_signal
    serve
    tells_time
}

@test "^C ends it while it waits for a client" {
    serve
    ends_by_signal
}

@test "it serves 40 clients in turn with only 20 descriptors" {
    bounded=(bash -c 'ulimit -f 1024 -n 20; exec "$@"' -)
    serve
    ask 'for my $i (1 .. 40) { my $s = connected($ARGV[0]); my $heard = heard($s);
        $heard =~ /^"\d+-.*\\n"$/ or print("client $i: $heard"), exit }
        print "40 clients got the time"' "$at"
    runs "a server for 40 clients"
    same "40 clients got the time" "$output"
}
