# Lesson 08: what tells one connection from another. Oracles: ss, a stranger in Perl.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

# table ARGUMENT...   starts the program, at $at, and waits until it waits.
table() {
    start table bin/08-endpoints "$@" "$at"
    table=$pid
    saw table '^Compare'
}

# rows ROLE...   the rows of the table with these roles: FD LOCAL PEER.
rows() {
    local IFS='|'
    sed -nE "s/^([0-9]+) +($*) *[0-9]* +([^ ]+) +([^ ]+)\$/\1 \3 \4/p" "$log/table"
}

# told   all sockets that it has told of, from the calls: FD LOCAL PEER.
told() {
    sed -nE -e 's/^listen: fd ([0-9]+) is (.*)$/\1 \2 none/p' \
        -e 's/^(connect|accept): fd ([0-9]+) is (.*), its peer is (.*)$/\2 \3 \4/p' "$log/table" |
        sort -n
}

# agrees N   with N clients: what is told and the counts are what ss has.
agrees() {
    [[ "$(told)" == "$(sockets_of "$table")" ]]
    # The table was printed before "one local port, two servers", which has 5 sockets more.
    [[ "$(rows listener client accepted | sort -n)" == \
        "$(sockets_of "$table" | head -n $((2 * $1 + 1)))" ]]
    local port
    port=$(sed -nE '1s/^listen: .*:([0-9]+)$/\1/p' "$log/table")
    on_port=$(sockets_of "$table" | awk -v p=":$port" '$2 ~ p "$"' | wc -l)
    ((on_port - 1 == $1 + 1)) # one of the 5 has this port, too
    grep -qx "sockets: $((2 * $1 + 1)); with local port $port: $((on_port - 1)); listening: 1" \
        "$log/table"
    (($(grep -cE '^connection [0-9]+: the endpoints of fd [0-9]+ and fd [0-9]+ mirror each other$' "$log/table") == $1))
}

@test "claim 10: claim 11: claim 13: n clients, 2n+1 sockets, n+1 on one port, one listens; for 1, 3, 50" {
    for n in 1 3 50; do
        if ((n == 3)); then
            table
        else
            table --clients "$n"
        fi
        agrees "$n"
        (($(rows client | wc -l) == n && $(rows accepted | wc -l) == n))
        [[ "$(rows listener)" == "3 $at none" ]]
        cue table
        ended "$table"
        [[ $status == 0 ]]
    done
}

@test "the same on a port that the kernel chooses" {
    at=127.0.0.1:0
    table
    agrees 3
}

@test "the same over IPv6" {
    needs ipv6
    at="[::1]:$port"
    table
    agrees 3
    [[ "$(rows listener)" == "3 $at none" ]]
}

@test "claim 13: claim 17: same local endpoint at the server, a different peer each" {
    table --clients 20
    rows accepted >"$log/accepted"
    [[ $(cut -d " " -f 2 "$log/accepted" | sort -u) == "$at" ]]
    (($(cut -d " " -f 3 "$log/accepted" | sort -u | wc -l) == 20))
    ss -Htn state established sport = ":$port" | awk '{ print $3, $4 }' >"$log/kernel"
    (($(sort -u "$log/kernel" | wc -l) == 21))
    (($(cut -d " " -f 2- "$log/accepted" | grep -cxFf "$log/kernel") == 20))
}

@test "claim 11: the two sides of each connection mirror each other" {
    table
    rows client | awk '{ print $3, $2 }' | sort >"$log/clients"
    rows accepted | awk '{ print $2, $3 }' | sort >"$log/accepted"
    diff "$log/clients" "$log/accepted"
    # The descriptors of each pair that is told are, for the kernel, both ends of one connection.
    local one other pairs=0
    while read -r one other; do
        [[ $(sockets_of "$table" | grep "^$one " | awk '{ print $2, $3 }') == \
            "$(sockets_of "$table" | grep "^$other " | awk '{ print $3, $2 }')" ]]
        ((++pairs))
    done < <(sed -nE 's/^connection .: the endpoints of fd (.*) and fd (.*) mirror.*/\1 \2/p' "$log/table")
    ((pairs == 3))
}

@test "claim 17: one local port at the client, two servers" {
    table
    sed -n '/^One local port/,$p' "$log/table" >"$log/part"
    second=$(sed -nE 's/^listen: fd [0-9]+ is (.*)$/\1/p' "$log/part")
    mapfile -t ends < <(sed -nE 's/^connect: fd [0-9]+ is (.*), its peer is (.*)$/\1 \2/p' \
        "$log/part")
    local=${ends[0]% *}
    [[ ${ends[0]} == "$local $at" && ${ends[1]} == "$local $second" ]]
    [[ $second != "$at" ]]
    shown "^ESTAB 0 0 $local $at$"
    shown "^ESTAB 0 0 $local $second$"
}

@test "claim 10: a stranger that connects meanwhile is disconnected, with a message" {
    needs strace
    # The program is stopped after its second socket(), before its first connect().
    start table strace -D -o /dev/null -e trace=socket -e inject=socket:signal=STOP:when=2 \
        bin/08-endpoints "$at"
    table=$pid
    saw table '^listen: '
    peer stranger 'my $s = connected(); print name(getsockname $s), "\n"; print get($s), "end\n"'
    saw stranger '^127'
    eventually grep -q '^State:.[Tt]' "/proc/$table/status"
    run ! grep -q '^connect: ' "$log/table"
    kill -CONT "$table"
    saw table '^Compare'
    saw stranger '^end'
    read -r stranger <"$log/stranger"
    grep -qx "accept: fd 5 is $at, its peer is $stranger" "$log/table"
    grep -qx 'close: fd 5, that was not one of ours' "$log/table"
    sed -i "/$stranger/d" "$log/table"
    agrees 3
}

@test "Enter, end of input, SIGINT and SIGTERM end it: status 0, and nothing is left" {
    table
    cue table
    ended "$table"
    [[ $status == 0 ]]
    start table bash -c 'exec bin/08-endpoints "$0" </dev/null' "$at"
    ended "$pid"
    [[ $status == 0 ]]
    for signal in INT TERM; do
        table
        kill -"$signal" "$table"
        ended "$table"
        [[ $status == 0 ]]
    done
    shown "^(LISTEN|ESTAB|CLOSE-WAIT) .*:$port" 0
}
