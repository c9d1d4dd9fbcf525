# Lesson 09: the stream, its end, and what fails. Oracles: strace, peers in Perl.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

@test "stumble 14: a failure is reported: call, endpoint, errno's text and name; ECONNRESET" {
    needs strace
    # The peer is gone with unread bytes: strace is the witness for the errno.
    start reader bin/09-buffers --reader "$at"
    reader=$pid
    saw reader '^listen: '
    start writer strace -D -qq -o "$log/trace" -e trace=connect,sendto bin/09-buffers "$at"
    writer=$pid
    saw writer '\(EAGAIN\)'
    kill "$reader"
    ended "$reader"
    [[ $status == 0 ]]
    ended "$writer"
    [[ $status == 1 ]]
    eventually grep -q 'ECONNRESET' "$log/trace"
    [[ $(tail -n 1 "$log/writer") == \
        "09-buffers: send to $at: Connection reset by peer (ECONNRESET)" ]]
}

@test "stumble 14: the same for connect and bind: ECONNREFUSED, EADDRINUSE, EADDRNOTAVAIL" {
    needs strace
    # says ERRNO CALL ARGUMENT...   the call has failed with that, as strace has it and as is told.
    says() {
        local name=$1 call=$2
        shift 2
        run -1 timeout -k 1 "$patience" strace -qq -o "$log/trace" -e "trace=$call,getsockopt" bin/09-buffers "$@"
        echo "$output"
        # (A connect() that does not wait is asked for its error afterwards.)
        grep -qE "^$call\(.* = -1 $name |SO_ERROR, \[$name\]" "$log/trace"
        text=$(perl -MErrno -e 'print $! = Errno->can(shift)->()' "$name")
        [[ $'\n'$output == *$'\n'"09-buffers: $call ${*: -1}: $text ($name)"* ]]
    }
    peer owner 'my $s = owner($ARGV[0]); my $t = owner($ARGV[1]); listen $t, 1;
        print "bound\n"; cue()' "$at" "127.0.0.1:$((port + 1))"
    saw owner '^bound'
    says ECONNREFUSED connect "$at"
    says EADDRINUSE bind --reader "127.0.0.1:$((port + 1))"
    says EADDRNOTAVAIL bind --reader "192.0.2.1:$port"
    says EADDRINUSE bind --stream "127.0.0.1:$((port + 1))"
    [[ ${lines[-3]} == "  try: "* ]]
}

@test "SIGINT, SIGTERM and ^D end the reader, status 0: before a writer comes, and after" {
    local signal when
    for when in before after; do
        for signal in INT TERM; do
            start reader bin/09-buffers --reader "$at"
            reader=$pid
            saw reader '^listen: '
            if [[ $when == after ]]; then
                peer writer 'my $s = connected(); cue()'
                saw reader '^accept: '
            fi
            kill -"$signal" "$reader"
            ended "$reader"
            [[ $status == 0 ]]
            shown "^LISTEN .* $at " 0
        done
    done
    mkfifo "$log/keys"
    start reader bash -c 'exec bin/09-buffers --reader "$2" <"$1"' - "$log/keys" "$at"
    reader=$pid
    # (This one comes first: it must not have a copy of $keys.)
    peer writer 'print "ready\n"; cue(); my $s = connected(); cue()'
    exec {keys}>"$log/keys"
    saw reader '^listen: '
    saw writer '^ready'
    cue writer
    saw reader '^accept: '
    exec {keys}>&-
    ended "$reader"
    [[ $status == 0 ]]
    [[ $(tail -n 1 "$log/reader") == "close: fd 4 and fd 3" ]]
}

# stream   runs --stream at $at; what strace has seen is left in $log/calls, as lines
# "send: 3 bytes one", the data cut.
stream() {
    needs strace
    run -0 timeout -k 1 "$patience" strace -qq -s 32 -o "$log/trace" -e trace=sendto,recvfrom \
        bin/09-buffers --stream "$at"
    echo "$output"
    sed -E 's/^(send|recv)(to|from)\([0-9]+, (".*"(\.\.\.)?), [0-9]+, .* = ([0-9]+)$/\1 \5 \3/' \
        "$log/trace" >"$log/calls"
    cat "$log/calls"
}

@test "stumble 2: three sends arrive as one recv" {
    stream
    diff - <(head -n 4 "$log/calls") <<'END'
send 3 "one"
send 3 "two"
send 5 "three"
recv 11 "onetwothree"
END
    [[ $output == 'send: "one"'$'\n''send: "two"'$'\n''send: "three"'$'\n'* ]]
    [[ ${lines[3]} == 'recv: 11 bytes "onetwothree"' ]]
}

@test "stumble 2: one send arrives as several recvs" {
    stream
    [[ $(sed -n 5p "$log/calls") == "send 80000 "* ]]
    sed -n '6,$p' "$log/calls" | sed '/^send/,$d' | cut -d ' ' -f 1,2 >"$log/recvs"
    (($(wc -l <"$log/recvs") >= 2))
    (($(awk '{ n += $2 } END { print n }' "$log/recvs") == 80000))
    [[ ${lines[4]} == "send: 80000 bytes" ]]
    diff <(sed 's/ /: /; s/$/ bytes/' "$log/recvs") \
        <(sed -n '6,$p' <<<"$output" | sed '/^send/,$d')
}

@test "stumble 2: claim 20: with a delimiter in the stream there are messages again" {
    stream
    diff - <(tail -n 2 "$log/calls") <<'END'
send 14 "one\ntwo\nthree\n"
recv 14 "one\ntwo\nthree\n"
END
    diff - <(tail -n 4 <<<"$output") <<'END'
send: "one\ntwo\nthree\n"
message: "one"
message: "two"
message: "three"
END
    shown "^LISTEN .*:$port " 0
}

@test "--stream prints the same whatever receive buffer a connection begins with" {
    local middle wrong='' default
    default=$(</proc/sys/net/ipv4/tcp_rmem)
    for middle in 16384 65536 131072 1048576; do
        # (Where this is no network of our own, that can't be set.)
        echo "4096 $middle 6291456" 2>/dev/null >/proc/sys/net/ipv4/tcp_rmem || break
        run timeout -k 1 1 bin/09-buffers --stream "$at"
        ((status == 0)) || wrong="$wrong $middle"
    done
    echo "$default" 2>/dev/null >/proc/sys/net/ipv4/tcp_rmem || :
    echo "not with:$wrong"
    [[ -z $wrong ]]
}

@test "--reader and --stream together are refused, status 2" {
    run -2 timeout -s KILL 5 bin/09-buffers --reader --stream
    [[ ${lines[0]} == "09-buffers: choose --reader or --stream, not both" ]]
    [[ ${lines[1]} == "usage: 09-buffers "* ]]
}

@test "a line that is not yet complete: the reader goes on to show its buffer" {
    start reader bin/09-buffers --reader "$at"
    saw reader '^listen: '
    peer writer 'my $s = connected(); cue(); put($s, "x" x 20000); cue()'
    saw reader '^receive buffer .* 0 of'
    printf 1 1<>"$log/reader.in"
    empty() { (($(perl -e 'ioctl STDIN, 0x541B, my $n = pack "i", 0; print unpack "i", $n' <>"$log/reader.in") == 0)); }
    eventually empty # it has read that
    cue writer
    saw reader '^receive buffer \[#'
    cue reader 23
    saw reader '^recv: 123 bytes$'
}
