# What a student sees of the exercises, whatever exercise.c is: a copy of the course has another one.
# shellcheck disable=SC2154,SC2016,SC2030,SC2031 # what helpers.bash and bats set; the scripts in single quotes are Perl's
load ../lib/helpers

# The environment of a student: nothing of the make and the bats that run these tests.
outside=$(tr : '\n' <<<"$PATH" | grep -v bats | paste -sd :)
plain=(env -i PATH="$outside" NO_COLOR=1 PLAYED_IN="${PLAYED_IN-}" PATIENCE="$patience")

# What all tests begin with is compiled once.
setup_file() {
    local course=$BATS_FILE_TMPDIR/course lesson
    mkdir "$course"
    cp -r Makefile common tests "$course"
    for lesson in lessons/02*/ lessons/06*/; do
        mkdir -p "$course/$lesson"
        cp "$lesson/README.md" "$course/$lesson"
        echo 'int main(void) { return 0; }' >"$course/$lesson/exercise.c"
    done
    # What is tested here is how the checks are made and told: a few checks of each exercise do.
    # (`make solutions` makes them all.)
    only 06 'a client that sends nothing' 'it listens at' '.C ends it'
    only 02 'it prints the given port' 'it skips ports'
    only 05 'it finds the ports'
    "${plain[@]}" make -s -C "$course" bin/common.o CFLAGS=-O0
}

