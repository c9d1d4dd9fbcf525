# player.bash: what the tests of the player share (tests/slow/play.bats, play-odd.bats).
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2034
bats_require_minimum_version 1.5.0

setup() {
    play=$BATS_TEST_DIRNAME/../../common/play
    netns=$BATS_TEST_DIRNAME/../../common/netns
    export PATIENCE=$((${PATIENCE:-20} / 4)) WORK=$BATS_TEST_TMPDIR
    cd "$WORK" || exit
}

teardown() {
    [[ -z ${background-} ]] || kill -KILL "$background" 2>/dev/null || true
    [[ -e mark ]] || return 0
    grep -lsFf mark /proc/[0-9]*/cmdline | cut -d / -f 3 | xargs -r kill -KILL || true
}

# page: adds to page.md a transcript, the standard input; that of the first one begins in line 3
page() {
    [[ -e page.md ]] || echo "# A page" >page.md
    { echo '```console' && cat && echo '```'; } >>page.md
}

# is_right [OPTION...]: page.md plays as written
is_right() {
    run "$play" "$@" page.md
    echo "$output"
    ((status == 0))
    [[ ${lines[-1]} == "played "*": all as written" ]]
}

# is_wrong LINE EXPECTED SEEN...: the player says so of page.md, of nothing else, and fails
is_wrong() {
    run "$play" --quiet page.md
    echo "$output"
    ((status == 1))
    while (($# > 0)); do
        [[ $output == "page.md:$1: not as written
  expected  $2
  seen      $3
"* ]]
        output=${output#*$'\n  seen '*$'\n'}
        while [[ $output == "  then "* ]]; do output=${output#*$'\n'}; done
        shift 3
    done
    [[ $output == "played "*" differ"?("s") ]]
}

kinds="console, and what the block needs: ipv6 low-ports netem network strace lab curl netstat fresh-port"

# without_namespaces: the machine is one that allows none
without_namespaces() {
    mkdir bin
    printf '#!/bin/sh\nexit 1\n' >bin/unshare
    chmod +x bin/unshare
    PATH=$WORK/bin:$PATH
}

namespaces_or_skip() {
    [[ $("$netns" printenv PLAYED_IN) == *"of its own" ]] ||
        skip "this machine allows no network namespace"
}

# a_place WORD...: a copy of the player in here/, a place that lacks these things
a_place() {
    mkdir -p here/common
    cp "$play" "$netns" here/common
    printf '%s\n' "lacking=' $* '" 'place_words=(ipv6 low-ports netem network strace lab curl netstat)' 'lacks() {' \
        '    echo "$1" >>"$WORK/asked"' '    REPLY="there is no $1 on this day"' \
        '    [[ $lacking == *" $1 "* ]]' '}' >here/common/place.bash
    printf '%s\n' '#!/bin/sh' 'echo "$1" >>"$WORK/asked"' >here/common/lab
    chmod +x here/common/lab
    play=here/common/play
}

# wait_until COMMAND...: at most 5 s
wait_until() {
    local - i
    set +T # what is called is not traced
    for ((i = 0; i < 500; i++)); do
        if "$@"; then return; fi
        sleep 0.01
    done
    echo "in vain: $*"
    return 1
}

# needing WORD...: the page has one more block, which needs these things
needing() {
    printf '%s\n' "\`\`\`console${1:+ $*}" 'A$ echo played' 'A| played' '```' >>page.md
}
