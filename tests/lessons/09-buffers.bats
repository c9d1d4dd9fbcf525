# Lesson 09: the two buffers of a connection. Oracles: ss, strace, peers in Perl. (The stream: 09-stream.bats)
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

# both [COMMAND...]   starts a reader (with that in front), and a writer, and waits until the writer
# has to wait. Both have HOST:PORT from $at. What ss shows is in $in and $out then.
both() {
    start reader "$@" bin/09-buffers --reader "$at"
    reader=$pid
    saw reader '^listen: '
    start writer bin/09-buffers "$at"
    writer=$pid
    saw writer '\(EAGAIN\)'
    client=$(sed -nE 's/^connect: (.*) -> .*/\1/p' "$log/writer")
    at_rest
}

# at_rest   sets in and out: what ss shows as Recv-Q of the reader's socket and Send-Q of the
# writer's one.
at_rest() {
    local state recv_q send_q here there
    in="" out=""
    while read -r state recv_q send_q here there _; do
        [[ "$here $there" != "$at $client" ]] || in=$recv_q
        [[ "$here $there" != "$client $at" ]] || out=$send_q
    done < <(ss -Htn)
}

# told NAME WORD   the last bar that it has shown: the number of bytes in it.
told() {
    sed -nE "s/^$2 buffer +\[[#.]{32}\] ([0-9]+) of [0-9]+ bytes$/\1/p" "$log/$1" | tail -n 1
}

# sent   how much the writer says to have sent before it had to wait.
sent() {
    sed -nE 's/^send: .*\(EAGAIN\), after ([0-9]+) bytes: waiting$/\1/p' "$log/writer" | tail -n 1
}

# has_read   how much the reader says to have read.
has_read() {
    awk '/^recv: [0-9]+ bytes?$/ { n += $2 } END { print n + 0 }' "$log/reader"
}

# nothing_lost   What the writer has sent is what the reader has read, and what is in the two
# buffers, as soon as the kernel has stopped to move bytes from one to the other between two looks.
nothing_lost() {
    eventually balanced
}

balanced() {
    at_rest
    (($(sent) == $(has_read) + in + out))
}

# full   Has the writer's kernel asked the reader's whether there is room, and has there been none?
# (Such a question, a zero window probe, is asked after 200 ms, and then ever less often: ss counts
# that as backoff. The first one at times moves some bytes on, which makes room for the writer.)
full() {
    [[ $(ss -Htin "src $client and dst $at") == *" backoff:"* ]]
}

# told_is_true   Is what the reader has told last what ss shows now? The writer told its bar when it
# had to wait; since then the kernel may have moved bytes on, so that there are fewer now.
told_is_true() {
    cue reader 1 # shows the bar again
    eventually eval '[[ $(tail -n 2 "$log/reader") == "recv: 1 byte"$'"'\n'"'receive* ]]'
    at_rest
    (($(told reader receive) == in && $(told writer send) >= out))
}

@test "claim 12: both buffers fill, and what is printed is what ss shows" {
    both
    nothing_lost
    ((in > 0 && out > 0))
    eventually told_is_true
    # Bars that have moved: at least four different ones.
    (($(grep -cE '^send buffer \[' "$log/writer") >= 4 &&
        $(grep -cE '^receive buffer \[' "$log/reader") >= 4))
}

@test "claim 12: each bar is as long as its number says, 32 for a full buffer" {
    both
    cat "$log/writer" "$log/reader" >"$log/both"
    awk -F '[][ ]+' '$3 ~ /^[#.]+$/ {
        bars++
        full = int($4 * 32 / $6)
        if (full > 32) full = 32
        if (length($3) != 32 || gsub("#", "", $3) != full) { print; wrong = 1 }
    } END { exit wrong || bars < 8 }' "$log/both"
}

@test "a bar is shown when it has moved by an eighth, and the last one before the writer waits" {
    both
    sed '/EAGAIN/q' "$log/writer" | awk -F '[][ ]+' '/EAGAIN/ { waits = 1 }
        $3 ~ /^[#.]+$/ { if (again) { print "again: " last; exit wrong = 1 }
            now = int($4 * 8 / $6); again = bars++ && now == before; before = now; last = $0 }
        END { exit wrong || !waits || bars < 5 }'
}

@test "claim 12: the sizes printed are the kernel's, twice what was asked for" {
    both
    ss -Htnm >"$log/ss"
    cat "$log/ss"
    # memory LOCAL WORD   the number behind that word in ss's second line of that socket.
    memory() {
        awk -v l="$1" -v w="$2" '$4 == l { getline; match($0, "," w "[0-9]+")
            print substr($0, RSTART + 3, RLENGTH - 3) }' "$log/ss"
    }
    tb=$(memory "$client" tb)
    rb=$(memory "$at" rb)
    grep -qx "send buffer: asked for 16384 bytes, the kernel made it $tb" "$log/writer"
    grep -qx "receive buffer: asked for 16384 bytes, the kernel made it $rb" "$log/reader"
    run ! grep -E '^(send|receive) buffer \[' <(grep -vE " of ($tb|$rb) bytes$" "$log/writer" "$log/reader")
    ((tb == 32768 && rb == 32768))
}

