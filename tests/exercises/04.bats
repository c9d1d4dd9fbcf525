# Exercise 04: which program listens on a port. The listeners are Perl's.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# listener ENDPOINT   another program listens there; its line is added to $expected.
expected=
listener() {
    guest "listener-$1" 'our $s = owner($ARGV[0]); listen $s, 5 or die; print "listening\n"; cue()' "$1"
    expected+="${expected:+$'\n'}pid $pid \"perl\""
    saw "listener-$1" '^listening'
}

@test "it prints the program that listens on the port" {
    listener "$at"
    try "$port"
    prints "$expected"
}

@test "it finds a listener at an IPv6 address as well" {
    needs ipv6
    listener "[::1]:$port"
    try "$port"
    prints "$expected"
}

@test "several programs can listen on one port, each at its address" {
    listener "$at"
    listener "127.0.0.2:$port"
    ! has_ipv6 || listener "[::1]:$port"
    try "$port"
    output=$(sort -n -k 2 <<<"$output")
    prints "$(sort -n -k 2 <<<"$expected")"
}

@test "a program that only has a connection on the port does not listen" {
    guest server 'our $s = accepted($ARGV[0]); print "accepted\n"; cue()' "$at"
    saw server '^listening'
    guest client 'our $s = connected($ARGV[0]); print "connected\n"; cue()' "$at"
    saw server '^accepted' # and from now on no program listens there
    try "$port"
    refuses "two ends of a connection, and no listener" 'no program listens'
    listener "127.0.0.2:$port"
    try "$port"
    prints "$expected"
}

@test "it does not print a listener on another port" {
    listener "127.0.0.1:$((port + 5))"
    line=$expected
    guest client 'our $s = connected($ARGV[0]); print name(getsockname $s), "\n"; cue()' \
        "127.0.0.1:$((port + 5))"
    saw client '^127'
    read -r local <"$log/client"
    try "${local##*:}"
    refuses "port ${local##*:} is a client's: no program listens there" 'no program listens'
    try "$((port + 5))"
    prints "$line"
}

@test "if no program listens, it says so, with exit status 1" {
    listener "127.0.0.1:$((port + 5))"
    try "$port"
    refuses "no program listens on $port" 'no program listens'
    try "$((port + 5))"
    prints "$expected"
}
