# checks.bash: what the checks of the exercises share. A check runs the student's program, looks at
# it from outside, and says in plain words what it expected and what it saw. Load it with: load checks
# shellcheck shell=bash disable=SC2154 # log, pid, status: helpers.bash
load ../lib/helpers
load ../lib/peers
export LC_ALL=C

# What is checked: bin/06-exercise for 06.bats, bin/07-hunt for hunt-07.bats (make solutions has others
# checked, too), and where:
# a port of its own for each check, so that no check leaves a TIME_WAIT to the next one. (On the
# machine itself helpers.bash has chosen it.)
number=$(basename "$BATS_TEST_FILENAME" .bats)
exercise=bin/$number-exercise
[[ $number != hunt-* ]] || exercise=bin/${number#hunt-}-hunt
exercise=${EXERCISE:-$exercise}
if [[ ${PLAYED_IN-} == in* ]]; then
    port=$((6660 + ${BATS_TEST_NUMBER:-0}))
    at=127.0.0.1:$port
fi
AT=$at # for the peers

# A program has 5 seconds to do what it does at once (with another PATIENCE, a quarter of that), and
# 1 MB to say it in.
limit=$(((patience + 3) / 4))
bounded=(bash -c 'ulimit -f 1024; exec "$@"' -)

# The compiler's checkers (Makefile) end the program when it does what no C program may do. What one
# of them has to say goes to a file, what the other one (gcc's) to stderr.
export ASAN_OPTIONS="exitcode=99:detect_leaks=0:detect_stack_use_after_return=1:log_path='$log/found'"
export UBSAN_OPTIONS=exitcode=99

# found   sets REPLY to what they have found, in plain words; fails where they have found nothing.
found() {
    local report what=""
    report=$(cat "$log"/found.* 2>/dev/null || grep -ahs -D skip -m 1 '\.c:[0-9:]* runtime error: ' "$log"/*) ||
        return 1 # (said: in a trap, as after skip, a return alone has the status of before the trap)
    if [[ $report =~ \ runtime\ error:\ ([^$'\n']*) ]]; then
        what=${BASH_REMATCH[1]}
        [[ $what != *"insufficient space"* ]] || what="past the end of an array, or before it"
    elif [[ $report =~ AddressSanitizer:\ (attempting\ )?([a-zA-Z-]+) ]]; then
        case ${BASH_REMATCH[2]} in
            heap-buffer-overflow) what="past the end of what malloc() has returned, or before it" ;;
            *-buffer-overflow | *-buffer-underflow) what="past the end of an array, or before it" ;;
            heap-use-after-free) what="memory that has been freed" ;;
            stack-use-*) what="a variable of a function or block that has ended" ;;
            double-free | bad-free) what="free(): this memory is not there to be freed" ;;
            SEGV | unknown-crash) what="a pointer that points nowhere, NULL perhaps" ;;
            stack-overflow) what="the stack is full: a function that calls itself without end?" ;;
            *) what=${BASH_REMATCH[2]} ;;
        esac
        [[ ! $report =~ $'\n'(WRITE|READ)\ of ]] || what="${BASH_REMATCH[1]/READ/read}s $what"
        what=${what/WRITEs/writes}
    fi
    REPLY="the compiler's checkers have stopped the program"
    [[ ! $report =~ (lessons/[^\ /]*/)?exercise\.c:[0-9]+ ]] || REPLY+=$' at\n'${BASH_REMATCH[0]}
    REPLY+=$':\n'$what
}

# not_yet EXPECTED SEEN   the check fails, and says so. Either may have several lines. (What the
# checkers have found is the cause of whatever else has been seen.)
not_yet() {
    local next=$'\n:           ' seen=$2 # the next line of a text begins below the first one
    ! found || seen=$REPLY
    printf ': expected: %s\n' "${1//$'\n'/$next}"
    printf ': seen:     %s\n' "${seen//$'\n'/$next}"
    return 1
}

# What they find fails a check in which all else is well, too.
teardown() {
    end_started
    [[ -z ${BATS_TEST_COMPLETED-} ]] || ! found || not_yet "a program in which all is well" ""
}

