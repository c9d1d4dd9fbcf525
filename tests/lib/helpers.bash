# helpers.bash: what the bats files share. Load it with: load helpers
# shellcheck shell=bash
bats_require_minimum_version 1.5.0

# So that it can tell the line of a failure, bats notes before each command where it is (a DEBUG trap
# that functions inherit: set -T): a fifth of the time of all tests. Since 5.2 bash knows the right
# line when a command has failed, and noting it then is enough.
if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 502)) &&
    declare -F bats_check_status_from_trap bats_capture_stack_trace bats_error_trap >/dev/null; then
    set +T
    bats_error_trap() {
        bats_check_status_from_trap
        bats_capture_stack_trace
        # shellcheck disable=SC2034 # it is for bats
        BATS_DEBUG_LAST_STACK_TRACE_IS_VALID=1
    }
fi

cd "${BASH_SOURCE[0]%/*}/../.." || exit 1
export LC_ALL=C # whatever the user's language: sorted by bytes, in English, and a byte is a character
log=$BATS_TEST_TMPDIR
started=()
inside=()
# Seconds: so long is waited at most, here below. A slow machine may need more: PATIENCE=100 make test
patience=${PATIENCE:-20}

source common/place.bash

# own_ports   sets port: the ten ports from there on are this test's own. In a network of its own
# they are 6666 to 6675. On the machine itself an earlier test, or somebody else, may have those, if
# only in TIME_WAIT, for a minute: a program without SO_REUSEADDR cannot bind them before. Then they
# are ten others, not known to the kernel and not in the range from which it chooses. As several files
# run at once, each has a share of these ports: with n files, every n-th ten.
own_ports() {
    port=6666
    [[ ${PLAYED_IN-} != in* ]] || return 0
    local last used hex p files=(tests/*/*.bats) n nth=0
    read -r last _ </proc/sys/net/ipv4/ip_local_port_range
    ((last >= 12000)) || last=32768
    used=$(cat /proc/net/{tcp,tcp6,udp,udp6} 2>/dev/null)
    while ((nth < ${#files[@]})) && [[ $BATS_TEST_FILENAME != *"${files[nth]}" ]]; do
        ((++nth))
    done
    n=$((${#files[@]} + 1))
    until
        port=$((10000 + 10 * (RANDOM % ((last - 10000) / (10 * n)) * n + nth)))
        for ((p = port; p < port + 10; p++)); do
            printf -v hex ':%04X ' "$p"
            [[ $used != *"$hex"* ]] || break
        done
        ((p == port + 10))
    do :; done
}
own_ports
# shellcheck disable=SC2034 # it is for the tests
at=127.0.0.1:$port

# ports_for_each_test   In a network of its own, too, each test of this file gets ten ports of its own:
# so it sees nothing of an earlier one's TIME_WAIT.
ports_for_each_test() {
    [[ ${PLAYED_IN-} == in* ]] || return 0
    port=$((7000 + 10 * ${BATS_TEST_NUMBER:-0}))
    at=127.0.0.1:$port
}

# needs WORD...   skips the test where this place lacks something (the words: common/place.bash).
needs() {
    local word
    for word; do
        ! lacks "$word" || skip "needs $word: $REPLY"
    done
}

# start NAME COMMAND...   starts a program in the background. What it says goes to $log/NAME, what
# is written to $log/NAME.in it reads (there is no end of input). $pid is its process id, and that of
# its process group: what it starts ends with it, at the end of the test.
start() {
    local name=$1 in
    shift
    [[ ! -e $log/$name.in ]] || rm -f "$log/$name.in"
    mkfifo "$log/$name.in"
    exec {in}<>"$log/$name.in" # here: the next one of this name may come before the program has begun
    : >"$log/$name"
    set -m # a group for each
    "$@" <&"$in" {in}>&- >"$log/$name" 2>&1 3>&- 4>&- &
    set +m
    exec {in}>&-
    pid=$!
    started+=("$pid")
}

# rest   how long to wait before one looks again, in $tries times: at first often, then less. (A
# read that nothing comes for takes no process, as sleep does.)
rest() {
    [[ -p $BATS_FILE_TMPDIR/nothing ]] || mkfifo "$BATS_FILE_TMPDIR/nothing"
    read -r -t "0.0$((++tries > 20 ? 4 : 1))" <>"$BATS_FILE_TMPDIR/nothing" || :
}

# lines_of NAME PATTERN   sets REPLY to how many lines of NAME match the regular expression.
lines_of() {
    local line lines
    mapfile -t -n 201 lines <"$log/$1" 2>/dev/null # (a flood may have filled megabytes)
    REPLY=0
    if ((${#lines[@]} > 200)); then
        REPLY=$(grep -acE -e "$2" "$log/$1") || :
        return
    fi
    for line in "${lines[@]}"; do
        [[ ! $line =~ $2 ]] || ((++REPLY))
    done
}

# saw NAME PATTERN [COUNT]   waits until NAME has said COUNT lines (1) that match the regular
# expression; fails, and shows what it said, when that does not come within $patience seconds.
saw() {
    local deadline=$((SECONDS + patience)) tries=0
    until lines_of "$1" "$2" && ((REPLY >= ${3:-1})); do
        if ((SECONDS > deadline)); then
            printf 'within %s seconds (PATIENCE) no "%s" in what %s said:\n%s\n' \
                "$patience" "$2" "$1" "$(<"$log/$1")"
            return 1
        fi
        rest
    done
}

# eventually COMMAND...   waits until the command succeeds, $patience seconds at most.
eventually() {
    local deadline=$((SECONDS + patience)) tries=0 seen="" # shown() sets seen
    until "$@"; do
        if ((SECONDS > deadline)); then
            printf 'not within %s seconds (PATIENCE): %s\n' "$patience" "$*${seen:+$'\n'$seen}"
            return 1
        fi
        rest
    done
}

# is_running PID   has it not ended yet? (One that has ended, and that this shell has not waited for, is
# still there, as a zombie: kill -0 would find it. The shell need not notice by itself.)
is_running() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null && [[ ${stat##*) } != Z* ]]
}

# ended PID   waits until a started program has ended, $patience seconds at most; its status is in
# $status.
ended() {
    local deadline=$((SECONDS + patience)) tries=0
    while is_running "$1"; do
        if ((SECONDS > deadline)); then
            printf 'process %s still runs\n' "$1"
            return 1
        fi
        rest
    done
    status=0
    wait "$1" || status=$?
}

# as_student COMMAND...   runs it without any privilege, as for an ordinary user.
as_student() {
    if ((UID == 0)); then
        setpriv --bounding-set=-all --inh-caps=-all "$@"
    else
        "$@"
    fi
}

# machine   makes one more machine for as long as the test lasts: a network namespace in which
# nothing but lo is to be seen. "${inside[@]}" COMMAND... runs a command there. Where the system
# allows no namespace, inside is empty, and the command runs on this machine.
machine() {
    local user=() enter=() ready=$log/ready-${#started[@]}
    if [[ ${PLAYED_IN-} == on* ]]; then
        return # common/netns has found that there is none to be had
    elif [[ ${PLAYED_IN-} != in* ]] && ! unshare --net true 2>/dev/null; then
        user=(--user --map-root-user) enter=(--user --preserve-credentials)
        unshare "${user[@]}" --net true 2>/dev/null || return 0
    fi
    mkfifo "$ready"
    # shellcheck disable=SC2016 # $0 is for the shell inside
    start machine unshare "${user[@]}" --net \
        bash -c 'ip link set lo up && echo >"$0" && read -r' "$ready"
    read -r -t "$patience" <>"$ready"
    # shellcheck disable=SC2034 # it is for the tests
    inside=(nsenter --target "$pid" "${enter[@]}" --net)
}

# The test is over: all that start() has started ends, and what that has started, even where the
# hang-up of a terminal (SIGHUP) ends nothing, and where no process namespace does it. Whatever a
# test starts has this mark in its environment, even in a session of its own, as script makes one.
# (setup_file has none.)
mark=${BATS_TEST_TMPDIR:+:$BATS_TEST_TMPDIR:}
export STARTED_BY_TESTS=${STARTED_BY_TESTS-}$mark
teardown() {
    end_started
}
trap 'end_started; exit 129' HUP # the terminal has gone

# end_started   does that. (A file with a teardown of its own calls it in there.)
end_started() {
    local p tries=0 left
    for p in "${started[@]}"; do
        kill -KILL -- "-$p" "$p" 2>/dev/null || :
    done
    for p in "${started[@]}"; do
        wait "$p" 2>/dev/null || :
    done
    while ((${#started[@]} > 0 && tries < 50)) && [[ -n $mark ]]; do
        left=$(grep -lszF "$mark" /proc/[0-9]*/environ) || : # (2: some are gone, or not ours)
        [[ -n $left ]] || break
        while IFS=/ read -r _ _ p _; do
            kill -KILL "$p" 2>/dev/null || :
        done <<<"$left"
        rest
    done
}
