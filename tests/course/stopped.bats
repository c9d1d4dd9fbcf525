# A program that ^Z has stopped keeps its sockets: what the pages of 02, 03 and 06 say about that. And
# one that always has something to do can be ended all the same.
# shellcheck disable=SC2016,SC2030,SC2031 # $ is for shells inside; each test is a subshell
load ../lib/helpers
load ../lib/peers

# endpoint NAME   waits until NAME has bound its endpoint, and sets $at to it.
endpoint() {
    saw "$1" '^bind: fd 3 is '
    at=$(sed -n 's/^bind: fd 3 is //p' "$log/$1")
}

@test "a stopped program keeps its port; from when it goes on, it can end and give it back" {
    start holder bin/02-bind 127.0.0.1:0
    endpoint holder
    kill -STOP "$pid"
    eventually grep -q '^State:.*T' "/proc/$pid/status"
    run -1 bin/03-bind-twice "$at" </dev/null
    [[ $output == *"bind $at: Address already in use (EADDRINUSE)"* ]]

    kill -INT "$pid"
    kill -CONT "$pid"
    ended "$pid"
    ((status == 0))
    run -0 bin/03-bind-twice "$at" </dev/null
}

@test "with a stopped server a client connects, and has its answer when the server goes on" {
    start server bin/06-accept-one 127.0.0.1:0
    server=$pid
    endpoint server
    saw server '^listen: '
    kill -STOP "$server"
    start client bin/05-connect "$at"
    saw client '^connect: '
    cue client hello
    eventually shown "^ESTAB 6 0 $at 127\.0\.0\.1:[0-9]+"
    run ! grep hello "$log/client"

    kill -CONT "$server"
    saw client '^hello$'
}

# ends SIGNAL PID   the signal ends that program, status 0.
ends() {
    kill -"$1" "$2"
    ended "$2"
    ((status == 0))
}

@test "an input that never comes to its end, nor to the end of a line, does not keep INT and TERM out" {
    for program in 02-bind 03-bind-twice 08-endpoints; do
        for signal in INT TERM; do
            start "$program" bash -c 'exec "bin/$0" 127.0.0.1:0 </dev/zero' "$program"
            saw "$program" Enter
            ends "$signal" "$pid"
        done
    done
}
