# Peers that do what no peer should, and far more of it than is usual. Oracles: ss, /proc, the bytes
# that come back to peers in Perl.
# shellcheck disable=SC2154,SC2030,SC2031 # log, pid, status: helpers.bash and bats set them
# shellcheck disable=SC2016 # the scripts in single quotes are Perl's
load ../lib/helpers
load ../lib/peers

# The servers for many clients: each test is made with each of them.
programs=(bin/07-accept-many)
[[ ! -d lessons/11-ten-thousand ]] || programs+=(bin/11-ten-thousand)

# serve COMMAND...   starts it as the server, in the place of the one before, at $at.
serve() {
    echo "server: $*"
    if [[ -n ${server-} ]]; then
        kill -KILL "$server" || :
        ended "$server"
        # (On a terminal the server itself is a child of that, and ends a moment later.)
        eventually shown "^LISTEN .* 127\.0\.0\.1:$port " 0
    fi
    start server "$@" ${at:+"$at"}
    server=$pid
    saw server '^listen: .*waiting'
}

# A program on a terminal: it ends when `script` does, by SIGHUP (which nohup, say, lets it ignore).
on_terminal=(env --default-signal=HUP script -qefc)

# serves   the server answers a new client; so it is not in the hands of another.
serves() {
    [[ $(perl -Itests/lib -MPeer -e 'print talk(connected(), "are you there?")') == \
        "are you there?" ]]
}

# sockets COUNT   has the server that many, its listener among them? (One that was reset is no more
# to be seen in ss, and yet takes a descriptor.)
sockets() {
    (($(find "/proc/$server/fd" -lname 'socket:*' | wc -l) == $1))
}

@test "200 clients reset with megabytes under way: fifty others are still served, nothing is left" {
    for program in "${programs[@]}"; do
        serve "$program" --quiet
        peer clients 'my @others = many(50); my $bytes = "x" x 1e6;
            for my $i (1 .. 200) {
                my $s = connected();
                fcntl $s, 4, 2048; # O_NONBLOCK
                1 while defined syswrite $s, $bytes;
                sysread $s, $_, 1e5 if $i % 2;
                vanish($s);
                my $other = $others[$i % 50];
                put($other, "I am $i"); get($other, length "I am $i") eq "I am $i" or die "$i\n";
            }
            print "served\n"; cue()'
        saw clients '^served$'
        eventually sockets 51
        serves
        cue clients
        eventually sockets 1
    done
}

@test "06: a reset with megabytes under way: status 1, and an error that says so" {
    serve bin/06-accept-one
    peer client 'my $s = connected(); fill($s); vanish($s)'
    ended "$server"
    [[ $status == 1 ]]
    [[ $(tail -n 1 "$log/server") =~ ^06-accept-one:\ send\ to\ 127.*\((ECONNRESET|EPIPE)\)$ ]]
}

@test "a half-close with megabytes under way: all of it comes back, to the byte" {
    for program in bin/06-accept-one "${programs[@]}"; do
        serve "$program"
        clients=5
        [[ $program != bin/06-accept-one ]] || clients=1
        for ((n = 1; n <= clients; n++)); do
            peer "client-$n" 'my $s = connected(); my $sent = fill($s); finish($s);
                get($s) eq $sent or die; print length $sent, " bytes\n"'
        done
        for ((n = 1; n <= clients; n++)); do
            saw "client-$n" '^[0-9]{7,} bytes$'
        done
    done
}

@test "four clients never read: meanwhile fifty others are served a hundred times each" {
    for program in "${programs[@]}"; do
        serve "$program" --quiet
        peer deaf 'my @deaf = map { connected() } 1 .. 4; my @sent = map { fill($_) } @deaf;
            print "full\n"; cue(); finish($_) for @deaf;
            for (0 .. 3) { get($deaf[$_]) eq $sent[$_] or die } print "all of it\n"'
        saw deaf '^full'
        peer fifty 'my @s = many(50); for my $i (1 .. 100) { put($_, "round $i") for @s;
            for (@s) { get($_, length "round $i") eq "round $i" or die } } print "served\n"'
        saw fifty '^served'
        cue deaf
        saw deaf '^all of it'
    done
}

