# The transcripts of all pages are played, as `make tour` does.
# needs the machine to itself (tests/lib/run): port 6666, or a list of all sockets
load ../lib/helpers
load ../lib/accounts

@test "make tour plays every transcript of every lesson, and each comes out as written" {
    run make -s tour </dev/null
    # Of hundreds of lines only those before and after one that differs, and the end.
    grep -aF -B 12 -A 7 ": not as written" <<<"$output" || :
    tail -n 8 <<<"$output"
    ((status == 0))
    all_accounted_for lessons/*/README.md
    for page in lessons/*/README.md; do
        echo "is it played? $page"
        [[ $output == *$'\n'"$page:"* ]]
    done
}

@test "the transcripts of README.md come out as written" {
    run common/play --quiet README.md
    echo "$output"
    ((status == 0))
    all_accounted_for README.md
}
