# The narration is honest: the calls told are the calls made. Oracle: strace, read by honest.pl.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

trace=(strace -f -xx -s 99999 -e "trace=%network,close,write" -e signal=none)

setup() {
    needs strace
}

# traced NAME COMMAND...   starts it under strace; $pid is its own process id.
traced() {
    start "$1" "${trace[@]}" -D -o "$log/$1.trace" "${@:2}"
}

# honest NAME COUNT VERB...   NAME ends, and what it has told is what it has done: that many calls.
honest() {
    eventually grep -q 'exited with 0' "$log/$1.trace"
    run perl tests/course/honest.pl "${@:3}" <"$log/$1.trace"
    echo "$output"
    [[ $output == "$2 calls told, honest" ]]
}

@test "02-bind prints what it does: socket, bind, close" {
    traced bind bin/02-bind 127.0.0.1:0
    saw bind '^The port is ours'
    cue bind
    honest bind 3 socket bind close
}

@test "05-connect on a terminal prints what it does: connect, send, shutdown, recv" {
    lacks ipv6 || at="[::1]:$port"
    AT=$at
    peer server 'my $s = accepted(); put($s, "hi\n"); get($s); put($s, "x" x 60 . "\e")'
    saw server '^listening'
    run -0 timeout "$patience" script -qec "${trace[*]} -o $log/client.trace bin/05-connect $at" \
        /dev/null <<<hello
    honest client 6 connect send shutdown recv
}

@test "06-accept-one prints what it does: all its calls from socket to close" {
    traced server bin/06-accept-one "$at"
    saw server '^listen: '
    peer client 'my $s = connected(); for ("hi\n", "x" x 60, "\e\0\"\\") { put($s, $_);
        get($s, length) } finish($s); get($s)'
    honest server 13 socket bind listen accept recv send close

    # A check that finds nothing wrong in a wrong trace would be none.
    wrongs=0
    while IFS= read -r call; do
        run -1 perl tests/course/honest.pl socket bind listen accept recv send close \
            < <(grep -vxF -e "$call" "$log/server.trace")
        wrongs=$((wrongs + 1))
    done < <(grep -E '^[0-9]+ +(socket|bind|listen|accept|recvfrom|sendto|close|write)\(.* = ' \
        "$log/server.trace" | grep -v 'close([34]) .* EBADF\|write(1, "\\x20')
    ((wrongs >= 26))
}

@test "06-accept-one over IPv6 prints what it does, even when a signal ends it" {
    needs ipv6
    traced server bin/06-accept-one "[::1]:$port"
    saw server '^listen: '
    kill "$pid"
    honest server 4 socket bind listen accept recv send close
}

@test "07-accept-many prints what it does: listen, each accept, each close" {
    traced server bin/07-accept-many "$at"
    server=$pid
    saw server '^listen: '
    peer one 'my $s = connected(); put($s, "hello"); print get($s, 5), "\n"; cue()'
    saw one '^hello'
    peer two 'my $s = connected(); put($s, "hello"); get($s, 5); vanish($s)'
    saw server '^close: '
    kill "$server"
    honest server 6 listen accept close
}

@test "08-endpoints prints what it does: each listen, connect and accept" {
    traced table bin/08-endpoints "$at"
    saw table '^Compare'
    cue table
    honest table 12 listen connect accept
}
