# Nothing shakes them: each call of each program is made to fail, and the program says so and ends,
# or carries on and loses nothing. tests/slow/faults tells how that is tried. `make faults` tries it all;
# `make test` each call's first time only, not each error that means the same to the program, and
# not the two programs that take long for a run.
# shellcheck disable=SC2154 # log: helpers.bash
load ../lib/helpers

setup() {
    ! grep -q __asan_init bin/06-accept-one ||
        skip "the sanitizers' own calls would be made to fail, too"
}

# faults KIND   tries all of that kind, and says how many; what was wrong is shown by bats. (Each in a
# network of its own: what one kind leaves in TIME_WAIT, 04 would show to the next.)
faults() {
    local much=(--quick) report=0
    [[ -z ${FAULTS_ALL:-} ]] || much=()
    common/netns tests/slow/faults "$@" "${much[@]}" >"$log/report" || report=1
    cat "$log/report"
    echo "# $1: $(tail -n 1 "$log/report")" >&3
    ((report == 0))
}

# can_trace   is strace allowed to make a call fail here?
can_trace() {
    strace -qq -o "$log/trace" -e inject=getppid:error=EPERM true 2>/dev/null ||
        skip "strace may not trace a program here (ptrace is forbidden)"
}

# bats test_tags=calls
@test "each call fails with each error that it can have: the program says so and ends, or goes on" {
    can_trace
    faults calls
}

@test "a signal in each call that can wait: the program ends cleanly; other signals do nothing" {
    can_trace
    faults signals
}

@test "short reads and writes, and interrupted connects: nothing is lost" {
    faults short
}

@test "no memory: the program says so and ends, or goes on without" {
    faults memory
}

@test "a matrix that finds nothing wrong in a wrong program would be none" {
    can_trace
    mkdir "$log/bin"
    sed 's/ && errno != ECONNABORTED//' lessons/06-accept-one/accept-one.c >"$log/wrong.c"
    run ! cmp "$log/wrong.c" lessons/06-accept-one/accept-one.c
    cc -std=c17 -D_POSIX_C_SOURCE=200809L -Icommon -o "$log/bin/06-accept-one" "$log/wrong.c" \
        common/*.c
    run -1 tests/slow/faults calls --bin "$log/bin" --only '^06.* echo' --call '^accept'
    [[ $output == *"ECONNABORTED, the first one: goes on"* ]]
    [[ $output == *" 1 wrong" ]]
}
