# Exercise 08: the other end of each connection. Tuples as ss prints them; one check has real ones.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

setup() {
    [[ -x $exercise ]] || skip "there is no $exercise"
}

# given LINE...   the program reads these lines.
given() {
    input=$log/tuples
    printf '%s\n' "$@" >"$input"
    try
}

@test "at the other end, the local endpoint and the peer's change places" {
    given "192.168.0.101:51234 192.168.0.102:443"
    prints "192.168.0.102:443 192.168.0.101:51234 elsewhere"
}

@test "if both ends are in the list, both lines say here" {
    given "127.0.0.1:6666 127.0.0.1:51234" "192.168.0.101:51240 192.168.0.102:443" \
        "127.0.0.1:51234 127.0.0.1:6666"
    prints "$(printf '%s\n' "127.0.0.1:51234 127.0.0.1:6666 here" \
        "192.168.0.102:443 192.168.0.101:51240 elsewhere" "127.0.0.1:6666 127.0.0.1:51234 here")"
}

@test "a tuple has four values: if one of them differs, it is another connection" {
    given "127.0.0.1:6666 127.0.0.1:51234" "127.0.0.1:51234 127.0.0.1:6667" \
        "127.0.0.1:51235 127.0.0.1:6666" "127.0.0.2:51234 127.0.0.1:6666" \
        "127.0.0.1:51234 127.0.0.2:6666" "127.0.0.1:6666 127.0.0.1:51236"
    prints "$(printf '%s elsewhere\n' "127.0.0.1:51234 127.0.0.1:6666" \
        "127.0.0.1:6667 127.0.0.1:51234" "127.0.0.1:6666 127.0.0.1:51235" \
        "127.0.0.1:6666 127.0.0.2:51234" "127.0.0.2:6666 127.0.0.1:51234" \
        "127.0.0.1:51236 127.0.0.1:6666")"
}

@test "IPv6 addresses can be written in several ways" {
    given "[::1]:6666 [0:0:0:0:0:0:0:1]:51234" "[::1]:51234 [::0001]:6666"
    prints "$(printf '%s here\n' "[::1]:51234 [::1]:6666" "[::1]:6666 [::1]:51234")"
}

@test "::ffff:127.0.0.1 at the server is 127.0.0.1 to its client" {
    given "[::ffff:127.0.0.1]:6666 [::ffff:127.0.0.1]:51234" "127.0.0.1:51234 127.0.0.1:6666" \
        "[::ffff:192.168.0.101]:6666 [::ffff:192.168.0.102]:51240"
    prints "$(printf '%s\n' "127.0.0.1:51234 127.0.0.1:6666 here" \
        "127.0.0.1:6666 127.0.0.1:51234 here" "192.168.0.102:51240 192.168.0.101:6666 elsewhere")"
}

@test "for real connections on this machine, every line says here" {
    guest server 'my $listener = owner($ARGV[0]); listen $listener, 5; print "listening\n";
        our @all; while (accept my $s, $listener) { push @all, $s; print "accepted\n" }' "$at"
    saw server '^listening'
    for i in 1 2 3; do
        guest "client-$i" 'our $s = connected($ARGV[0]); cue()' "$at"
        saw server '^accepted' "$i"
    done
    mapfile -t ends < <(ss -Htn state established "( sport = :$port or dport = :$port )" |
        awk '{ print $3, $4 }')
    ((${#ends[@]} == 6))
    given "${ends[@]}"
    prints "$(printf '%s\n' "${ends[@]}" | awk '{ print $2, $1, "here" }')"
}
