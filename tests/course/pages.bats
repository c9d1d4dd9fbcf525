# The pages: every lesson has all that a lesson needs. (tour.bats plays their transcripts.)
load ../lib/helpers

# What a lesson or a page lacks is noted in plain words: who adds a lesson reads them.
note() {
    printf '%s\n' "$1" >>"$log/notes"
}

# nothing_noted   fails, and shows the notes, where there are any.
nothing_noted() {
    [[ ! -s $log/notes ]] || {
        cat "$log/notes"
        return 1
    }
}

parts=(Predict Run Investigate Modify Make "When it goes wrong")
# Where there is a hunt.c, there is a part "Hunt" before the last one.

@test "every lesson has all its files, and a line in README.md" {
    local lesson number file others readme
    readme=$'\n'$(<README.md)
    for lesson in lessons/*/; do
        lesson=${lesson#lessons/}
        lesson=${lesson%/}
        number=${lesson%%-*}
        others=(lessons/"$number"-*/)
        if [[ ! $lesson =~ ^[0-9][0-9]-[a-z0-9-]+$ ]]; then
            note "lesson $lesson: its folder is not named like 06-accept-one"
        elif ((${#others[@]} > 1)); then
            note "lesson $lesson: another lesson has the number $number"
        fi
        for file in "lessons/$lesson/"{"${lesson#*-}.c",README.md,exercise.c} \
            "tests/lessons/$lesson.bats" "tests/exercises/$number.bats" \
            "tests/solutions/$number."{c,near-misses}; do
            [[ -f $file ]] || note "lesson $lesson: there is no $file"
        done
        [[ -x bin/$lesson || ! -f lessons/$lesson/${lesson#*-}.c ]] ||
            note "lesson $lesson: there is no bin/$lesson: type make"
        [[ $readme =~ $'\n| ['$number\ [^$'\n']*"](lessons/$lesson/README.md) |" ]] ||
            note "lesson $lesson: the table of README.md has no line that begins with \
| [$number TITLE](lessons/$lesson/README.md) |"
    done
    for file in tests/{lessons,exercises,solutions}/[0-9]*; do
        number=${file##*/}
        number=${number:0:2}
        others=(lessons/"$number"-*/)
        [[ -d ${others[0]} ]] || note "$file: there is no lesson $number"
    done
    nothing_noted
}

@test "every page has its title, its parts in their order, and a transcript" {
    local page number line text order found
    printf -v order '## %s, ' "${parts[@]}"
    for page in lessons/*/README.md; do
        number=${page#lessons/}
        number=${number%%-*}
        text=$'\n'$(<"$page")$'\n'
        [[ $text =~ ^$'\n'"# $number "[^:$'\n']*": ". ]] ||
            note "$page: its first line is not like \"# $number Title: a question?\""
        for line in "${parts[@]}"; do
            [[ $text == *$'\n'"## $line"$'\n'* ]] || note "$page: there is no part \"## $line\""
        done
        [[ ! -f ${page%README.md}hunt.c || $text =~ $'\n'"## Make"$'\n'.*$'\n'"## Hunt"$'\n'.*$'\n```diff\n' ]] ||
            note "$page: there is no part \"## Hunt\" after Make, with the answer as a diff"
        mapfile -t found < <(grep '^## ' "$page" | grep -vx '## Hunt')
        for line in "${found[@]}"; do
            [[ $order == *"$line, "* ]] || note "$page: \"$line\" is not a part of a page"
        done
        ((${#found[@]} < ${#parts[@]})) || [[ $(printf '%s, ' "${found[@]}") == "$order" ]] ||
            note "$page: its parts are not these, each once, in this order: ${order%, }"
        [[ $text == *$'\n```console'* ]] || note "$page: there is no transcript (\`\`\`console)"
    done
    nothing_noted
}

@test "the pages link to the lesson before and after" {
    local name page before=""
    for page in lessons/*/; do
        name=${page#lessons/}
        name=${name%/}
        if [[ -n $before ]]; then
            grep -qs "^Next: .*(\.\./$name/README.md)" "lessons/$before/README.md" ||
                note "lessons/$before/README.md: there is no line \"Next: [...](../$name/README.md)\""
            grep -qs "^Before: .*(\.\./$before/README.md)" "lessons/$name/README.md" ||
                note "lessons/$name/README.md: there is no line \"Before: [...](../$before/README.md)\""
        fi
        before=$name
    done
    nothing_noted
}

@test "every page has its bold terms in lessons/glossary.md, which has no others" {
    local page line before=""
    declare -A lesson=()
    for page in lessons/*/README.md; do
        while read -r line; do
            [[ $line =~ ^"**"[^*]+"**"$ ]] ||
                note "$page: \"$line\": bold begins and ends on one line"
            line=${line//"**"/}
            [[ -z ${lesson[${line,,}]-} ]] ||
                note "$page: **$line** is bold in $page and ${lesson[${line,,}]}: a term is, once"
            lesson[${line,,}]=$page
        done < <(awk '/^```/ { block = !block } !block' "$page" | grep -oE '\*\*[^*]*(\*\*|$)')
    done
    while read -r line; do
        page=lessons/${line#*](}
        page=${page%%')): '*}
        line=${line#'- **'}
        line=${line%%'** (['*}
        if [[ -z ${lesson[${line,,}]-} ]]; then
            note "lessons/glossary.md: no page has **$line** in bold"
        elif [[ ${lesson[${line,,}]} != "$page" ]]; then
            note "lessons/glossary.md: **$line** is explained in ${lesson[${line,,}]}, not in $page"
        fi
        unset "lesson[${line,,}]"
        [[ ! ${before^^} > ${line^^} ]] || note "lessons/glossary.md: **$line** comes before **$before**"
        before=$line
    done < <(grep '^- ' lessons/glossary.md)
    for line in "${!lesson[@]}"; do
        note "lessons/glossary.md: **$line** is missing: ${lesson[$line]} has it in bold"
    done
    nothing_noted
}

@test "every page has an answer to each question of Predict, with a line of a transcript" {
    # shellcheck disable=SC2016 # the variables are Perl's
    run -0 perl -0777 -ne '
        my $shown = join " ", /^```(?:console|text).*?\n(.*?)^```/msg;
        $shown =~ s/^[A-Z]\|//mg;
        my ($predict) = /^## Predict\n(.*?)^## /ms or next;
        for my $question ($predict =~ /^\d+\. .*?(?=^\d+\. |\z)/msg) {
            my ($answer) = $question =~ m{<summary>Answer</summary>(.*?)</details>}s;
            s/[\s~]+/ /g for $shown, $answer //= "";
            print "$ARGV: question $1 of Predict has no answer with a line of a transcript\n"
                if $question =~ /^(\d+)/ && !grep { length > 8 && index($shown, $_) >= 0 } $answer =~ /`(.*?)`/g;
        }' lessons/*/README.md
    echo "$output"
    [[ -z $output ]]
}

@test "every link leads somewhere" {
    local page link
    for page in {README,CONTRIBUTING,CHANGELOG,TEACHING}.md lessons/{README,glossary}.md lessons/*/README.md common/README.md tests/README.md; do
        # shellcheck disable=SC2016 # a link in `code` is not one
        while read -r link; do
            [[ $link == http* || -e $(dirname "$page")/$link ]] ||
                note "$page: the link to $link leads nowhere"
        done < <(sed 's/`[^`]*`//g' "$page" | grep -oE '\]\([^)#]+' | cut -c3-)
    done
    nothing_noted
}

@test "lines of a page are at most 100 characters long, tables and transcripts apart" {
    run awk '/^```/ { block = !block } !block && !/^\|/ && length > 100 {
        print FILENAME ":" FNR ": " length " characters; 100 are the most"; bad = 1 } END { exit bad }' \
        {README,CONTRIBUTING,CHANGELOG,TEACHING}.md lessons/glossary.md lessons/*/README.md
    echo "$output"
    ((status == 0))
}

@test "what a transcript shows fits into 80 columns, rows with IPv6 and the calls of strace apart" {
    # shellcheck disable=SC2016 # awk's, not the shell's
    run -0 awk 'FNR == 1 { block = 0 } /^```/ { block = /^```console/ }
        block && /^[A-Z]\| / && length > 83 && !/::/ && !/^[A-Z]\| [a-z0-9_]+\(.*\) += / {
            print FILENAME ":" FNR ": " length - 3 " columns; a terminal has 80" }
        block { lines++ } END { exit lines < 500 }' README.md slides/slides.md lessons/*/README.md
    echo "$output"
    [[ -z $output ]]
}

@test "TEACHING.md has each lesson, with the minutes that its words take to read" {
    local page number words row
    for page in lessons/*/README.md; do
        number=${page#lessons/}
        number=${number%%-*}
        # shellcheck disable=SC2016 # no expansion
        words=$(sed '/^```/,/^```/d' "$page" | wc -w)
        row=$(grep "^| \[$number .*]($page) |" TEACHING.md) || row=
        if [[ ! $row =~ \)\ \|\ ([0-9]+)\ to\ ([0-9]+)\ \|\ [0-9]+\ to\ [0-9]+\ \|\ [0-9]+\ to\ [0-9]+\ \|$ ]]; then
            note "TEACHING.md: there is no row | [$number TITLE]($page) | 6 to 9 | 5 to 10 | 20 to 40 |"
        elif ((BASH_REMATCH[1] * 200 < words - 300 || BASH_REMATCH[1] * 200 > words + 300 ||
            BASH_REMATCH[2] * 130 < words - 300 || BASH_REMATCH[2] * 130 > words + 300)); then
            note "TEACHING.md: to read $page, $words words, takes $((words / 200)) to $((words / 130)) minutes"
        fi
    done
    nothing_noted
}

@test "each transcript that TEACHING.md shows is there" {
    local file
    grep -oE 'lessons/[^ `()]*\.md#[0-9]+' TEACHING.md | sort -u >"$log/shown"
    while read -r file; do
        (($(grep -c '^```console' "${file%#*}") >= ${file#*#})) || note "TEACHING.md: there is no $file"
    done <"$log/shown"
    (($(wc -l <"$log/shown") >= 20))
    nothing_noted
}

@test "README.md has its two commands, a line each" {
    [[ $(grep -cE '^.*apt-get install -y .* && make tour$' README.md) == 1 ]]
    [[ $(grep -cE '^.*apt-get install -y .* && make test$' README.md) == 1 ]]
}

@test "the container of an editor gets the packages that README.md installs" {
    packages() { grep -oE 'apt-get install -y [a-z0-9 -]+' "$1" | cut -d' ' -f4- | xargs -n 1 | sort; }
    diff <(packages <(grep -E 'make (tour|test)$' README.md | sed 's/&&.*//')) \
        <(packages .devcontainer/devcontainer.json)
    jq -e .image .devcontainer/devcontainer.json
}

@test "make help lists every target" {
    run make -s help
    while read -r target; do
        [[ $'\n'$output == *$'\n'"$target "* ]]
    done < <(sed -n 's/^\([a-z%-]*\):.*##.*/\1/p' Makefile)
    [[ $output == *"make tour-06"* ]]
}

@test "a missing tool is named, with its package, and nothing is skipped" {
    run -1 common/need no-such-tool:its-package bash:bash
    [[ $output == *"Missing here: its-package."*"apt-get install -y its-package" ]]
    PATH=$log run -1 /usr/bin/bash common/need bats:bats
    [[ $output == *"install -y bats" ]]

    # A bats that is too old.
    mkdir "$log/old"
    printf '#!/bin/sh\necho "Bats %s"\n' "\$VERSION" >"$log/old/bats"
    chmod +x "$log/old/bats"
    old=(env PATH="$log/old:$PATH")
    for version in 1.2.1 1.4.9; do
        run -1 "${old[@]}" VERSION=$version common/need jq:jq bats:bats
        [[ ${lines[0]} == "The tests need bats 1.5.0 or newer; here is \"Bats $version\". "* ]]
    done
    for version in 1.5.0 1.10.0; do
        run -0 "${old[@]}" VERSION=$version common/need jq:jq bats:bats
    done
}
