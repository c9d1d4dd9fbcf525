# Lesson 05: the addresses of a name, and which of them connects. Oracles: getent, curl, peers in Perl.
# needs the machine to itself (tests/lib/run): port 6666, or a list of all sockets
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status, stderr: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's, or for a shell inside
load ../lib/helpers
load ../lib/peers
# The programs here are started without HOST:PORT, and that is 6666 on every machine.
export AT=127.0.0.1:6666

@test "a name: the addresses told are those that getent finds, and one of them connects" {
    peer server 'get(accepted())'
    saw server '^listening'
    start client bin/05-connect localhost:6666
    saw client '^connect: '
    known=$(getent ahosts localhost | sed -nE 's/^([^ ]*:[^ ]*) +STREAM.*/[\1]:6666/p
        s/^([^ ]*) +STREAM.*/\1:6666/p')
    [[ $(sed -n 's/^getaddrinfo: "localhost" is //p' "$log/client") == "$known" ]]
    [[ $known == *127.0.0.1:6666* ]]
    grep -q -- '-> 127.0.0.1:6666$' "$log/client"
}

# with_twins COMMAND...   runs it where the name twins has two addresses, ::1 and 127.0.0.1.
with_twins() {
    printf '%s twins\n' 127.0.0.1 ::1 >"$log/hosts"
    local own=(unshare --mount)
    "${own[@]}" true 2>/dev/null || own=(unshare --user --map-root-user --mount)
    "${own[@]}" bash -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$log/hosts" "$@"
}

@test "stumble 15: the first address of a name fails, the second one is tried" {
    needs ipv6
    name=twins with=with_twins
    if [[ $(getent ahosts localhost) == ::1*127.0.0.1* ]]; then
        name=localhost with="" # as on most machines: this works without privilege
    elif ! with_twins true 2>/dev/null; then
        skip "needs a name with two addresses, ::1 and 127.0.0.1: localhost is none, and no other \
hosts file can be had here"
    fi
    peer server 'get(accepted())'
    saw server '^listening'
    run -0 $with timeout "$patience" bin/05-connect "$name:6666" </dev/null
    [[ ${lines[0]} == "getaddrinfo: \"$name\" is [::1]:6666" ]]
    [[ ${lines[1]} == "getaddrinfo: \"$name\" is 127.0.0.1:6666" ]]
    [[ ${lines[2]} == "05-connect: connect [::1]:6666: Connection refused (ECONNREFUSED)" ]]
    [[ ${lines[4]} == "connect: 127.0.0.1:"*" -> 127.0.0.1:6666" ]]
}

@test "an address that does not answer: curl tries the next one soon, our client waits (RFC 8305)" {
    command -v curl >/dev/null || skip "curl is missing here"
    needs network ipv6
    machine
    "${inside[@]}" unshare --mount true 2>/dev/null || skip "needs a mount namespace"
    "${inside[@]}" ip -batch - <<'END'
link add e0 type veth peer name e1
addr add fd00::1/64 dev e0 nodad
link set e0 up
link set e1 up
neigh add fd00::66 lladdr 02:00:00:00:00:99 dev e0
END
    printf '%s twins\n' fd00::66 127.0.0.1 >"$log/hosts"
    twins=("${inside[@]}" unshare --mount
        bash -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$log/hosts")
    start server "${inside[@]}" bin/07-accept-many
    saw server '^listen'
    # Both have a second for an address. 05-connect uses it up, and then takes the other address.
    run -0 "${twins[@]}" bin/05-connect --timeout 1 twins:6666 </dev/null
    [[ $output == *"connect [fd00::66]:6666: Connection timed out (ETIMEDOUT)"*"-> 127.0.0.1:6666"* ]]
    # curl is connected within this second, by the same other address.
    run "${twins[@]}" curl --silent --http0.9 --connect-timeout 1 --max-time 2 \
        --write-out '%{remote_ip} %{time_connect}\n' --output /dev/null http://twins:6666/
    echo "$output"
    [[ $output =~ ^127\.0\.0\.1\ 0\.[0-9]+$ ]]
}

@test "claim 9: a name without an address: status 1, with the EAI_ name and what that means" {
    name=$(printf 'x%.0s' {1..64}) # longer than a part of a name can be: no name server is asked
    run ! getent ahosts "$name"
    run -1 --separate-stderr timeout "$patience" bin/05-connect "$name:6666"
    [[ $output == "" ]]
    [[ ${#stderr_lines[@]} == 2 ]]
    [[ ${stderr_lines[0]} == "05-connect: getaddrinfo \"xxx"*" (EAI_NONAME)" ]]
    [[ ${stderr_lines[1]} == *"spelled right?" ]]
}

@test "claim 9: fe80 without its interface: the message says what is missing" {
    [[ -e /proc/sys/net/ipv6 ]] || needs ipv6
    run -1 timeout "$patience" bin/05-connect "[fe80::1]:6666"
    [[ $output != *EAFNOSUPPORT* ]] || needs ipv6
    [[ ${lines[0]} == *"(EINVAL)" && ${lines[1]} == *"[fe80::1%eth0]:6666"* ]]
}

@test "claim 9: a machine without IPv6: the message says what is missing" {
    if lacks ipv6; then
        run -1 timeout "$patience" bin/05-connect "[::1]:6666"
    else
        needs network
        machine
        run -1 "${inside[@]}" sh -c 'ip -6 address flush dev lo && exec "$@"' - \
            timeout "$patience" bin/05-connect "[::1]:6666"
    fi
    [[ ${lines[0]} == *"(EADDRNOTAVAIL)" || ${lines[0]} == *"(EAFNOSUPPORT)" ]]
    [[ ${lines[1]} == *"IPv6"* ]]
}
