# helpers.bash: what the bats files share. Load it with: load helpers
# shellcheck shell=bash
bats_require_minimum_version 1.5.0

cd "$BATS_TEST_DIRNAME/.." || exit 1
export LC_ALL=C # whatever the user's language: sorted by bytes, in English, and a byte is a character
log=$BATS_TEST_TMPDIR
started=()
inside=()
# Seconds: so long is waited at most, here below. A slow machine may need more: PATIENCE=100 make test
patience=${PATIENCE:-20}

source common/place.bash

# needs WORD...   skips the test where this place lacks something (the words: common/place.bash).
needs() {
    local word
    for word; do
        ! lacks "$word" || skip "needs $word: $REPLY"
    done
}

# start NAME COMMAND...   starts a program in the background. What it says goes to $log/NAME, what
# is written to $log/NAME.in it reads (there is no end of input). $pid is its process id.
start() {
    local name=$1
    shift
    rm -f "$log/$name.in"
    mkfifo "$log/$name.in"
    : >"$log/$name"
    "$@" <>"$log/$name.in" >"$log/$name" 2>&1 3>&- 4>&- &
    pid=$!
    started+=("$pid")
}

# rest   how long to wait before one looks again, in $tries times: at first often, then less. (A
# read that nothing comes for takes no process, as sleep does.)
rest() {
    [[ -p $log/nothing ]] || mkfifo "$log/nothing"
    read -r -t "0.0$((++tries > 20 ? 4 : 1))" <>"$log/nothing" || :
}

# lines_of NAME PATTERN   sets REPLY to how many lines of NAME match the regular expression.
lines_of() {
    local line lines
    mapfile -t lines <"$log/$1" 2>/dev/null
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
    local deadline=$((SECONDS + patience)) tries=0
    until "$@"; do
        if ((SECONDS > deadline)); then
            printf 'not within %s seconds (PATIENCE): %s\n' "$patience" "$*"
            return 1
        fi
        rest
    done
}

# ended PID   waits until a started program has ended, $patience seconds at most; its status is in
# $status.
ended() {
    local deadline=$((SECONDS + patience)) tries=0
    while kill -0 "$1" 2>/dev/null; do
        if ((SECONDS > deadline)); then
            printf 'process %s still runs\n' "$1"
            return 1
        fi
        rest
    done
    status=0
    wait "$1" || status=$?
}

# port_6666_is_free   waits until nobody is in TIME_WAIT there any more: programs that do not set
# SO_REUSEADDR cannot bind it before. In a network of its own nobody is. (For setup_file.)
port_6666_is_free() {
    local second
    for ((second = 0; second < 65; second++)); do
        [[ -n $(ss -Htn state time-wait sport = :6666) ]] || return 0
        ((second > 0)) || echo "# port 6666 is in TIME_WAIT, for a minute at most" >&3
        sleep 1
    done
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
    if ! unshare --net true 2>/dev/null; then
        user=(--user --map-root-user) enter=(--user --preserve-credentials)
        unshare "${user[@]}" --net true 2>/dev/null || return 0
    fi
    mkfifo "$ready"
    # shellcheck disable=SC2016 # $0 is for the shell inside
    start machine unshare "${user[@]}" --net \
        bash -c 'ip link set lo up && echo >"$0" && read -r' "$ready"
    read -r -t 5 <>"$ready"
    # shellcheck disable=SC2034 # it is for the tests
    inside=(nsenter --target "$pid" "${enter[@]}" --net)
}

teardown() {
    end_started
}

# end_started   ends what start has started. (A file with a teardown of its own calls it in there.)
end_started() {
    local p
    for p in "${started[@]}"; do
        kill -KILL "$p" 2>/dev/null && wait "$p" 2>/dev/null
    done
    return 0
}
