# The claims of the lecture, and what learners stumble over: that each has its test, and its place
# in the table of lessons/README.md, a row for each claim:
# | N | the claim | [NN](NN-name/README.md) | `command` | [NN-name.bats](../tests/lessons/NN-name.bats) |
# The command is one that a transcript of such a lesson runs; the bats file has a test of claim N.
# Columns 3, 4 and 5 may have several of them.
# shellcheck disable=SC2154,SC2016 # log: helpers.bash sets it
load ../lib/helpers

setup() {
    table=lessons/README.md
    claims=20
    stumbles=25
}

# numbers WORD [FILE...]   the numbers that names of tests (all) give after "claim" or "stumble":
# "claim 7: ", "claim 14 bends: ", "claims 10, 19, stumble 8: ".
numbers() {
    grep -hE '^@test "' "${@:2}" | grep -oE "\b$1s? [0-9]+(, [0-9]+)*" | grep -oE '[0-9]+' |
        sort -nu
}

# cell LINE NUMBER   that column of a row of the table.
cell() {
    cut -d '|' -f $(($2 + 1)) <<<"$1" | sed -E 's/^ +| +$//g'
}

# row N   the row of claim N.
row() {
    grep -E "^\| $1 \| " "$table" || {
        echo "claim $1 has no row in $table" >&2
        return 1
    }
}

# typed PAGE COMMAND   does a transcript of the page run exactly this command?
typed() {
    awk '/^```console/ { on = 1; next } /^```/ { on = 0 }
        on && sub(/^[A-Z]\$ /, "")' "$1" | grep -qxF -e "$2"
}

# all_tested WORD COUNT   is there a test for each number from 1 to COUNT, and none for another?
all_tested() {
    local n wrong=""
    numbers "$1" tests/*/*.bats >"$log/numbers"
    for ((n = 1; n <= $2; n++)); do
        grep -qx "$n" "$log/numbers" || wrong+="$1 $n: there is no test with \"$1 $n: ...\" in its name"$'\n'
    done
    while read -r n; do
        ((n >= 1 && n <= $2)) || wrong+="a test has \"$1 $n\" in its name; there are $2: $(
            grep -lE "^@test .*\b$1s? ([0-9]+, )*$n\b" tests/*/*.bats | xargs)"$'\n'
    done <"$log/numbers"
    echo "$wrong"
    [[ -z $wrong ]]
}

@test "each claim has a test with its number, and no test names a claim that does not exist" {
    local n missing=""
    all_tested claim "$claims"
    for ((n = 1; n <= claims; n++)); do # to be found by just this
        grep -q "claim $n:" tests/*/*.bats || missing+="claim $n: no test's name has \"claim $n:\" to be found by"$'\n'
    done
    echo "$missing"
    [[ -z $missing ]]
}

@test "each stumble has a test with its number, and no test names one that does not exist" {
    all_tested stumble "$stumbles"
}

@test "the table has a row for each claim, in order, of five columns that are not empty" {
    grep -E '^\| *[0-9]' "$table" >"$log/rows"
    echo "the numbers of the rows of $table (>) are not 1 to $claims, in order (<):"
    diff <(seq "$claims") <(cut -d '|' -f 2 "$log/rows" | tr -d ' ')
    echo "these rows of $table do not have five columns, each with something in it:"
    run ! grep -vE '^(\| *[^ |][^|]*){5}\|$' "$log/rows"
}

@test "the lessons of the table are there, and so are its commands, in their transcripts" {
    local n line pages page command found
    for ((n = 1; n <= claims; n++)); do
        line=$(row "$n")
        mapfile -t pages < <(cell "$line" 3 | grep -oE '\([^)]*\)' | tr -d '()')
        mapfile -t commands < <(cell "$line" 4 | grep -oE '`[^`]+`' | tr -d '`')
        echo "claim $n: ${pages[*]}: ${commands[*]}"
        ((${#pages[@]} > 0 && ${#commands[@]} > 0)) || {
            echo "claim $n has no lesson, or no command, in $table"
            return 1
        }
        for page in "${pages[@]}"; do
            [[ $page == [0-9][0-9]-*/README.md && -f lessons/$page ]] || {
                echo "$table names the page $page: there is no lessons/$page"
                return 1
            }
        done
        for command in "${commands[@]}"; do
            found=
            for page in "${pages[@]}"; do
                ! typed "lessons/$page" "$command" || found=$page
            done
            [[ -n $found ]] || {
                echo "claim $n: no transcript of ${pages[*]} runs: $command"
                return 1
            }
        done
    done
}

@test "the tests of the table are there, and each has a test for that claim" {
    local n file files
    for ((n = 1; n <= claims; n++)); do
        mapfile -t files < <(cell "$(row "$n")" 5 | grep -oE '\([^)]*\)' | tr -d '()')
        echo "claim $n: ${files[*]}"
        ((${#files[@]} > 0))
        for file in "${files[@]}"; do
            [[ $file == ../tests/*/*.bats && -f lessons/$file ]] || {
                echo "$table names the test $file: there is no such file"
                return 1
            }
            numbers claim "lessons/$file" | grep -qx "$n" || {
                echo "$table says that $file tests claim $n: no test's name there has \"claim $n: ...\""
                return 1
            }
        done
    done
}