@test "100,000 pieces of random lengths come back, to the byte" {
    for program in bin/06-accept-one "${programs[@]}"; do
        serve "$program"
        peer client 'print "seed ", srand, "\n"; my ($bytes, $sent, $n) = ("", 0, 0);
            $bytes .= pack "L", rand 2 ** 32 for 1 .. 200_000;
            $bytes x= 7;
            my $s = connected();
            if (!fork) {
                $sent += syswrite $s, $bytes, 1 + rand 109, $sent and $n++ # 55 on average
                    while $sent < length $bytes;
                print "$n pieces\n";
                finish($s);
                exit;
            }
            get($s) eq $bytes or die;
            print "all of it\n"'
        saw client '^1[0-9]{5} pieces$'
        saw client '^all of it'
    done
}

@test "40 clients at once, and descriptors for 15 of them: one message, and all get their bytes back" {
    for program in "${programs[@]}"; do
        serve bash -c 'ulimit -n 20; exec "$0" "$1"' "$program"
        peer clients 'my @s = many(40); put($s[$_], "$_," x 5000), finish($s[$_]) for 0 .. 39;
            for (0 .. 39) { get($s[$_]) eq "$_," x 5000 or die } print "all served\n"'
        saw clients '^all served'
        (($(grep -c EMFILE "$log/server") == 1))
        eventually sockets 1
        serves
    done
}

@test "1,000 clients connect and disappear, 100 of them from the queue: nothing is left of them" {
    for program in "${programs[@]}"; do
        serve "$program"
        serves
        before=$(memory_of "$server")
        kill -STOP "$server"
        peer clients 'vanish(connected()) for 1 .. 100; print "gone\n"'
        saw clients '^gone'
        kill -CONT "$server"
        peer clients 'vanish(connected()) for 1 .. 900; print "gone\n"'
        saw clients '^gone'
        serves
        saw server '^accept: ' 1002
        saw server '^close: ' 1002
        sockets 1
        (($(memory_of "$server") - before <= 16 * 4096))
    done
}

@test "10 MB without a newline come back; what is printed has lines of 300 characters at most" {
    for program in bin/06-accept-one "${programs[@]}"; do
        serve "$program"
        peer client 'my $line = "\e" x 10_000_000; talk(connected(), $line) eq $line or die;
            print "all of it\n"'
        saw client '^all of it'
        run ! grep -aE '^.{301}' "$log/server"
    done
    at=127.0.0.1:$((port + 1))
    peer server 'my $s = accepted($ARGV[0]); put($s, "\e" x 10_000_000); print "sent\n"' "$at"
    saw server '^listening'
    timeout "$patience" "${on_terminal[@]}" "bin/05-connect $at" /dev/null </dev/null >"$log/client"
    saw client 'recv: 0 bytes, the peer has finished'
    run ! grep -aE '^.{301}' "$log/client"
    [[ $(awk '$1 == "recv:" { n += $2 } END { print n }' "$log/client") == 10000000 ]]
}

# harmless FILE   has it nothing in it that a terminal would obey?
harmless() {
    [[ -s $1 ]]
    run ! grep -aP '[^\r\n\x20-\x7e]' "$1"
}

# tells_all FILE   are its lines 'recv: 32 bytes "..."', read as C strings, all bytes from 0 to 255?
tells_all() {
    perl -ne 'next unless /^recv: 32 bytes "(.*)"\r?$/;
        $all .= $1 =~ s/\\(x(..)|.)/$2 ? chr hex $2 : $1 =~ tr,nrt,\n\r\t,r/ger;
        END { exit($all ne join "", map chr, 0 .. 255) }' "$1"
}

