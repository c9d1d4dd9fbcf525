# Exercise 07: the chat. The clients are Perl's; ss tells how many there are.
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

@test "it sleeps while no client sends" {
    serve
    join anna ben
    sleeps "it sleeps while no client sends"
}

@test "a client that connects just when another one leaves is accepted, and stays" {
    serve
    join anna ben
    pause # it learns of both at the same time
    cue ben leave
    told ben '^left' "ben leaves"
    come carl
    eventually shown "^ESTAB 0 0 127[^ ]* $at" 2 >/dev/null || :
    kill -CONT "$server"
    eventually shown "^CLOSE-WAIT .* $at .*" 0 >/dev/null || :
    members 2
    cue anna "hello"
    hears carl '"hello\n"'
}

@test "with 999 clients in the chat, one more is turned away, and the chat goes on" {
    (($(ulimit -Hn) >= 1100)) || skip "this system allows a program only $(ulimit -Hn) descriptors"
    ulimit -Sn 1100
    serve
    guest crowd 'our @all = many(999); print "come\n"; cue(); my $more = connected($ARGV[0]); alarm 9;
        my $turned = (ready($more, 0, 4))[0]; print $turned ? "turned away\n" : "left to wait\n";
        put($all[0], "hello"); my $heard = (ready($all[998], 0, 4))[0] ? heard($all[998], 5) : "nothing";
        print "the last one hears $heard\n"; cue()' "$at"
    told crowd '^come' "999 clients connect"
    members 999
    cue crowd
    told crowd '^the last' "the chat goes on"
    same $'turned away\nthe last one hears "hello"' "$(tail -n +2 "$log/crowd")" "one client more"
}

# few   it may have 20 descriptors; two clients are in the chat, and 30 more connect. It accepts as
# many as it has descriptors for: 20, without stdin, stdout, stderr, the listener, and what else the
# program was started with.
few() {
    bounded=(bash -c 'ulimit -f 1024 -n 20; exec "$@"' -)
    serve
    join anna ben
    guest others 'our @all = map { connected($ARGV[0]) } 1 .. 30; print "in\n"; cue();
        close $all[$_] for 0 .. 19; print "20 have left\n"; cue(); put($all[29], "hello"); cue()' "$at"
    told others '^in' "30 more clients connect"
    full() { [[ -e /proc/$server/fd/19 ]] || ! is_running "$server"; }
    eventually full >/dev/null || not_yet "it accepts clients until it has no descriptor left" "it has $(sockets_open) sockets open"
}

@test "it sleeps even when it is out of descriptors" {
    few
    sleeps "it sleeps even when it is out of descriptors"
    cue anna "hello"
    hears ben '"hello\n"'
}

@test "when it is out of descriptors, new clients wait until another one leaves" {
    few
    cue others
    told others '^20' "20 of 30 clients leave"
    members 12 # anna, ben, and those that were left
    cue others
    hears anna '"hello"'
}
