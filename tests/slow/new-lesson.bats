# Who adds a lesson is shown what it lacks: lesson 99 is added to a copy of the course, at first
# empty. The checks are those of pages.bats and slides.bats, as they are.
# shellcheck disable=SC2154 # log, status, output: helpers.bash and bats set them
load ../lib/helpers

setup() {
    course=$log/course
    mkdir "$course"
    cp -r Makefile ./*.md common lessons slides tests "$course"
    ln -s "$PWD/bin" "$course/bin"
    mkdir "$course/lessons/99-empty"
    last=$(cd lessons && printf '%s\n' [0-9]*/ | tail -n 1)
    last=${last%/}
    page=$course/lessons/99-empty/README.md
    pages=$course/tests/course/pages.bats
    slides=$course/tests/course/slides.bats
    all="^every lesson |^every page |^the pages link"
}

# checked FILTER FILE...   runs these checks of the copy; what they say is in $output, without what
# bats says.
checked() {
    run env -u BATS_TEST_NUMBER bats --formatter tap -f "$1" "${@:2}"
    echo "$output"
    output=$(sed -n 's/^# //p' <<<"$output")
}

# names LINE...   have the checks said each of these lines?
names() {
    local line
    for line; do
        [[ $'\n'$output$'\n' == *$'\n'"$line"$'\n'* ]] || {
            echo "this is missing: $line"
            return 1
        }
    done
}

files=(lessons/NN-name/{name.c,README.md,exercise.c} tests/lessons/NN-name.bats
    tests/exercises/NN.bats tests/solutions/NN.{c,near-misses})

@test "of an empty lesson the checks name each file, line and link that it lacks" {
    local file wanted=()
    for file in "${files[@]}"; do
        file=${file//NN/99}
        wanted+=("lesson 99-empty: there is no ${file//name/empty}")
    done
    checked "$all" "$pages" "$slides"
    ((status != 0))
    names "${wanted[@]}" \
        "lesson 99-empty: the table of README.md has no line that begins with | [99 TITLE](lessons/99-empty/README.md) |" \
        "lessons/$last/README.md: there is no line \"Next: [...](../99-empty/README.md)\"" \
        "lessons/99-empty/README.md: there is no line \"Before: [...](../$last/README.md)\"" \
        'lesson 99-empty: no slide of slides/slides.md has "lesson 99-empty" in its _footer'
}

@test "of a page the checks name the title, each part and the transcript that it lacks" {
    echo "Nothing yet." >"$page"
    checked "^every page " "$pages"
    names 'lessons/99-empty/README.md: its first line is not like "# 99 Title: a question?"' \
        'lessons/99-empty/README.md: there is no transcript (```console)'
    for part in Predict Run Investigate Modify Make "When it goes wrong"; do
        names "lessons/99-empty/README.md: there is no part \"## $part\""
    done
    run -1 "$course/common/play" --quiet "$page"
    [[ $output == *"expected  a transcript on this page"* ]]
}

@test "a lesson with all of that passes; left behind without its lesson, its files are named" {
    local file number=99 name=empty
    for file in "${files[@]}"; do
        file=${file//NN/99}
        : >"$course/${file//name/empty}"
    done
    cat >"$page" <<END
# 99 Empty: what is in it?
## Predict
## Run
\`\`\`console
A\$ true
\`\`\`
## Investigate
## Modify
## Make
## When it goes wrong
Before: [the last one](../$last/README.md)
END
    echo "Next: [99 Empty](../99-empty/README.md)" >>"$course/lessons/$last/README.md"
    echo "| [99 Empty](lessons/99-empty/README.md) | What is in it? | nothing |" >>"$course/README.md"
    printf '\n---\n<!--\n_footer: "lesson 99-empty"\n-->\n# Empty\n' >>"$course/slides/slides.md"
    rm "$course/bin" # a folder of the copy's own, for one more program
    mkdir "$course/bin"
    ln -s "$PWD"/bin/[0-9]* "$course/bin"
    ln -s "$(type -P true)" "$course/bin/99-empty"
    checked "$all" "$pages" "$slides"
    ((status == 0))

    rm -r "$course/lessons/99-empty"
    checked "^every lesson has" "$pages"
    names "tests/exercises/99.bats: there is no lesson 99" "tests/lessons/99-empty.bats: there is no lesson 99"
}

@test "a program that is not built is named, and one that the faults cannot run" {
    : >"$course/lessons/99-empty/empty.c"
    cd "$course"
    checked "^every lesson has" "$pages"
    names "lesson 99-empty: there is no bin/99-empty: type make"
    run tests/slow/faults short --only '^99-empty'
    echo "$output"
    ((status == 1))
    [[ $output == *"99-empty: no scenario: say in tests/slow/Fault/Scenarios.pm"* ]]
}

@test "the checklist of CONTRIBUTING.md names each file that the checks want" {
    local file
    for file in "${files[@]}"; do
        grep -qF "\`$file\`" CONTRIBUTING.md || {
            echo "CONTRIBUTING.md does not name $file"
            return 1
        }
    done
}
