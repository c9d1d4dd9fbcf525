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

@test "a client that comes and goes before it is let in stops nobody" {
    comes_and_goes
}
