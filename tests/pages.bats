# The pages: every transcript is played, every lesson has all that a lesson needs.
load helpers
load accounts

@test "make tour plays every transcript of every lesson, and each comes out as written" {
    run make -s tour </dev/null
    echo "$output"
    ((status == 0))
    all_accounted_for lessons/*/README.md
    for page in lessons/*/README.md; do
        [[ $output == *$'\n'"$page:"* ]]
    done
}

@test "the transcripts of README.md come out as written" {
    run -0 tests/play --quiet README.md
    echo "$output"
    all_accounted_for README.md
}

@test "every lesson has a program, a page with all its parts, and a line in README.md" {
    for lesson in lessons/*/; do
        name=$(basename "$lesson")
        echo "$name"
        [[ -x bin/$name && -f lessons/$name/${name#*-}.c && -f lessons/$name/README.md ]]
        grep -qF "(lessons/$name/README.md)" README.md
        grep -E '^## ' "$lesson/README.md" >"$log/parts"
        diff "$log/parts" - <<<$'## Predict\n## Run\n## Investigate\n## Modify\n## Make\n## When it goes wrong'
    done
}

@test "the pages link to the lesson before and after, and every link leads somewhere" {
    before=
    for page in lessons/*/README.md; do
        name=$(basename "$(dirname "$page")")
        if [[ -n $before ]]; then
            grep -q "^Next: .*(\.\./$name/README.md)" "lessons/$before/README.md"
            grep -q "^Before: .*(\.\./$before/README.md)" "$page"
        fi
        before=$name
    done
    for page in README.md lessons/*/README.md; do
        while read -r link; do
            echo "$page: $link"
            [[ $link == http* || -e $(dirname "$page")/$link ]]
        done < <(grep -oE '\]\([^)#]+' "$page" | cut -c3-)
    done
}

@test "lines of a page are at most 100 characters long, tables and transcripts apart" {
    run awk '/^```/ { block = !block } !block && !/^\|/ && length > 100 {
        print FILENAME ":" FNR ": " length " characters"; bad = 1 } END { exit bad }' \
        README.md lessons/*/README.md
    echo "$output"
    ((status == 0))
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
    run -1 tests/need no-such-tool:its-package bash:bash
    [[ $output == *"Missing here: its-package."*"apt-get install -y its-package" ]]
    PATH=$log run -1 /usr/bin/bash tests/need bats:bats
    [[ $output == *"install -y bats" ]]

    # A bats that is too old.
    mkdir "$log/old"
    printf '#!/bin/sh\necho "Bats %s"\n' "\$VERSION" >"$log/old/bats"
    chmod +x "$log/old/bats"
    old=(env PATH="$log/old:$PATH")
    for version in 1.2.1 1.4.9; do
        run -1 "${old[@]}" VERSION=$version tests/need jq:jq bats:bats
        [[ ${lines[0]} == "The tests need bats 1.5.0 or newer; here is \"Bats $version\". "* ]]
    done
    for version in 1.5.0 1.10.0; do
        run -0 "${old[@]}" VERSION=$version tests/need jq:jq bats:bats
    done
}
