# accounts.bash: no transcript gets lost. Load it with: load accounts
# shellcheck shell=bash

# all_accounted_for PAGE...   $output is what the player said at the end of a run of these pages:
# each of their transcripts was played or left out, with a reason that is true here.
all_accounted_for() {
    local blocks played out=0 line
    blocks=$(cat "$@" | grep -cE '^```console( |$)')
    [[ $output =~ (^|$'\n')"played "([0-9]+)" transcript"s?" of $# page"[^$'\n']*": all as written"(; ([0-9]+) left out)?($'\n'|$) ]]
    played=${BASH_REMATCH[2]} out=${BASH_REMATCH[4]:-0}
    ((blocks > 0 && played + out == blocks))
    while read -r line; do
        [[ $line =~ ^([0-9]+)" left out for want of \""([a-z-]+)"\": "(.*) ]] || continue
        ((out -= BASH_REMATCH[1]))
        lacks "${BASH_REMATCH[2]}" || return
        [[ ${BASH_REMATCH[3]} == "$REPLY" ]]
    done <<<"$output"
    ((out == 0))
}
