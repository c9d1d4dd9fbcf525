# peers.bash: peers from outside, and the kernel's own view, for the bats files that load it.
# shellcheck shell=bash disable=SC2154 # log: helpers.bash

# Where a peer connects to, or listens, if its script names nothing else.
export AT=$at

# peer NAME SCRIPT [ARGUMENT...]   starts a peer in Perl: start of helpers.bash, and Peer.pm.
peer() {
    start "$1" perl -Itests/lib -MPeer -e "${@:2}"
}

# cue NAME [LINE]   gives a program the line that it waits for, cue() of a peer for example. (<>: it
# does not block where the program has ended. What has not yet said anything may miss it.)
cue() {
    printf '%s\n' "${2:-}" 1<>"$log/$1.in"
}

# shown PATTERN [COUNT]   do exactly COUNT lines (1) of `ss -tan` match? A line is
# STATE RECV-Q SEND-Q LOCAL PEER, with one blank between.
shown() {
    local fields count=0
    seen=$(ss -Htan) # what eventually() shows when it gives up
    while read -ra fields; do
        [[ ! "${fields[*]}" =~ $1 ]] || ((++count))
    done <<<"$seen"
    ((count == ${2:-1}))
}

# sockets_of PID   the TCP sockets of a process, as ss has them, in the order of their descriptors:
# FD LOCAL PEER, where the peer of a listener is none.
sockets_of() {
    ss -Htanp | sed -nE -e 's/ (0\.0\.0\.0|\[::\]):\* / none /' \
        -e "s/^\S+ +\S+ +\S+ +(\S+) +(\S+) .*pid=$1,fd=([0-9]+).*/\3 \1 \2/p" | sort -n
}

# memory_of PID   how much memory of its own it has filled, in bytes; to the page, where VmRSS of
# /proc/PID/status is not that exact. With SANITIZE=1 the checks themselves take memory: then it is
# 0, and the test says so.
memory_of() {
    if grep -q fsanitize bin/compile; then
        [[ -e $log/no-memory ]] || echo "# with SANITIZE=1 memory is not measured here:" >&3
        echo 0 | tee "$log/no-memory"
        return
    fi
    awk '$1 == "Anonymous:" { print $2 * 1024 }' "/proc/$1/smaps_rollup"
}

# random_bytes COUNT FILE
random_bytes() {
    head -c "$1" /dev/urandom >"$2"
}