# in_lines TEXT   8 lines at most, of what a terminal can show; "nothing" where there is none.
in_lines() {
    local text
    text=$(head -n 9 <<<"$1" | cut -c 1-120 | tr -c '[:print:]\n' '?' | sed '9s/.*/.../')
    printf '%s' "${text:-nothing}"
}

# same EXPECTED SEEN [WHAT]   fails unless both are the same text.
same() {
    [[ $1 == "$2" ]] || not_yet "${3:+$3: }$(in_lines "$1")" "$(in_lines "$2")"
}

# ending_of STATUS   in words.
ending_of() {
    case $1 in
        99) echo "the compiler's checkers have stopped it" ;;
        137) echo "it still ran after $limit seconds" ;;
        139) echo "it crashed: Segmentation fault (SIGSEGV)" ;;
        141) echo "it was killed by the signal SIGPIPE (exit status 141)" ;;
        153) echo "it printed more than 1 MB" ;;
        *) if (($1 > 128)); then
            echo "it was killed by the signal SIG$(kill -l "$1")"
        else
            echo "it ended, exit status $1"
        fi ;;
    esac
}

# try [ARGUMENT...]   runs the program to its end. What it says is in $output (stdout) and $errors
# (stderr), its exit status in $status. It reads the file $input, if there is one.
try() {
    status=0
    "${inside[@]}" timeout -s KILL "$limit" "${bounded[@]}" "$exercise" "$@" \
        <"${input:-/dev/null}" >"$log/output" 2>"$log/errors" 3>&- || status=$?
    output=$(head -c 100000 "$log/output" | tr -d '\0')
    errors=$(head -c 100000 "$log/errors" | tr -d '\0')
    ((status != 2)) || [[ $errors != *"usage: "* ]] || ((${usage_is_fine:-0})) ||
        not_yet "a program that understands: $*" "$(in_lines "$errors")"
}

# how_it_went   all that `try` has seen.
how_it_went() {
    ending_of "$status"
    printf 'stdout: %s\nstderr: %s' "$(in_lines "$output")" "$(in_lines "$errors")"
}

# prints TEXT   `try` has printed this on stdout, and the program ended with exit status 0.
prints() {
    if ((status == 0)); then
        same "$1" "$output"
    else
        not_yet "$(in_lines "$1")" "$(how_it_went)"
    fi
}

# refuses WHY PATTERN   `try` ended with exit status 1, nothing on stdout, and a line on stderr that
# matches.
refuses() {
    [[ $status == 1 && -z $output && $errors =~ $2 ]] || not_yet \
        "$1: exit status 1, nothing on stdout, and a message on stderr" "$(how_it_went)"
}

# begin [ARGUMENT...]   starts the program in the background; its process id is in $server.
begin() {
    start server "${bounded[@]}" "$exercise" "$@"
    server=$pid
    eventually began || :
}

# Has bash become the program?
began() {
    [[ $(readlink "/proc/$server/exe") != */bash ]]
}

# said   the last lines that the program in the background has said.
said() {
    in_lines "$(tail -n 6 "$log/server" | head -c 2000)"
}

# runs   does the program in the background still run? fails with words if not.
runs() {
    is_running "$server" || {
        ended "$server"
        not_yet "${1:-a program that goes on}" "$(ending_of "$status"); it said:"$'\n'"$(said)"
    }
}

# listens   does the program in the background listen at $at?
listens() {
    [[ -n $(ss -Htln "sport = :${at##*:}" | awk -v at="$at" '$4 == at') ]]
}

# serve [ARGUMENT...]   starts the program as a server at $at, and waits until it listens there.
serve() {
    begin "$@" "$at"
    local deadline=$((SECONDS + limit))
    until listens; do
        runs "a server that listens at $at"
        ((SECONDS <= deadline)) || not_yet "a server that listens at $at" \
            "after $limit seconds it runs, with these sockets (ss -tanp): $(in_lines \
                "$(sockets_of "$server")")"$'\n'"it said: $(said)"
        sleep 0.01
    done
}

