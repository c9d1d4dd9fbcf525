# Lesson 01: the interfaces and addresses of a machine. The oracle is `ip -j addr`.
load ../lib/helpers

# card NAME [ADDRESS/PREFIX...]   is what `ip` is to do to put a network card into a machine and to
# switch it on. (It is a bridge with nothing in it, and must not make up addresses by itself.)
card() {
    local name=$1 address
    shift
    echo "link add name $name type bridge"
    [[ ! -e /proc/net/if_inet6 ]] || echo "link set $name addrgenmode none"
    echo "link set $name up"
    for address; do
        case $address in
        *:*) echo "addr add $address dev $name nodad" ;;
        *) echo "addr add $address dev $name" ;;
        esac
    done
}

# build   reads lines for `ip`, made by card() for example, and has the new machine set up so.
build() {
    "${inside[@]}" ip -batch -
}

# What `ip` says of the machine: the list as the program should print it, save the kinds.
of_ip() {
    "${inside[@]}" ip -j addr | jq -r '
        (.[] | .ifname as $name
            | $name + ": " + (if .flags | index("UP") then "up" else "down" end),
              (.addr_info[] | "    " + .local
                  + (if .family == "inet6" and .scope == "link" then "%" + $name else "" end)
                  + "/" + (.prefixlen | tostring)),
              (if .addr_info == [] then "    no address" else empty end)),
        "interfaces: \(length), active: \(map(select(.flags | index("UP"))) | length), " +
            "addresses: \(map(.addr_info | length) | add)"'
}

# agrees   runs the program, and compares what it says with what `ip` says. Leaves it in $output.
agrees() {
    run -0 "${inside[@]}" timeout -s KILL "$patience" bin/01-interfaces
    diff <(of_ip) <(sed -E 's|^(    [^ ]+/[0-9]+) .*|\1|' <<<"$output")
}

# has LINE   the program has said this line.
has() {
    [[ $'\n'$output$'\n' == *$'\n'"$1"$'\n'* ]] && return
    printf 'no "%s" in\n%s\n' "$1" "$output"
    return 1
}

@test "claim 1: the list is what ip addr reports, address by address, on this machine" {
    agrees
    has "lo: up"
    has "    127.0.0.1/8 loopback: this machine only"
    lacks ipv6 || has "    ::1/128 loopback: this machine only"
}

@test "claim 1: the list is what ip addr reports, on a machine that has all of IPv4" {
    needs network
    machine
    {
        card eth0 192.168.0.101/24 192.168.0.102/24 10.1.2.3/8 172.16.0.1/30
        echo "addr add 192.168.0.103/24 dev eth0 label eth0:1"
        echo "addr add 192.0.2.1/32 dev eth0 label eth0:far"
        card eth1 192.168.0.101/25
        card eth10 10.0.0.10 # eth1 is the beginning of its name
        echo "addr add 10.0.0.11 peer 10.0.0.12/31 dev eth10"
        card fifteen-letters 192.0.2.2/24
        card quiet
        echo "link add name asleep type bridge"
        echo "addr add 203.0.113.7/24 dev asleep"
        echo "link add name unused type bridge"
        echo "link add name unplugged type veth peer name far-end"
        echo "link set unplugged up" # but the other end of its cable is down
    } | build
    agrees
}

@test "claim 1: the list is what ip addr reports, on a machine that has IPv6 as well" {
    needs network ipv6
    machine
    {
        card eth0 192.168.0.101/24 192.168.0.102/24 2001:db8::1/64
        echo "addr add fd00::1/48 dev eth0 nodad"
        card eth1 192.168.0.101/25 fe80::1/64
        card eth10 10.0.0.10
        echo "addr add fd00::11 peer fd00::12/127 dev eth10 nodad"
        card local-only fe80::1/64
        card fifteen-letters fe80::abcd/10
        card quiet
    } | build
    agrees
}

