# A program that waits takes no processor time, in whatever state it waits: a busy loop does the same
# on the screen. Oracle: the kernel's count of the time that each process has run.
# shellcheck disable=SC2154,SC2016,SC2030,SC2031 # log, pid, at: helpers.bash sets them; the scripts in quotes are Perl's
load ../lib/helpers
load ../lib/peers

# waiting=([STATE]=PID ...)   the processes that have to wait
declare -gA waiting=()

# endpoint NAME   waits until NAME says that it listens, or has bound its endpoint; sets REPLY to it.
endpoint() {
    saw "$1" '^(listen|bind): fd 3 is '
    REPLY=$(sed -nE 's/^(listen|bind): fd 3 is ([^,]*).*/\2/p' "$log/$1" | head -n 1)
}

# serves NAME SCRIPT   a peer that lets one client in; REPLY is where it listens.
serves() {
    peer "$1" 'my $l = owner("127.0.0.1:0"); listen $l, 5; print "at ", name(getsockname $l), "\n";
        accept(my $s, $l); '"$2"'; print "in\n"; cue()' -MSocket=:all
    saw "$1" '^at '
    REPLY=$(sed -n 's/^at //p' "$log/$1")
}

# switches PID   sets REPLY to how often it has gone to sleep: a busy loop never does. (04 --watch looks
# again ten times a second, and where the kernel's table is large, a look takes long.)
switches() {
    REPLY=$(sed -n 's/^voluntary_ctxt_switches:\t//p' "/proc/$1/status")
}

# they_wait   each of them takes less than a twentieth of the time for which we watch.
they_wait() {
    local state before begun all=0
    declare -A before=()
    for state in "${!waiting[@]}"; do
        run_time "${waiting[$state]}"
        before[$state]=$REPLY
    done
    begun=${EPOCHREALTIME/./}
    read -r -t 0.5 <> <(:) || : # nothing is waited for here: this is how long we watch them
    for state in "${!waiting[@]}"; do
        run_time "${waiting[$state]}"
        ((REPLY - before[$state] < (${EPOCHREALTIME/./} - begun) * 1000 / 20)) || {
            echo "$state: $((REPLY - before[$state])) ns in $((${EPOCHREALTIME/./} - begun)) us"
            all=1
        }
    done
    return "$all"
}

# run_time PID   sets REPLY to the nanoseconds for which it has run. (proc(5) does not say it, but the
# kernel's Documentation/scheduler/sched-stats.rst: the first number of schedstat.)
run_time() {
    read -r REPLY _ <"/proc/$1/schedstat"
}

setup() {
    [[ -e /proc/self/schedstat ]] || skip "this kernel does not count the time that a process has run"
}

@test "a client waits: for its input, for the peer, for room to send, for the end of either" {
    serves idle 1
    start input bin/05-connect "$REPLY"
    waiting[input and peer]=$pid
    serves finished 'finish($s)'
    start half bin/05-connect "$REPLY"
    waiting[input, and the peer has finished]=$pid
    serves unsaid 1
    start other bash -c 'exec bin/05-connect "$0" </dev/null' "$REPLY"
    waiting[the peer, and the input has ended]=$pid
    serves deaf 1
    start full bash -c 'exec bin/05-connect "$0" < <(head -c 20000000 /dev/zero; exec sleep 1000)' "$REPLY"
    waiting[the peer does not read]=$pid
    serves drained 'cue(); get($s, 20_000_000); print "drained\n"'
    start sent bash -c 'exec bin/05-connect "$0" < <(head -c 20000000 /dev/zero; exec sleep 1000)' "$REPLY"
    waiting[the peer has read all at last]=$pid
    cue drained
    saw drained '^drained'
    for name in idle finished unsaid deaf; do saw "$name" '^in'; done
    saw half 'has finished'
    they_wait
}

@test "a server waits: for clients, and with some that do nothing, do not read, have finished, have read at last" {
    for program in bin/06-accept-one bin/07-accept-many bin/11-ten-thousand; do
        name=${program##*/}
        start "$name" "$program" 127.0.0.1:0
        waiting[$name without a client]=$pid
        for script in 'print "in\n"; cue()' 'fill($s); print "in\n"; cue()' \
            'my $sent = fill($s); get($s, length $sent); print "in\n"; cue()' \
            'put($s, "hello"); get($s, 5); print "in\n"; cue()'; do
            ((++n))
            start "server-$n" "$program" 127.0.0.1:0
            waiting[$name: $script]=$pid
            endpoint "server-$n"
            peer "client-$n" 'my $s = connected($ARGV[0]); '"$script" "$REPLY"
        done
    done
    for ((; n > 0; n--)); do saw "client-$n" '^in'; done
    they_wait
}

@test "09: the writer waits when both buffers are full, the reader when they are empty" {
    start reader bin/09-buffers --reader 127.0.0.1:0
    waiting[reader]=$pid
    endpoint reader
    start writer bin/09-buffers "$REPLY"
    waiting[writer]=$pid
    saw writer 'waits|EAGAIN'
    they_wait
}

@test "02, 03, 04 --watch, 08 and the crowd wait" {
    for program in 02-bind 03-bind-twice 08-endpoints; do
        start "$program" "bin/$program" 127.0.0.1:0
        waiting[$program]=$pid
    done
    start watch bin/04-ports-in-use --watch
    watch=$pid
    start server bin/07-accept-many 127.0.0.1:0
    endpoint server
    kill -STOP "$pid"
    start crowd bin/11-crowd --clients 5 "$REPLY"
    waiting[crowd]=$pid
    eventually shown "^ESTAB 64 0 $REPLY "
    for program in 02-bind 03-bind-twice 08-endpoints watch; do saw "$program" .; done
    saw 02-bind 'Enter'
    saw 08-endpoints 'Enter'
    switches "$watch"
    local asleep=$REPLY
    they_wait
    switches "$watch"
    ((REPLY > asleep))
}

@test "12: a web server waits, with half a request, with answers that are read, or are not, or are the last" {
    local n=0
    start picture bin/12-picture 127.0.0.1:0
    waiting[12 without a client]=$pid
    for script in 'put($s, "GET / HT")' 'put($s, "$ask"); get($s, 15)' 'put($s, "hello\r\n"); get($s, 15)' \
        'put($s, $ask x 999); ready($s)'; do
        ((++n))
        start "server-$n" bin/12-picture 127.0.0.1:0
        waiting[12: $script]=$pid
        endpoint "server-$n"
        peer "client-$n" 'my $s = connected($ARGV[0]); my $ask = "GET /picture.js HTTP/1.1\r\nHost: $ARGV[0]\r\n\r\n";
            '"$script"'; print "in\n"; cue()' "$REPLY"
    done
    for ((; n > 0; n--)); do saw "client-$n" '^in'; done
    they_wait
}

@test "13: datagrams: the receiver, senders before and after an answer and an error, a full buffer" {
    start receiver bin/13-datagrams --receiver 127.0.0.1:0
    waiting[receiver]=$pid
    endpoint receiver
    at=$REPLY
    for name in "" --connect; do
        start "sender$name" bin/13-datagrams ${name:+"$name"} "$at"
        waiting[sender $name]=$pid
        saw "sender$name" '^socket'
        cue "sender$name" hello
        saw "sender$name" '^recvfrom'
    done
    start nobody bin/13-datagrams --connect 127.0.0.1:9
    waiting[nobody is there]=$pid
    saw nobody '^connect'
    cue nobody hello
    saw nobody ECONNREFUSED
    start full bin/13-datagrams --overfill 127.0.0.1:0
    waiting[full]=$pid
    saw full '^Enter'
    they_wait
}
