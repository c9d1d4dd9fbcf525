# accounts.bash: no transcript gets lost. Load it with: load accounts
# shellcheck shell=bash

# all_accounted_for PAGE...   $output is what the player said at the end of a run of these pages:
# each of their transcripts was played or left out, with a reason that is true here.
all_accounted_for() {
    local blocks out line
    local verdict="played ([0-9]+) transcripts? of $# pages? .*: all as written(; ([0-9]+) left out)?"
    blocks=$(cat "$@" | grep -cE '^```console( |$)')
    line=$(grep -a '^played [0-9]' <<<"$output")
    [[ $line =~ ^$verdict$ ]]
    out=${BASH_REMATCH[3]:-0}
    ((BASH_REMATCH[1] + out == blocks))
    while read -r line; do
        [[ $line =~ ^([0-9]+)\ left\ out\ for\ want\ of\ \"([a-z0-9-]+)\":\ (.*)$ ]] || continue
        ((out -= BASH_REMATCH[1])) || :
        line=${BASH_REMATCH[3]}
        lacks "${BASH_REMATCH[2]}"
        [[ $line == "$REPLY" ]]
    done <<<"$output"
    ((out == 0))
}