# only NN REGEXP...   leaves out all other checks of that exercise.
only() {
    local bats=$BATS_FILE_TMPDIR/course/tests/exercises/$1.bats IFS='|'
    perl -i -0777 -pe 's/^\@test "(?!'"${*:2}"').*?^\}\n//gms' "$bats"
    (($(grep -c '^@test' "$bats") == $# - 1))
}

setup() {
    course=$log/course
    cp -rp "$BATS_FILE_TMPDIR/course" "$course"
    exercise=$course/lessons/06-accept-one/exercise.c
}

# makes TARGET   what the student sees in the copy is in $output, in $status the exit status.
makes() {
    run "${plain[@]}" timeout -s KILL $((3 * patience)) make -s -C "$course" "$1" CFLAGS=-O0 </dev/null
    echo "$output"
}

# no_failure_of_make   an exercise that is not done yet is no reason for make to complain.
no_failure_of_make() {
    ((status == 0))
    [[ $output != *"***"* ]]
}

# shows TEXT   wherever its lines end: they are 80 columns wide.
shows() {
    local seen
    seen=$(sed -zE 's/ *\n {11,}/ /g' <<<"$output")
    [[ $output == *"$1"* || $seen == *"$1"* ]]
}

@test "a source that does not compile: the compiler's message and a line of help, no checks" {
    echo 'int main(void) { retrun 0; }' >"$exercise"
    makes exercise-06
    no_failure_of_make
    shows "lessons/06-accept-one/exercise.c:1:18: error: "
    shows "not yet  it compiles"
    [[ $output != *works* && $output != *".bats"* ]]
    makes progress
    shows "06 Accept one        does not compile"
}

@test "what works and what does not is told in plain words, without bats' own" {
    cp tests/solutions/06.c "$exercise"
    sed -i 's/while (wait_for(listener, POLLIN))/while (true)/' "$exercise"
    makes check-06
    no_failure_of_make
    shows "  works    a client that sends nothing gets the time of day, and then the end"
    shows "  not yet  ^C ends it"
    shows "           expected: "
    shows "           seen:     "
    [[ -z $(LC_ALL=C.UTF-8 awk 'length > 80' <<<"$output") ]]
    shows "The task and three hints, under Make: lessons/06-accept-one/README.md"
    [[ $output != *"in test file"* && $output != *$'\e'* ]]
}

@test "what works is done, and stays done until something changes" {
    cp tests/solutions/06.c "$exercise"
    makes exercise-06
    ((status == 0))
    lacks ipv6 || shows "All 3 checks work: exercise 06 is done."
    shows ": exercise 06 is done."
    touch "$log/before"
    makes progress
    ((status == 0))
    shows "06 Accept one        done"
    shows "1 of 2 exercises are done."
    shows "Go on with 02 Bind. The task, under Make: lessons/02-bind/README.md"
    [[ $course/bin/06-exercise.checks -ot $log/before ]] # it was not checked again
    [[ $course/bin/02-exercise.checks -nt $log/before ]]
    echo 'int main(void) { return 0; }' >"$exercise"
    makes progress
    shows "06 Accept one        0 of 3 checks work"
    shows "0 of 2 exercises are done."
}

@test "progress shows what it does at once, and each exercise as soon as it is checked" {
    cp tests/solutions/06.c "$exercise"
    makes exercise-06
    printf '#include <unistd.h>\nint main(void) { for (;;) pause(); }\n' >"$course/lessons/02-bind/exercise.c"
    start progress "${plain[@]}" make -s -C "$course" progress CFLAGS=-O0
    saw progress '^Checking what has changed'
    saw progress '^  06 Accept one +done'
    is_running "$pid"
    [[ ! -e $course/bin/02-exercise.checks ]] # it waits for this one
}

@test "a write past the end of an array is found, with its line" {
    cc -fsanitize=address,undefined -o "$log/checked" -x c - <<<'int main(void) { return 0; }' ||
        skip "this compiler has no checkers"
    perl -pe 's/(?=struct text line = time_line)/static char all[4]; static int n; all[n += 4] = 0; /' \
        tests/solutions/06.c >"$exercise"
    makes exercise-06
    shows "  not yet  a client that sends nothing gets"
    shows "seen:     the compiler's checkers have stopped the program at"
    shows "lessons/06-accept-one/exercise.c:$(grep -n 'all\[n' "$exercise" | cut -d : -f 1):"
    shows "index 4 out of bounds for type 'char [4]'"
    shows "  works    ^C ends it" # which accepts nobody

    perl -pe 's/(?=struct text line = time_line)/static char all[4]; memset(all, 0, sizeof "12345"); /' \
        tests/solutions/06.c >"$exercise"
    makes exercise-06
    shows "writes past the end of an array, or before it"
}

@test "a compiler without checkers is named, and does no other harm" {
    printf '#!/bin/sh\n[ "${*#*-fsanitize}" = "$*" ] || { echo "cannot find -lasan" >&2; exit 1; }\nexec cc "$@"\n' \
        >"$log/cc"
    chmod +x "$log/cc"
    plain+=(CC="$log/cc")
    cp tests/solutions/06.c "$exercise"
    makes exercise-06
    shows "This compiler has no checkers (libasan)"
    shows ": exercise 06 is done."
    [[ $output != *"cannot find"* ]]
}

@test "a program that never ends, heeds no signal and prints without end is no danger" {
    cat >"$course/lessons/02-bind/exercise.c" <<'C'
#include <signal.h>
#include <stdio.h>
int main(int count, char **argument)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    (void)argument;
    for (;;)
        if (count > 1)
            puts("\033[31mwhatever");
}
C
    makes exercise-02
    no_failure_of_make
    shows "seen:     it printed more than 1 MB"
    shows "?[31mwhatever"
    [[ $output != *$'\e'* ]]
    (($(wc -l <<<"$output") < 20 * $(grep -c "^  not yet" <<<"$output")))
    cat >"$exercise" <<'C'
#include "common.h"
#include <poll.h>
#include <signal.h>
int main(int argc, char **argv)
{
    struct endpoint at = parse_endpoint(read_arguments(argc, argv, "", NULL, "HOST:PORT"));
    open_listener(&at, 5);
    signal(SIGTERM, SIG_IGN);
    for (;;)
        poll(NULL, 0, -1);
}
C
    "${plain[@]}" make -s -C "$course" bin/06-exercise CFLAGS=-O0
    run "${plain[@]}" PATIENCE=8 EXERCISE="$course/bin/06-exercise" timeout -s KILL $((2 * patience)) \
        common/netns bats -f '^.C ends' tests/exercises/06.bats
    shows "1 seconds after SIGTERM it still ran"
    ((status == 1))
}

@test "a port that another program has is that program's fault" {
    # As on a machine that allows no namespace. (Exercise 05 is about ports that are given.)
    printf '#!/bin/sh\nexec "$@"\n' >"$course/common/netns"
    plain+=(PLAYED_IN=)
    mkdir "$course/lessons/05-connect"
    cp lessons/05-connect/README.md "$course/lessons/05-connect"
    cp tests/solutions/05.c "$course/lessons/05-connect/exercise.c"
    start stranger perl -Itests/lib -MPeer -e \
        'my $s = owner("127.0.0.1:6661"); listen $s, 1; print "listening\n"; cue()'
    saw stranger '^listening'
    makes exercise-05
    no_failure_of_make
    shows "  unknown  it finds the ports with a listener, even the first and the last"
    shows "another program has 127.0.0.1:6661: \"perl\", pid $pid. End that one, then try again"
    [[ $output != *"not yet"* ]]
    [[ ! -e $course/bin/05-exercise.checks ]] # to be checked again
}

@test "where no network namespace is to be had, each check has a port that nobody has" {
    printf '#!/bin/sh\nexec "$@"\n' >"$course/common/netns"
    plain+=(PLAYED_IN=)
    local p all=()
    for p in {6661..6669}; do all+=("127.0.0.1:$p"); done
    start stranger perl -Itests/lib -MPeer -e \
        'my @s = map { owner($_) } @ARGV; listen $_, 1 for @s; print "listening\n"; cue()' "${all[@]}"
    saw stranger '^listening'
    cp tests/solutions/06.c "$exercise"
    makes exercise-06
    ((status == 0))
    makes progress
    shows "06 Accept one        done"
}

@test "what this machine cannot show does not keep an exercise from being done" {
    cp tests/solutions/06.c "$exercise"
    # As in a container without IPv6.
    echo 'lacks() { REPLY="there is no address ::1 here"; [[ $1 == ipv6 ]]; }' \
        >>"$course/common/place.bash"
    makes exercise-06
    ((status == 0))
    shows "  unknown  it listens at the endpoint given, IPv4 or IPv6, and at no other"
    shows "           needs ipv6: there is no address ::1 here"
    shows "All checks work that this machine can make (2 of 3): exercise 06 is done."
    makes progress
    shows "06 Accept one        done"
}

@test "make report: what each check has said, for programs: JSON, and JUnit" {
    cp tests/solutions/06.c "$exercise"
    sed -i 's/while (wait_for(listener, POLLIN))/while (true)/' "$exercise"
    printf '#include <stdio.h>\nint main(void) { puts("<&\\"\\x27>"); return 0; }\n' >"$course/lessons/02-bind/exercise.c"
    makes report
    ((status == 0))
    shows "0 of 2 exercises are done."
    local json=$course/bin/progress.json xml=$course/bin/progress.xml
    cat "$json" "$xml"
    [[ $(jq -r '"\(.done) \(.all) \(.exercises | map(.number) | join(","))"' "$json") == "0 2 02,06" ]]
    jq -re '.exercises[1].checks[].name' "$json" | # all of it, though a terminal has 80 columns
        diff <(sed -nE 's/^@test "(.*)" \{$/\1/p' "$course/tests/exercises/06.bats") -
    jq -e '.exercises[1].checks | map(select(.result == "not yet")) | length == 1 and
        (.[0].said | test("^expected: .*\nseen:     "))' "$json"
    run -0 perl tests/lib/well-formed.pl <(tail -n +2 "$xml")
    perl -0777 -ne '/<testsuites tests="(\d+)" failures="(\d+)"/ or die; my ($tests, $failures) = ($1, $2);
        my $t = () = /<testcase /g; my $f = () = /<failure /g; my $quoted = () = /&lt;&amp;&quot;&(?:#39|apos);&gt;/g;
        print "$tests $failures, $t $f $quoted\n"; exit($t != $tests || $f != $failures || !$quoted)' "$xml"

    # All works; a source that does not compile; checks that were interrupted.
    cp tests/solutions/06.c "$exercise"
    echo "nonsense" >"$course/lessons/02-bind/exercise.c"
    makes report
    [[ $(jq -r '.exercises[] | "\(.done) \(.checks[0].name)"' "$json" | head -n 1) == "false it compiles" ]]
    [[ $(jq -r '.exercises[1].done' "$json") == true ]]
    rm "$course/bin/02-exercise.checks"
    run -0 "$course/tests/exercises/report"
    [[ $(jq -c '.exercises[0]' "$json") == '{"number":"02","title":"02 Bind","done":false,"checks":[]}' ]]
    grep -q '<testcase classname="exercise-02" name="the checks"><error ' "$xml"
}

@test "make watch-06 checks again at once what has changed; without entr it says what to install" {
    run -2 "${plain[@]}" make -s -C "$course" watch-99
    [[ $output == *"There is no exercise 99"* ]]
    command -v entr >/dev/null || {
        makes watch-06
        ((status != 0))
        shows "Missing here: entr"
        return
    }
    echo 'int main(void) { return 0; }' >"$exercise"
    start watch "${plain[@]}" TERM=dumb script -qec "make -s -C $course watch-06 CFLAGS=-O0" /dev/null
    saw watch '^0 of 3 checks work'
    cp tests/solutions/06.c "$exercise"
    saw watch ': exercise 06 is done'
}

@test "a hunt: it says what goes wrong, and that the mistake is fixed" {
    local lesson=lessons/09-buffers
    mkdir "$course/$lesson"
    cp "$lesson/README.md" "$lesson/hunt.c" "$course/$lesson"
    perl -i -0777 -pe 's/^\@test "(?!a line that comes|several lines).*?^\}\n//gms' "$course/tests/exercises/hunt-09.bats"
    makes hunt-09
    no_failure_of_make
    shows "  not yet  a line that comes in pieces is one message"
    shows "0 of 2 checks work."
    shows "The task and three hints, under Hunt: lessons/09-buffers/README.md"
    [[ -n $(type -P git) ]] || skip "git applies the answer, and is not here"
    sed -n '/^```diff$/,/^```$/{ /^```/d; p }' "$lesson/README.md" >"$course/answer"
    (cd "$course" && GIT_CEILING_DIRECTORIES=$course git apply answer)
    makes hunt-09
    shows "All 2 checks work: hunt 09 is done."
    makes hunt-98
    shows "There is no hunt '98'. There are: 09"
}

@test "there is no exercise 99" {
    makes exercise-99
    ((status != 0))
    shows "There is no exercise '99'. There are: 02 06"
}