@test "all 256 bytes to each program that receives: they come out escaped, or not at all" {
    pieces='map { join "", map chr, $_ * 32 .. $_ * 32 + 31 } 0 .. 7' # each is shown whole
    for program in bin/06-accept-one "bin/09-buffers --reader" "${programs[@]}"; do
        command="$program $at"
        at='' serve "${on_terminal[@]}" "$command" /dev/null
        if [[ $program == *--reader ]]; then
            peer client 'my $s = connected(); put($s, join "", '"$pieces"'); finish($s); get($s)'
            saw server '^accept: '
            # (257: the end, a FIN, is counted as one byte)
            eventually shown "^CLOSE-WAIT 257 0 $at "
            cue server # it reads,
            saw server '^recv: 256'
            cue server # and reads the end
        else
            peer client 'my $s = connected(); put($s, $_), get($s, 32) for '"$pieces"'; finish($s)'
        fi
        saw server '^close: '
        harmless "$log/server"
        [[ $program != bin/06* ]] || tells_all "$log/server"
    done

    at=127.0.0.1:$((port + 1))
    peer server 'my $s = accepted($ARGV[0]); cue(), put($s, $_) for '"$pieces"'; cue()' "$at"
    saw server '^listening'
    start client "${on_terminal[@]}" "bin/05-connect $at" /dev/null
    for n in {1..8}; do
        cue server
        saw client '^recv: 32' "$n"
    done
    harmless "$log/client"
    tells_all "$log/client"

    at=127.0.0.1:$((port + 2))
    peer server 'my $s = accepted($ARGV[0]); put($s, $_) for '"$pieces"'; cue()' "$at"
    saw server '^listening'
    start client "${on_terminal[@]}" "bin/09-buffers $at" /dev/null
    saw client EAGAIN # all that the kernel takes; it reads nothing
    harmless "$log/client"
}

# unread COMMAND...   starts it as the server, at $at; nobody reads its stdout, a pipe with room for
# 8192 bytes. {pipe} is the other end of that.
unread() {
    echo "server: $*"
    rm -f "$log/pipe"
    mkfifo "$log/pipe"
    exec {pipe}<>"$log/pipe"
    perl -e 'fcntl(STDIN, 1031, 8192) or die "F_SETPIPE_SZ: $!"' <&"$pipe"
    # shellcheck disable=SC2016 # "$@" is for the shell inside
    start server bash -c 'exec "$@" >"$0"' "$log/pipe" "$@" "$at"
    server=$pid
    eventually shown "^LISTEN .* $at"
}

# in_the_pipe   prints what it holds, and makes room in it.
in_the_pipe() {
    perl -e 'fcntl(STDIN, 4, 2048); print while sysread STDIN, $_, 65536' <&"$pipe"
}

# ends_by SIGNAL   the server ends, status 0; it does not need anybody to read what it says.
ends_by() {
    kill -"$1" "$server"
    ended "$server"
    ((status == 0))
    exec {pipe}<&-
}

@test "nobody reads a server's stdout: it goes on serving, and INT and TERM end it" {
    local signals=(INT TERM) n=0
    unread bin/06-accept-one
    peer client 'my $s = connected(); for (1 .. 300) { put($s, "hello"); get($s, 5) eq "hello" or die }
        print "served\n"; cue()'
    saw client '^served'
    ends_by "${signals[n++ % 2]}"

    for program in "${programs[@]}"; do
        unread "$program"
        peer client 'for (1 .. 50) { talk(connected(), "hello") eq "hello" or die }
            print "served\n"; cue(); get(my $s = connected(), 1)'
        saw client '^served'
        # Somebody reads again: the lines that are missing are counted.
        in_the_pipe | grep -q '^listen: '
        cue client
        eventually shown "^ESTAB 0 0 $at "
        told() { in_the_pipe >>"$log/told" && grep -q '^accept: ' "$log/told"; }
        eventually told
        grep -qE '^\([0-9]{2,} lines left out here: nobody read this\)$' "$log/told"
        rm "$log/told"
        ends_by "${signals[n++ % 2]}"
    done

    unread bin/09-buffers --reader
    peer client 'my $s = connected(); print "in\n"; cue(); put($s, "hello"); cue()'
    saw client '^in'
    printf '\n%.0s' {1..400} 1<>"$log/server.in" # it says "nothing there"
    cue client
    eventually shown "^ESTAB [05] 0 $at "
    cue server
    eventually shown "^ESTAB 0 0 $at "
    ends_by "${signals[n++ % 2]}"
}

@test "nobody reads a server's stdout, nor its stderr: out of descriptors it goes on serving" {
    for program in "${programs[@]}"; do
        # shellcheck disable=SC2016 # "$@" is for the shell inside
        unread bash -c 'ulimit -n 12; exec "$@" 2>&1' - "$program"
        peer client 'for my $round (1 .. 20) {
                my @s = many(16);
                put($_, "hello") for @s;
                for (@s) { get($_, 5) eq "hello" or die; close $_ }
            }
            print "served\n"; cue()'
        saw client '^served'
        ends_by TERM
    done
}