@test "claim 12: after one byte the writer still waits; it wakes when enough is read" {
    both
    eventually full
    nothing_lost
    total=$(sent)
    for n in 1 1 100; do
        has=$(grep -c '^recv: ' "$log/reader") || :
        cue reader "$n"
        saw reader '^recv: ' $((has + 1))
    done
    nothing_lost
    echo "read $(has_read), sent $total, then $(sent)"
    (($(has_read) == 102 && $(sent) - total < 8192))
    rooms=$(grep -c 'room again' "$log/writer") || :
    saw writer '\(EAGAIN\)' $((rooms + 1)) # it waits
    eventually full
    total=$(sent)
    cue reader
    saw writer '^poll: there is room again$' $((rooms + 1))
    saw writer '\(EAGAIN\)' $((rooms + 2))
    (($(sent) > total))
    nothing_lost
}

@test "claim 12: Enter reads all there is; a number reads at most that many bytes" {
    needs strace
    both strace -D -qq -o "$log/trace" -e trace=recvfrom
    cue reader 1000
    saw reader '^recv: 1000 bytes$'
    nothing_lost
    before=$in
    cue reader
    saw reader '^recv: ' 2
    saw writer '\(EAGAIN\)' 2
    nothing_lost
    (($(has_read) >= 1000 + before))
    cue reader 1048576 # as much as a number may be
    saw reader '^recv: ' 3
    # As strace has it: the very numbers asked for, and returned.
    eventually eval '(($(grep -c "^recvfrom" "$log/trace") == 3))'
    diff <(sed -E 's/.*, ([0-9]+), MSG_DONTWAIT, .* = /\1 /' "$log/trace") \
        <(sed -nE 's/^recv: ([0-9]+) bytes$/\1/p' "$log/reader" |
            paste -d ' ' <(printf '%s\n' 1000 1048576 1048576) -)
    saw writer '\(EAGAIN\)' 3
    nothing_lost
}

@test "claim 12: what is not a number of bytes is refused, quoted, and nothing is read" {
    both
    n=0
    for line in 0 1048577 99999999999999999999 18446744073709551617 -1 ' 5' '5 ' 5x x +5 0x10 \
        $'\e[2J'; do
        cue reader "$line"
        n=$((n + 1))
        saw reader 'is not a number of bytes from 1 to 1048576$' "$n"
        grep -qF "\"${line/$'\e'/\\x1b}\" is not" "$log/reader"
    done
    run ! grep '^recv' "$log/reader"
    run ! grep -aP '[^\n\x20-\x7e]' "$log/reader"
    nothing_lost
    cue reader 5
    saw reader '^recv: 5 bytes$'
}

@test "claim 12: the same over IPv6" {
    needs ipv6
    at="[::1]:$port"
    both
    nothing_lost
    cue reader
    saw reader "^recv: "
    saw writer '^poll: there is room again$'
    saw writer '\(EAGAIN\)' 2
    nothing_lost
}

@test "claim 12: an empty buffer: recv has nothing to return, and does not end it" {
    start reader bin/09-buffers --reader "$at"
    reader=$pid
    saw reader '^listen: '
    peer writer 'my $s = connected(); cue(); put($s, "hello"); cue()'
    saw reader '^accept: '
    cue reader
    saw reader '^recv: nothing there$'
    cue writer
    eventually shown "^ESTAB 5 0 $at "
    cue reader
    saw reader '^recv: 5 bytes$'
    is_running "$reader"
}

@test "all that the writer has sent arrives, and when it ends the reader sees the end" {
    both
    kill "$writer"
    ended "$writer"
    [[ $status == 0 ]]
    total=$(sed -nE 's/^close: fd 3, after ([0-9]+) bytes$/\1/p' "$log/writer")
    ((total >= $(sent))) # the kernel may have made room once more since it had to wait
    for ((i = 1; i < 30; i++)); do
        is_running "$reader" || break
        has=$(grep -c '^recv: ' "$log/reader") || :
        cue reader 20000
        saw reader '^recv: ' $((has + 1))
        ! grep -qx 'recv: 0 bytes' "$log/reader" || break
    done
    saw reader '^close: fd 4 and fd 3$'
    ended "$reader"
    [[ $status == 0 ]]
    (($(has_read) == total))
    grep -qx 'recv: 0 bytes' "$log/reader"
}

@test "SIGINT and SIGTERM end the writer, status 0: while it sends, and while it waits" {
    local signal
    for signal in INT TERM; do
        peer reader 'my $s = accepted(undef, 4096); cue()'
        peer_pid=$pid
        saw reader '^listening'
        start writer bin/09-buffers "$at"
        saw writer '^send buffer \['
        kill -"$signal" "$pid"
        ended "$pid"
        [[ $status == 0 ]]
        tail -n 1 "$log/writer" | grep -qE '^close: fd 3, after [0-9]+ bytes$'
        kill "$peer_pid"
        ended "$peer_pid"

        peer reader 'my $s = accepted(undef, 4096); cue()'
        peer_pid=$pid
        saw reader '^listening'
        start writer bin/09-buffers "$at"
        saw writer '\(EAGAIN\)'
        kill -"$signal" "$pid"
        ended "$pid"
        [[ $status == 0 ]]
        [[ $(tail -n 1 "$log/writer") == "close: fd 3, after $(sent) bytes" ]]
        kill "$peer_pid"
        ended "$peer_pid"
    done
}
