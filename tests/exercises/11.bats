# Exercise 11: the chat of 07, for ten thousand. The clients are Perl's; ss tells how many there are.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks
load chat

@test "the two other clients get what one client sends; it gets nothing back itself" {
    all_others_hear
}

@test "bytes of any value get through: they are not a string" {
    bytes_of_any_value
}

@test "when a client leaves, its socket is closed, and the others stay" {
    leaves
}

@test "when a client resets its connection, the chat goes on" {
    vanishes
}

@test "a client that goes away just when another one sends does not end the chat" {
    vanishes_meanwhile
}

@test "a client that does not read does not block the others" {
    silent
}

@test "a client that reads slowly gets all bytes up to some point, without a gap" {
    slow
}

@test "a client that has gone before it is accepted does not stop the chat" {
    comes_and_goes
}

@test "it sleeps while no client sends, even if one of them does not read" {
    serve
    join anna ben
    sleeps "it sleeps while no client sends"
    cue anna "hello"
    eventually shown "^ESTAB 6 0 .* $at" >/dev/null || not_yet "what one client sends goes to the other one" \
        "$(in_lines "$(ss -Htn "dport = :$port" | awk '{ print "a client: " $1 ", bytes to be read: " $2 }')")"
    sleeps "it sleeps even if a client does not read"
}

@test "300 clients send at the same time, and every message arrives" {
    (($(ulimit -Hn) >= 400)) || skip "this system allows a program only $(ulimit -Hn) descriptors"
    ulimit -Sn 400
    serve
    guest crowd 'our @all = many(301); print "come\n"; cue(); put($_, "hello") for @all[1 .. 300];
        print "said\n"; cue(); print "one gets ", length get($all[0], 1500), " bytes\n"; cue()' "$at"
    told crowd '^come' "301 clients connect"
    members 301
    pause # it learns of all that follows at the same time
    cue crowd
    told crowd '^said' "300 of them send"
    kill -CONT "$server"
    cue crowd
    told crowd '^one gets' "another one gets their 1500 bytes"
    same "one gets 1500 bytes" "$(tail -n 1 "$log/crowd")"
}

@test "a long message (1 MB) arrives to its end" {
    serve
    join anna
    guest ben 'my $s = connected($ARGV[0]); print "in\n"; cue(); print talk($s, "x" x 1e6) eq "" ? "said\n" : "an echo\n"' "$at"
    members 2
    cue ben
    hears anna '"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"... (1000000 bytes)' 1000000
}

# crowd SCRIPT   as many clients as possible, 3000 at most, come at once, and each is accepted. What the
# script prints, line by line, is in $output.
crowd() {
    local size
    ulimit -Sn "$(ulimit -Hn)"
    size=$(ulimit -n)
    [[ $size != unlimited ]] && ((size < 3200)) && size=$((size - 200)) || size=3000
    serve
    guest crowd 'my $size = $ARGV[0]; our @all = many($size); print "come\n"; cue(); alarm 12;
        sub hear { my $word = shift; my $missed = 0;
            for my $s (@_) { my $n = (ready($s, 0, $missed ? 0 : 4))[0] ? sysread $s, my $got, 100 : 0;
                $missed++ if !$n || $got ne $word }
            print $missed ? "$missed of " . @_ . " have not got it\n" : "all have got it\n" }
        '"$1"'; print "done\n"; cue()' "$size"
    told crowd '^come' "$size clients connect"
    members "$size"
    cue crowd
    saw crowd '^done|waited' >/dev/null || saw crowd '^done|waited' >/dev/null ||
        saw crowd '^done|waited' >/dev/null || :
    output=$(tail -n +2 "$log/crowd")
}

@test "3000 clients: the other 2999 get what one of them sends" {
    crowd 'put($all[7], "hello"); hear("hello", @all[0 .. 6, 8 .. $#all])'
    same $'all have got it\ndone' "$output"
}

@test "2000 of 3000 clients go away at once; the others still hear each other" {
    crowd 'vanish($all[$_]) for 500 .. $#all - 500;
        my @rest = @all[0 .. 499, $#all - 499 .. $#all];
        put($rest[999], "hello"); hear("hello", @rest[0 .. 998]);
        put($rest[3], "and again"); hear("and again", @rest[0 .. 2, 4 .. 999])'
    same $'all have got it\nall have got it\ndone' "$output"
    members 1000
}

@test "without a free descriptor it turns new clients away, and goes on" {
    bounded=(bash -c 'ulimit -f 1024 -n 20; exec "$@"' -)
    serve
    join anna ben
    guest others 'our @all = map { connected($ARGV[0]) } 1 .. 30; my $away = 0; print "in\n"; cue();
        for my $s (@all[20 .. 29]) { (ready($s, 0, 3))[0] ? $away++ : last }
        print $away == 10 ? "turned away\n" : "left to wait\n"; cue()' "$at"
    told others '^in' "30 more clients are accepted or turned away"
    cue others
    told others '^(turned|left)' "the last 10 of 32 clients are turned away"
    same "the last 10 of 32 clients are turned away" \
        "the last 10 of 32 clients are $(tail -n 1 "$log/others")"
    cue anna "hello"
    hears ben '"hello\n"'
    sleeps "it sleeps even without a free descriptor"
}
