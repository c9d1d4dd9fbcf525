# Exercise 13: a question over a network that is not reliable. The server is Perl's, and it is the
# network, too: it loses, delays and repeats what it likes.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# serves SCRIPT   a server that runs this for each message that comes: it has the number $n, and is
# the $count-th one. answer(TEXT) sends that text back; $s is its socket, $from the client.
serves() {
    guest other 'use Time::HiRes "time";
        our $s = datagrams($ARGV[0]); print "bound\n";
        our ($from, $n, $count, $began) = ("", 0, 0);
        sub answer { send $s, $_[0], 0, $from }
        while (defined($from = recv $s, my $got, 2000, 0)) {
            $began //= time;
            ($n) = $got =~ /^(\d+) / or print("not as it should be: ", in_quotes($got), "\n"), next;
            ++$count;
            printf "asked %s after %d ms\n", in_quotes($got), 1000 * (time - $began);
            '"$1"'
        }' "$at"
    saw other '^bound'
}

# questions TEXT...   runs the program with a line for each of them.
questions() {
    printf '%s\n' "$@" >"$log/questions"
    input=$log/questions try "$at"
}

# asked COUNT   so many messages have come to the server.
asked() {
    local seen
    seen=$(grep -v '^bound' "$log/other" | sed 's/ after [0-9]* ms//')
    (($(grep -c . <<<"$seen") == $1)) || not_yet "the server gets $1 messages" "$(in_lines "$seen")"
}

@test "each question gets its answer" {
    serves 'answer("$n " . 100 * $n)'
    questions one "two three" ''
    prints $'100\n200\n300'
    [[ $(sed -n 's/^asked "[0-9]* \(.*\)" after.*/\1;/p' "$log/other" | xargs) == "one; two three; ;" ]] ||
        not_yet 'messages of a number, a blank and the question: "1 one", "2 two three", "3 "' \
            "$(in_lines "$(grep -v '^bound' "$log/other")")"
}

@test "without an answer it asks again after half a second, the same question" {
    serves 'answer("$n here") if $count == 3'
    questions hello
    prints here
    asked 3
    [[ $(sed -n 's/^asked \(".*"\) after.*/\1/p' "$log/other" | sort -u | wc -l) == 1 ]] ||
        not_yet "three times the same message" "$(in_lines "$(grep asked "$log/other")")"
    local times
    mapfile -t times < <(sed -n 's/.* after \([0-9]*\) ms/\1/p' "$log/other")
    ((times[1] >= 450 && times[2] - times[1] >= 450 && times[2] < 1000 + 400 * limit / 2)) ||
        not_yet "asked after 0, 500 and 1000 ms" "$(in_lines "$(grep asked "$log/other")")"
}

@test "an answer that comes late, after the second try, is still the answer" {
    serves 'if ($count == 1 && !fork) { select undef, undef, undef, 0.7; answer("$n at last"); exit }'
    questions hello
    prints "at last"
    (($(grep -c '^asked' "$log/other") < 5)) || asked 2
}

@test "after five tries it gives up: a message on stderr, exit status 1" {
    serves ''
    questions hello
    asked 5
    refuses "no answer has come" .
}

@test "a late answer to the first question is not taken for the second" {
    serves 'if ($n == 1) { answer("1 first") } else { answer("1 first"); answer("2 second") }'
    questions one two
    prints $'first\nsecond'
}

@test "an answer that comes twice, or three times, is one answer" {
    serves 'answer("$n answer $n") for 1 .. 3'
    questions one two three
    prints $'answer 1\nanswer 2\nanswer 3'
    asked 3
}

@test "answers with other numbers do not make it wait longer" {
    serves 'if ($count == 1) {
            if (!fork) { for (1 .. 30) { answer("999 not yours"); select undef, undef, undef, 0.1 } exit }
        } else { answer("$n yours") }'
    questions hello
    prints yours
    local after
    after=$(sed -n '/^asked/s/.* after \([0-9]*\) ms/\1/p' "$log/other" | sed -n 2p)
    ((after < 500 + 400 * limit / 2)) ||
        not_yet "it asks again after 500 ms" "it asked again after $after ms"
}

@test "what is not an answer to this question is ignored" {
    serves 'answer($_) for "", "rubbish", " 1", "1", "1x no", "12 no", "-1 no", "x1 no", "0 no",
            "4294967297 no", "1 yes"'
    questions hello
    prints yes
    asked 1
}

@test "nobody at the port (ECONNREFUSED) is not the end: the server may come back" {
    serves 'if ($count == 1) { close $s; select undef, undef, undef, 0.75; $s = datagrams($ARGV[0]) }
        else { answer("$n here again") }'
    questions hello
    prints "here again"
}

@test "while it waits for an answer, it sleeps" {
    serves 'select undef, undef, undef, 0.4; answer("$n here")'
    begin "$at"
    printf '%s\n' {1..30} 1<>"$log/server.in" # each takes 400 ms
    patience=$limit
    told other '^asked' "the server gets a question"
    sleeps "it waits for an answer without keeping a processor busy"
}
