# Exercise 02: the first free port from a given one on. The ports are held by sockets of Perl's.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# The ports of a check are its own.
first=$((7000 + 100 * ${BATS_TEST_NUMBER:-0}))

setup() {
    free_port "127.0.0.1:$first" "127.0.0.1:$((first + 3))"
}

# held ENDPOINT...   these are in use, until the check ends.
held() {
    guest owner 'our @all = map { owner($_) } @ARGV; print "bound\n"; cue()' "$@"
    saw owner '^bound'
}

@test "a port that is free is the answer" {
    try "127.0.0.1:$first"
    prints "127.0.0.1:$first"
}

@test "ports in use are passed over" {
    held "127.0.0.1:$first" "127.0.0.1:$((first + 1))" "127.0.0.1:$((first + 2))"
    try "127.0.0.1:$first"
    prints "127.0.0.1:$((first + 3))"
}

@test "an IPv6 address has ports of its own" {
    needs ipv6
    held "127.0.0.1:$first" "[::1]:$first" "127.0.0.1:$((first + 1))"
    try "[::1]:$first"
    prints "[::1]:$((first + 1))"
}

@test "65535 is a port like the others" {
    held 127.0.0.1:65534
    try 127.0.0.1:65534
    prints 127.0.0.1:65535
}

@test "where even the last port, 65535, is in use, it says so" {
    held 127.0.0.1:65534 127.0.0.1:65535
    try 127.0.0.1:65534
    refuses "65534 and 65535 are in use" .
}

@test "an address that is not this machine's is an error at once" {
    try "203.0.113.7:$first"
    refuses "203.0.113.7 is no address of this machine (EADDRNOTAVAIL)" \
        'EADDRNOTAVAIL|Cannot assign requested address'
}

@test "40 ports in use are no problem for a program with 20 descriptors" {
    ports=()
    for ((p = first; p < first + 40; p++)); do ports+=("127.0.0.1:$p"); done
    held "${ports[@]}"
    bounded=(bash -c 'ulimit -f 1024 -n 20; exec "$@"' -)
    try "127.0.0.1:$first"
    prints "127.0.0.1:$((first + 40))"
}

@test "for port 0 it prints the port that the kernel has chosen" {
    try 127.0.0.1:0
    ((status == 0)) || not_yet "an endpoint" "$(how_it_went)"
    [[ $output =~ ^127\.0\.0\.1:[1-9][0-9]*$ ]] || not_yet "127.0.0.1, and a port that is not 0" "$(in_lines "$output")"
}