# in_words   what has gone wrong with a peer, for who does not know Peer.pm.
in_words() {
    sed -E -e 's/^this peer has waited long enough$/then nothing for seconds/' \
        -e 's/^(connect|finish): /the other end could not &/' \
        -e 's/^(put|talk): /the other end could not send: /' \
        -e 's/^get: /the other end could not receive: /'
}

# ask SCRIPT [ARGUMENT...]   runs a peer to its end (Peer.pm, Talk.pm); what it prints is in $output.
ask() {
    output=$(timeout -s KILL $((2 * limit)) perl -Itests/lib -Itests/exercises -MPeer -MTalk -e "$@" 2>&1 | in_words) || :
}

# guest NAME SCRIPT [ARGUMENT...]   starts such a peer in the background; saw, cue: as for peer.
guest() {
    start "$1" perl -Itests/lib -Itests/exercises -MPeer -MTalk -e "${@:2}"
}

# told NAME PATTERN EXPECTED   waits until the guest has printed a line that matches.
# Words between the guest and the check are not for the student.
told() {
    local seen
    saw "$1" "$2" >/dev/null && return
    seen=$(tail -n 3 "$log/$1" | grep -vxE 'listening|accepted|connected|bound|come|full|in' | in_words)
    not_yet "$3" "$(in_lines "${seen:-not so, after $patience seconds}")"
}

# ends_by_signal   SIGTERM ends the program within 3 seconds, cleanly.
ends_by_signal() {
    runs "it goes on until ^C"
    kill -TERM "$server"
    local deadline=$((SECONDS + (limit + 1) / 2))
    while is_running "$server"; do
        ((SECONDS <= deadline)) || not_yet "^C and SIGTERM end it at once" \
            "$(((limit + 1) / 2)) seconds after SIGTERM it still ran"
        sleep 0.01
    done
    ended "$server"
    ((status == 0)) || not_yet "^C and SIGTERM end it, exit status 0" \
        "$(ending_of "$status"); it said:"$'\n'"$(said)"
}

# pause   the program in the background is stopped, when this returns; what happens then, it learns
# all at once, after kill -CONT.
pause() {
    kill -STOP "$server"
    eventually stopped >/dev/null || :
}
stopped() {
    [[ $(<"/proc/$server/stat") == *") T "* ]]
}

# sleeps WHAT   the program in the background does not keep a processor busy: when looked at, it is
# asleep. (Its processor time would not tell that on a machine on which it gets hardly any.)
sleeps() {
    local asleep=0 state i
    for ((i = 0; i < 20; i++)); do
        { read -r state <"/proc/$server/stat"; } 2>/dev/null || runs "$1"
        [[ $state == *") R "* ]] || ((++asleep))
        sleep 0.02
    done
    runs "$1"
    ((asleep >= 10)) || not_yet "$1" \
        "of 20 times that it was looked at, it was at work $((20 - asleep)) times: it keeps a processor busy"
}

# keeps COUNT WHAT   the program in the background has so many sockets or fewer, in $patience seconds.
keeps() {
    eventually sockets_at_most "$1" >/dev/null || not_yet "$2" "it has $(sockets_open) sockets open"
}
sockets_at_most() {
    (($(sockets_open) <= $1))
}
sockets_open() {
    find "/proc/$server/fd" -lname 'socket:*' | wc -l
}

# has_ipv6   does this machine have IPv6? (A check for which it is the point says: needs ipv6.)
has_ipv6() {
    ! lacks ipv6
}

# free_port ENDPOINT...   if another program has that endpoint, that is no fault of the student's.
free_port() {
    local endpoint
    [[ ${PLAYED_IN-} == in* ]] && return # a network of our own: nobody else is there
    for endpoint; do
        perl -Itests/lib -MPeer -e 'owner($ARGV[0])' "$endpoint" 2>/dev/null && continue
        skip "another program has $endpoint: $(ss -Htlnp "sport = :${endpoint##*:}" |
            sed -nE '1s/.*users:\(\("([^"]*)",pid=([0-9]+).*/"\1", pid \2/p' |
            grep . || echo "ss does not tell which one"). End that one, then try again"
    done
}

setup() {
    [[ -x $exercise ]] || skip "there is no $exercise"
    free_port "$at"
}

