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

@test "it prints the given port if it is free" {
    try "127.0.0.1:$first"
    prints "127.0.0.1:$first"
    try 127.0.0.1:0 # any port: the kernel chooses one
    [[ $output =~ ^127\.0\.0\.1:[1-9][0-9]*$ ]] ||
        not_yet "for port 0, the port that the kernel has chosen" "$(in_lines "$output")"
}

@test "it skips ports that are in use" {
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

@test "if even the last port, 65535, is in use, it says so" {
    held 127.0.0.1:65534 127.0.0.1:65535
    try 127.0.0.1:65534
    refuses "65534 and 65535 are in use" .
}

@test "an address that is not this machine's is an error at once" {
    try "203.0.113.7:$first"
    refuses "203.0.113.7 is no address of this machine (EADDRNOTAVAIL)" \
        'EADDRNOTAVAIL|Cannot assign requested address'
}

@test "it can skip 40 ports with only 20 descriptors" {
    ports=()
    for ((p = first; p < first + 40; p++)); do ports+=("127.0.0.1:$p"); done
    held "${ports[@]}"
    bounded=(bash -c 'ulimit -f 1024 -n 20; exec "$@"' -)
    try "127.0.0.1:$first"
    prints "127.0.0.1:$((first + 40))"
}
