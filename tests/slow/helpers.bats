# What the tests themselves rely on: tests/lib/helpers.bash.
# shellcheck disable=SC2154,SC2016,SC2030,SC2031 # log, pid: helpers.bash sets them; the scripts are for a shell inside
load ../lib/helpers

# inner SCRIPT   runs bats for a file with one test, which is the script. Its output is in $output.
inner() {
    printf 'load %s\n@test "inner" {\n%s\n}\n' "$BATS_TEST_DIRNAME/../lib/helpers" "$1" >"$log/inner.bats"
    run env -u BATS_TEST_NUMBER bats --formatter tap "$log/inner.bats"
    echo "$output"
}

@test "a test that fails leaves nothing behind, though SIGHUP is ignored: no child, no session" {
    trap '' HUP # as after nohup
    inner '
        start child sleep 1000.1
        start group bash -c "sleep 1000.2 & sleep 1000.3; :"
        start orphan bash -c "(trap \"\" TERM; exec sleep 1000.4) & echo gone"
        start session setsid sleep 1000.5
        start terminal script -qec "sleep 1000.6" /dev/null
        for n in 1 2 3 4 5 6; do
            eventually grep -qsz "^1000.$n$" /proc/[0-9]*/cmdline
        done
        false'
    ((status == 1))
    [[ $output == *"\`false' failed"* ]]
    run ! grep -lsz '^1000\.[1-6]$' /proc/[0-9]*/cmdline
}

# ports FILE   sets all to ports that own_ports chooses for tests of that file, one a line, sorted.
ports() {
    local BATS_TEST_FILENAME=$PWD/$1 n
    all=$(for n in {1..40}; do
        own_ports
        echo "$port"
    done | sort -un)
}

@test "on the machine itself a test has ten ports of its own, which nobody has, even in TIME_WAIT" {
    PLAYED_IN=""
    local all table p
    ports tests/slow/helpers.bats
    (($(wc -l <<<"$all") > 10))
    while read -r p; do
        ((p >= 10000 && p % 10 == 0))
    done <<<"$all"

    # Where one port of each of these tens is in use, it takes none of them.
    local before=$all
    for p in $before; do
        printf -v table '%s 0: 0100007F:%04X 00000000:0000 06\n' "$table" "$((p + 3))"
    done
    cat() {
        printf %s "$table"
    }
    ports tests/slow/helpers.bats
    [[ -n $all && -z $(sort <<<"$before"$'\n'"$all" | uniq -d) ]]
}

@test "on the machine itself no two files share a port, nor with one that has no name yet" {
    PLAYED_IN=""
    local all file every=""
    for file in tests/lessons/06-accept-one.bats tests/lessons/11-accept-many.bats \
        tests/lessons/07-accept-many.bats tests/exercises/06.bats tests/other/new.bats; do
        ports "$file"
        every+=$all$'\n'
    done
    [[ -z $(sort <<<"$every" | uniq -d) ]]
}

# waits PID   is that flock(1), and has not got what it locks?
waits() {
    grep -q -- "-> FLOCK .* $1 " /proc/locks
}

@test "on the machine itself files run at once, but one that needs the machine to itself" {
    local name
    export there=$log/there PLAYED_IN="on this machine itself"
    mkdir "$there"
    cp tests/lib/run "$log/run" # what is locked; the other one may be, by us
    for name in one two; do # each waits for the other one
        printf '@test "%s" {\n%s\n}\n' $name '
            touch "$there/'$name'"
            until [[ -e $there/one && -e $there/two ]]; do sleep 0.01; done
            touch "$there/together"
            until [[ -e $there/end ]]; do sleep 0.01; done
            mv "$there/'$name'" "$there/'$name'.over"' >"$log/$name.bats"
        start $name "$log/run" "$log/$name.bats"
    done
    eventually test -e "$there/together"
    printf '# needs the machine to itself\n@test "alone" {\n%s\n}\n' '
        [[ -e $there/one.over && -e $there/two.over ]]' >"$log/alone.bats"
    start alone "$log/run" "$log/alone.bats"
    eventually waits "$pid" # for its turn
    [[ ! -s $log/alone ]]
    touch "$there/end"
    for name in one two alone; do
        saw $name '^ok 1 '
    done
}
