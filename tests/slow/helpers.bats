# What the tests themselves rely on: tests/lib/helpers.bash.
# shellcheck disable=SC2154,SC2016 # log, pid: helpers.bash sets them; the scripts are for a shell inside
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

@test "on the machine itself a test has ten ports of its own, which nobody has, even in TIME_WAIT" {
    PLAYED_IN=""
    local all=() n table
    for n in {1..20}; do
        own_ports
        ((port >= 10000 && port % 10 == 0))
        all+=("$port")
    done
    (($(printf '%s\n' "${all[@]}" | sort -u | wc -l) > 10))

    # Where one port of every other ten is in use, it takes none of those.
    mapfile -t all < <(seq 10003 20 65535)
    printf -v table ' 0: 0100007F:%04X 00000000:0000 06\n' "${all[@]}"
    cat() {
        printf %s "$table"
    }
    for n in {1..20}; do
        own_ports
        ((port % 20 == 10))
    done
}
