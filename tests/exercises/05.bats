# Exercise 05: which ports from 6660 to 6670 of this machine answer. The listeners are Perl's.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

setup() {
    local p
    for ((p = 6660; p <= 6670; p++)); do
        free_port "127.0.0.1:$p"
    done
}

# listening ENDPOINT...   somebody listens there.
listening() {
    guest listener 'our @all = map { owner($_) } @ARGV; listen $_, 50 or die for @all;
        print "listening\n"; cue()' "$@"
    saw listener '^listening'
}

@test "it finds the ports with a listener, even the first and the last" {
    listening 127.0.0.1:6659 127.0.0.1:6660 127.0.0.1:6664 127.0.0.1:6670 127.0.0.1:6671
    try
    prints 127.0.0.1:6660$'\n'127.0.0.1:6664$'\n'127.0.0.1:6670
}

@test "it finds a listener that is only at the IPv6 address" {
    needs ipv6
    listening '[::1]:6662' 127.0.0.1:6665
    try
    prints '[::1]:6662'$'\n'127.0.0.1:6665
}

@test "it finds a listener that is only at the IPv4 address" {
    listening 127.0.0.1:6663
    try
    prints 127.0.0.1:6663
}

@test "if both addresses have a listener, it finds both" {
    needs ipv6
    listening '[::1]:6668' 127.0.0.1:6668
    try
    output=$(sort <<<"$output") # which one is first the system's settings tell
    prints "$(sort <<<'[::1]:6668'$'\n'127.0.0.1:6668)"
}

@test "it does not print a port that is bound and does not listen" {
    listening 127.0.0.1:6661
    guest owner 'our $s = owner("127.0.0.1:6666"); print "bound\n"; cue()'
    saw owner '^bound'
    try
    prints 127.0.0.1:6661
}

@test "a listener whose queue is full does not stop the search" {
    listening 127.0.0.1:6669
    guest busy 'our $s = owner("127.0.0.1:6666"); listen $s, 0 or die;
        our $c = connected("127.0.0.1:6666"); print "full\n"; cue()'
    saw busy '^full'
    try
    prints 127.0.0.1:6669
}

@test "5 descriptors are enough: it closes a socket before the next one" {
    listening 127.0.0.1:6660 127.0.0.1:6661 127.0.0.1:6662 127.0.0.1:6663 127.0.0.1:6670
    bounded=(bash -c 'ulimit -f 1024 -n 5; exec "$@"' -)
    try
    prints "$(printf '127.0.0.1:%s\n' 6660 6661 6662 6663 6670)"
}
