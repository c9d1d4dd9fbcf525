# Exercise 07: the chat. The clients are Perl's; ss tells how many there are.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks
load chat

@test "what one says, the two others hear; the one who said it does not" {
    all_others_hear
}

@test "bytes of any value go through: they are no string" {
    bytes_of_any_value
}

@test "when one leaves, its socket is closed, and the others stay" {
    leaves
}

@test "when one vanishes (a reset), the chat goes on" {
    vanishes
}

@test "one who vanishes just when somebody speaks does not end the chat" {
    vanishes_meanwhile
}

@test "one who does not read cannot stop the others" {
    silent
}

@test "a client that reads slowly gets what was said, with no bytes missing in the middle" {
    slow
}

@test "a client that comes and goes before it is let in stops nobody" {
    comes_and_goes
}

@test "it sleeps when nobody speaks" {
    serve
    join anna ben
    sleeps "it sleeps when nobody speaks"
}

@test "one who comes just when another one leaves is let in, and stays" {
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

@test "999 are in the chat: one more is turned away, and the chat goes on" {
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

# few   it may have 20 descriptors; two clients are in the chat, and 30 more connect. As many are let
# in as there are descriptors for: 20, without stdin, stdout, stderr, the listener, and what else the
# program was started with.
few() {
    bounded=(bash -c 'ulimit -f 1024 -n 20; exec "$@"' -)
    serve
    join anna ben
    guest others 'our @all = map { connected($ARGV[0]) } 1 .. 30; print "in\n"; cue();
        close $all[$_] for 0 .. 19; print "20 have left\n"; cue(); put($all[29], "hello"); cue()' "$at"
    told others '^in' "30 more clients connect"
    full() { [[ -e /proc/$server/fd/19 ]] || ! is_running "$server"; }
    eventually full >/dev/null || not_yet "each descriptor is used" "it has $(sockets_open) sockets open"
}

@test "out of descriptors it sleeps, too" {
    few
    sleeps "out of descriptors it sleeps, too"
    cue anna "hello"
    hears ben '"hello\n"'
}

@test "out of descriptors it does not end: who waits is let in when another one has left" {
    few
    cue others
    told others '^20' "20 of 30 clients leave"
    members 12 # anna, ben, and those that were left
    cue others
    hears anna '"hello"'
}
