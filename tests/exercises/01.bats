# Exercise 01: the addresses at which another PC can reach this one. The oracle is `ip addr`.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# build LINE...   sets up a machine: each line is for `ip`. Where the system allows no namespace, the
# program is checked on this machine, as it is; for most checks that does not show enough.
build() {
    machine
    if [[ -n ${inside[*]} ]]; then
        printf '%s\n' "$@" | "${inside[@]}" ip -batch -
    else
        agrees
        ((${this_machine_will_do:-0})) || needs network
    fi
}

# card NAME   is what `ip` is to do for an interface that is up. (It is a bridge with nothing in it.)
card() {
    printf '%s\n' "link add name $1 type bridge"
    lacks ipv6 || echo "link set $1 addrgenmode none"
    echo "link set $1 up"
}

# agrees   the program prints what it should, in any order.
agrees() {
    local expected
    expected=$("${inside[@]}" ip -o addr show up |
        awk '$2 != "lo" { sub("/.*", "", $4); print $4 }' | sort)
    try
    output=$(sort <<<"$output")
    prints "$expected"
}

setup() { :; }

@test "it prints the IPv4 address of an interface that is up" {
    [[ -z $(ip -o -4 addr show up scope global) ]] || this_machine_will_do=1
    build "$(card eth0)" "addr add 192.168.0.101/24 dev eth0"
    agrees
}

@test "it prints every address of every interface, IPv6 as well, one per line" {
    needs ipv6
    build "$(card eth0)" "$(card eth1)" \
        "addr add 192.168.0.101/24 dev eth0" "addr add 192.168.0.102/24 dev eth0" \
        "addr add 2001:db8:1111:2222:3333:4444:5555:6666/64 dev eth0 nodad" "addr add 10.1.2.3/8 dev eth1"
    agrees
}

@test "it prints no loopback address, neither 127.0.0.1 nor ::1 nor another" {
    build "$(card eth0)" "addr add 192.168.0.101/24 dev eth0" "addr add 127.5.5.5/8 dev lo"
    agrees
}

@test "it prints no address of an interface that is down" {
    build "$(card eth0)" "addr add 192.168.0.101/24 dev eth0" \
        "link add name eth1 type bridge" "addr add 10.9.9.9/24 dev eth1"
    agrees
}

@test "it prints a link-local IPv6 address without % and what follows" {
    needs ipv6
    build "$(card eth0)" "addr add 192.168.0.101/24 dev eth0" "addr add fe80::7/64 dev eth0 nodad"
    agrees
}

@test "it skips an interface that does not have an address" {
    build "$(card eth0)" "$(card eth1)" "addr add 192.168.0.101/24 dev eth1"
    # In the list of getifaddrs() a tunnel has no address at all, not even one of hardware. (Not
    # every machine lets us make one.)
    "${inside[@]}" ip tuntap add dev tun7 mode tun 2>/dev/null &&
        "${inside[@]}" ip link set tun7 addrgenmode none up 2>/dev/null || :
    agrees
    [[ -z ${inside[*]} ]] || "${inside[@]}" ip link del tun7 2>/dev/null || :
}
