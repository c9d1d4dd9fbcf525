# Every program does its work under valgrind: it touches no memory that is not its own, reads none
# that it has not written, and at the end all memory is freed and all descriptors are closed.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

setup() {
    command -v valgrind >/dev/null || skip "valgrind is not installed"
    ! grep -q fsanitize bin/compile || skip "SANITIZE=1 and valgrind do not go together"
}

# try COMMAND...   starts a program under valgrind, with the file $input as its stdin if that is
# set; its process id is in $tried, what it says in $log/program.
try() {
    # What it inherits open, a newer valgrind counts as an error.
    local with=(bash -c 'for fd in /proc/$$/fd/*; do
            ((${fd##*/} < 3)) || eval "exec ${fd##*/}>&-"
        done
        [[ ! $0 ]] || exec <"$0"
        exec "$@"' "${input-}")
    echo "$*"
    start program "${with[@]}" valgrind --leak-check=full --show-leak-kinds=all --track-fds=yes \
        --errors-for-leak-kinds=all --error-exitcode=99 --log-file="$log/valgrind-%p" "$@"
    tried=$pid
}

# clean STATUS   the program ends with that status, and has left nothing.
clean() {
    local report=$log/valgrind-$tried
    ended "$tried"
    cat "$log/program" "$report"
    [[ $status == "$1" ]]
    grep -q 'All heap blocks were freed' "$report"
    # Of an open descriptor the next line tells where it was opened, or that it was there before.
    [[ -z $(sed -n '/ Open /{ N; /inherited/!p }' "$report") ]]
    # The children of 10-states are there to be killed, or to hold a socket; but they make no error.
    for report in "$log"/valgrind-*; do
        grep -q 'ERROR SUMMARY: 0 errors' "$report"
    done
    rm "$log"/valgrind-*
}

# work_of NAME   lets a program do what it can.
work_of() {
    local echoed='my $s = connected(); put($s, "hello\n"); print get($s, 6)' input=""
    case $1 in
        01-interfaces)
            try "bin/$1"
            clean 0
            ;;
        10-states)
            try "bin/$1" "$at"
            clean 0
            ;;
        02-bind | 03-bind-twice | 08-endpoints)
            try "bin/$1" "$at"
            saw program 'Enter'
            cue program
            clean 0
            [[ $1 == 03* ]] || return 0
            try "bin/$1" --table
            clean 0
            ;;
        04-ports-in-use)
            try "bin/$1" --watch
            saw program '^sockets: '
            peer listener 'accepted($ARGV[0])' "127.0.0.1:$((port + 2))"
            saw program ":$((port + 2)) .*perl"
            kill "$tried"
            clean 0
            ;;
        05-connect)
            input=README.md
            peer server 'my $s = accepted(); put($s, get($s))'
            saw server '^listening'
            try "bin/$1" "localhost:$port"
            clean 0
            try "bin/$1" "127.0.0.1:$((port + 1))" # refused
            clean 1
            try "bin/$1" "nobody.knows.invalid:$port"
            clean 1
            ;;
        06-accept-one)
            try "bin/$1" "$at"
            saw program '^listen'
            peer client "$echoed"
            saw client '^hello'
            clean 0
            ! lacks ipv6 || return 0
            try "bin/$1" "[::1]:$port"
            saw program '^listen'
            kill "$tried"
            clean 0
            ;;
        07-accept-many | 11-ten-thousand)
            try "bin/$1" "$at"
            saw program '^listen'
            # One has finished, one was reset, one never reads, and twenty are there at the end.
            peer clients "$echoed"'; vanish(my $t = connected()); fill(my $deaf = connected());
                my @s = many(20); put($_, "!"), get($_, 1) for @s; print "all in\n"; cue()'
            saw clients '^all in'
            kill "$tried"
            clean 0
            ;;
        11-crowd)
            start server bin/07-accept-many --quiet "$at"
            local server=$pid
            saw server '^listen'
            try "bin/$1" --clients 20 --active 5 --seconds 0 "$at"
            clean 0
            kill "$server"
            ended "$server"
            ;;
        09-buffers)
            try "bin/$1" --stream "$at"
            clean 0
            try "bin/$1" --reader "$at"
            saw program '^listen'
            peer client 'my $s = connected(); put($s, "hello"); cue()'
            saw program '^accept'
            for line in x 3 ""; do
                cue program "$line"
            done
            saw program '^recv: 2 bytes'
            kill "$tried"
            clean 0
            peer server 'my $s = accepted(); cue()'
            saw server '^listening'
            try "bin/$1" "$at"
            saw program 'EAGAIN'
            kill "$tried"
            clean 0
            ;;
        12-picture)
            try "bin/$1" "$at"
            saw program '^open'
            # One has its answers, one was reset, one has half a request, two watch until the end.
            peer clients 'my $ask = "HTTP/1.1\r\nHost: $ENV{AT}\r\n\r\n"; my @s = map { connected() } 1 .. 6;
                put($s[0], "GET / ${ask}GET /snapshot ${ask}GET /nothing $ask"); finish($s[0]); get($s[0]);
                put($s[1], "GET /picture.js $ask" x 9); vanish($s[1]); put($s[2], "GET / HT");
                put($s[3], "GET /events $ask"); put($s[4], "GET /events?all $ask");
                put($s[5], "hello\n"); get($s[5]); close $s[5];
                get($s[3], 600); get($s[4], 600); print "all in\n"; cue()'
            saw clients '^all in'
            kill "$tried"
            clean 0
            ;;
        13-datagrams)
            try "bin/$1" --receiver --room 10 "$at"
            saw program '^bind'
            peer sender 'use Socket; my ($s, $to) = Peer::unbound(undef, SOCK_DGRAM);
                for ("", "hello", "x" x 60000) { send $s, $_, 0, $to; recv $s, my $got, 100, 0 } print "done\n"'
            saw sender '^done'
            kill "$tried"
            clean 0
            try "bin/$1" --overfill "$at"
            saw program '^Enter'
            cue program
            clean 0
            try "bin/$1" --connect "$at" # nobody is there
            saw program '^connect'
            cue program hello
            saw program 'ECONNREFUSED'
            kill "$tried"
            clean 0
            ;;
        *)
            echo "$1 is not tried: tell here what it can do"
            return 1
            ;;
    esac
}

@test "every program does its work: all memory is freed, all descriptors are closed" {
    # As the Makefile names them: lessons/06-accept-one/accept-one.c is bin/06-accept-one.
    for source in lessons/*/*.c; do
        name=${source#lessons/}
        name=${name%%-*}-$(basename "$source" .c)
        [[ $name =~ -(exercise|hunt)$ ]] || work_of "$name"
    done
}