@test "claim 1: an address of a network names one machine, 127.0.0.1 only this machine" {
    needs network
    machine
    card eth0 192.168.0.101/24 | build
    agrees
    local first=$output
    machine
    card eth0 192.168.0.102/24 | build
    agrees
    local both
    both=$(grep -oE '^    [^ /]+' <<<"$first"$'\n'"$output" | sort | uniq -d)
    lacks ipv6 || both=${both%$'\n    ::1'}
    [[ $both == "    127.0.0.1" ]]
}

@test "claim 2: a machine with two network cards has an address in each of two networks" {
    needs network
    machine
    { card eth0 192.168.0.101/24 && card eth1 10.1.2.101/16; } | build
    agrees
    [[ $output == *"
eth0: up
    192.168.0.101/24 private
eth1: up
    10.1.2.101/16 private
"* ]]

    # The kernel sees two networks, and itself in each of them by that address.
    run -0 "${inside[@]}" ip -j route
    run -0 jq -r '.[] | "\(.dev) \(.dst) \(.prefsrc)"' <<<"$output"
    [[ $(sort <<<"$output") == "eth0 192.168.0.0/24 192.168.0.101
eth1 10.1.0.0/16 10.1.2.101" ]]
}

@test "claim 3: one address for each active interface, and the counts are equal" {
    needs network
    machine
    local second=10.0.0.1/8
    {
        if ! lacks ipv6; then
            echo "addr del ::1/128 dev lo"
            second=fd00::1/64
        fi
        card eth0 192.168.0.101/24
        card eth1 "$second"
    } | build
    agrees
    has "interfaces: 3, active: 3, addresses: 3"
}

@test "claim 3 bends: an interface with four addresses, one up with none, one down with one" {
    needs network ipv6
    machine
    {
        card eth0 192.168.0.101/24 10.0.0.1/8 fd00::1/64 fe80::1/64
        card eth1
        echo "link add name eth2 type bridge"
        echo "addr add 10.2.0.1/16 dev eth2"
        echo "link add name eth3 type bridge"
    } | build
    agrees
    has "interfaces: 5, active: 3, addresses: 7"
    [[ $output == *"
eth1: up
    no address
eth2: down
    10.2.0.1/16 private
eth3: down
    no address
"* ]]
}

@test "claim 3 bends: an alias with a label, eth0:1, is an address, not an interface" {
    needs network
    machine
    local addresses=4
    ! lacks ipv6 || addresses=3 # without ::1
    {
        card eth0 192.168.0.101/24
        echo "addr add 192.168.0.111/24 dev eth0 label eth0:1"
    } | build
    agrees
    [[ $output == *"
eth0: up
    192.168.0.101/24 private
    192.168.0.111/24 private
interfaces: 2, active: 2, addresses: $addresses" ]]
}

@test "claim 4: no two interfaces have one address, link-local ones differ by the interface's name" {
    needs network ipv6
    machine
    { card eth0 10.0.0.1/24 fe80::1/64 && card eth1 10.0.0.2/24 fe80::1/64; } | build
    agrees
    run -0 grep -oE '^    [^ /]+/' <<<"$output"
    [[ -z $(sort <<<"$output" | uniq -d) ]]
    [[ $output == *"fe80::1%eth0/"*"fe80::1%eth1/" ]]

    # It is the kernel that wants the name: without it, it does not know which one is meant.
    run -0 "${inside[@]}" timeout -s KILL "$patience" bin/02-bind "[fe80::1%eth1]:6666" </dev/null
    run -1 "${inside[@]}" timeout -s KILL "$patience" bin/02-bind "[fe80::1]:6666" </dev/null
    [[ $output == *EINVAL* ]]
}

# kinds ADDRESS KIND...   a machine with these addresses: the program tells these kinds.
kinds() {
    local bits=32 nodad='' all=("$@")
    [[ $1 != *:* ]] || bits=128 nodad=nodad
    needs network
    machine
    {
        card eth0
        while (($#)); do
            echo "addr add $1/$bits dev eth0 $nodad"
            shift 2
        done
    } | build
    agrees
    set -- "${all[@]}"
    while (($#)); do
        [[ $1 != fe[89ab]?:* ]] || set -- "$1%eth0" "${@:2}"
        has "    $1/$bits $2"
        shift 2
    done
}

@test "the kinds of addresses, and where each range ends" {
    kinds 9.255.255.255 "global" 10.0.0.0 "private" 10.255.255.255 "private" 11.0.0.0 "global" \
        172.15.255.255 "global" 172.16.0.0 "private" \
        172.31.255.255 "private" 172.32.0.0 "global" \
        192.167.255.255 "global" 192.168.0.0 "private" \
        192.168.255.255 "private" 192.169.0.0 "global" \
        100.63.255.255 "global" 100.64.0.0 "shared: behind the provider's NAT" \
        100.127.255.255 "shared: behind the provider's NAT" 100.128.0.0 "global" \
        169.253.255.255 "global" 169.254.0.0 "link-local: this network only" \
        169.254.255.255 "link-local: this network only" 169.255.0.0 "global" \
        192.0.2.0 "documentation" 192.0.2.255 "documentation" 192.0.3.0 "global" \
        198.51.100.7 "documentation" 198.51.101.0 "global" \
        203.0.113.7 "documentation" 203.0.112.255 "global" \
        198.17.255.255 "global" 198.18.0.0 "for measurements" \
        198.19.255.255 "for measurements" 198.20.0.0 "global" \
        240.0.0.0 "reserved" 254.255.255.255 "reserved" \
        127.0.0.2 "loopback: this machine only" 128.0.0.1 "global" 126.255.255.255 "global" \
        8.8.8.8 "global"
}

@test "the kinds of IPv6 addresses, and where each range ends" {
    needs ipv6
    kinds fbff::1 "global" fc00::1 "private" fdff:ffff::1 "private" fe00::1 "global" \
        2001:db7:ffff::1 "global" 2001:db8:: "documentation" \
        2001:db8:ffff::1 "documentation" 2001:db9::1 "global" \
        2606:4700::1111 "global" ::2 "global" \
        fe80:: "link-local: this network only" \
        febf:ffff::1 "link-local: this network only" fec0::1 "global"
}

@test "every prefix length of IPv4, from /0 to /32" {
    needs network
    machine
    {
        card eth0
        for bits in {0..32}; do echo "addr add 10.0.1.$bits/$bits dev eth0"; done
    } | build
    agrees
}

@test "every prefix length of IPv6, from /0 to /128" {
    needs network ipv6
    machine
    {
        card eth0
        for bits in {0..128}; do echo "addr add fd00::$bits/$bits dev eth0 nodad"; done
    } | build
    agrees
}

@test "a machine with no interface that is up" {
    needs network
    machine
    "${inside[@]}" ip link set lo down
    agrees
    has "interfaces: 1, active: 0, addresses: 1"
}

@test "a mask without a family, and no mask: the family is that of the address" {
    ! grep -q __asan_init bin/01-interfaces || skip "the sanitizers want to be the first library"
    needs ipv6
    cc -shared -fPIC -o "$log/masks.so" -x c - -ldl <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <ifaddrs.h>
#include <stddef.h>
#include <sys/socket.h>
int getifaddrs(struct ifaddrs **list)
{
    int result = ((int (*)(struct ifaddrs **))dlsym(RTLD_NEXT, "getifaddrs"))(list);
    for (struct ifaddrs *i = *list; result == 0 && i != NULL; i = i->ifa_next)
        if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET)
            i->ifa_netmask->sa_family = AF_UNSPEC;
        else if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET6)
            i->ifa_netmask = NULL;
    return result;
}
END
    bin/01-interfaces >"$log/usual"
    LD_PRELOAD=$log/masks.so bin/01-interfaces >"$log/masks"
    diff <(sed -E 's,(:.*)/[0-9]+,\1/128,' "$log/usual") <(sed -E 's,(:.*)/[0-9]+,\1/128,' "$log/masks")
    grep -q '127\.0\.0\.1/8 ' "$log/masks"
    grep -q '::1/128 ' "$log/masks"
}
