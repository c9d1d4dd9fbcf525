# The command line and the standard streams of every program, whatever its lesson.
# needs the machine to itself (tests/lib/run): port 6666, or a list of all sockets
# shellcheck disable=SC2154 # log, pid: helpers.bash sets them
load ../lib/helpers
load ../lib/peers

# usage[PROGRAM]   the usage, the first line of what it says to --help, or the first two. As the Makefile names them,
# lessons/06-accept-one/accept-one.c is bin/06-accept-one.
setup_file() {
    local source number
    declare -A usage=()
    for source in lessons/*/*.c; do
        number=${source#lessons/}
        number=${number%%-*}
        source=${source##*/}
        [[ $source != exercise.c && $source != hunt.c ]] || continue
        source=bin/$number-${source%.c}
        usage[$source]=$("$source" --help | sed -nE '1p; 2s/^      ( \[)/\1/p')
    done
    declare -p usage | sed '1s/^declare/declare -g/' >"$BATS_FILE_TMPDIR/usage"
}

setup() {
    # shellcheck disable=SC1091 # made by setup_file
    source "$BATS_FILE_TMPDIR/usage"
    local program
    programs=()
    with_endpoint=() # those that take HOST:PORT, the others take no argument but options
    for program in "${!usage[@]}"; do
        programs+=("$program")
        [[ ${usage[$program]} != *HOST:PORT* ]] || with_endpoint+=("$program")
    done
    ((${#programs[@]} >= 7))
}

# options PROGRAM   prints its options, one a line: --quiet, or --timeout SECONDS.
options() {
    grep -oE -e '\[--[^]]*\]' <<<"${usage[$1]}" | tr -d '[]'
}

# refuses QUOTED PROGRAM [ARGUMENT...]   notes that the program, so called, has to quote this text
# in its complaint. all_refused then sees to it.
refuses() {
    printf '%s\0' "$#" "$@" >>"$log/calls"
}

# all_refused   makes all the calls that refuses() has noted: each has to end with status 2, with
# nothing on stdout, and on stderr lines of printable characters: the complaint and the usage.
# They fit into 80 columns if what is quoted is no longer than an endpoint.
# (In perl, since bash under bats would take its time for hundreds of programs.)
all_refused() {
    perl -e '
        my ($out, $err, @calls) = (shift, shift, split(/\0/, join("", <STDIN>), -1));
        my ($made, $wrong) = (0, 0);
        sub text { open(my $file, "<", shift) or die $!; return join("", <$file>) }
        while (my $count = shift @calls) {
            my ($quoted, @command) = splice(@calls, 0, $count);
            defined(my $pid = fork()) or die $!;
            if ($pid == 0) {
                open(STDIN, "<", "/dev/null") && open(STDOUT, ">", $out) &&
                    open(STDERR, ">", $err) && alarm($ENV{PATIENCE} // 20);
                exec { $command[0] } @command;
            }
            waitpid($pid, 0);
            my ($name, $said, $complaint) = ($command[0] =~ s|.*/||r, text($out), text($err));
            $made++;
            next if $? == 2 << 8 && $said eq "" &&
                $complaint =~ /^\Q$name\E: [ -~]*\Q$quoted\E[ -~]*\nusage: \Q$name\E( [ -~]*(\n       \[[ -~]*)?)?\n$/ &&
                (length $quoted > 23 || $complaint !~ /.{81}/);
            $wrong++;
            print "@command: status ", $? >> 8, ", signal ", $? & 127, "\n";
            print "$said$complaint(does not quote $quoted, or not as it should)\n";
        }
        print "$made calls, $wrong wrong\n";
        exit($made == 0 || $wrong > 0);' "$log/out" "$log/err" <"$log/calls"
}

# try COMMAND...   runs it with an empty stdin; its exit status is in $status, what it said is in
# the files $log/out and $log/err.
try() {
    status=0
    timeout -s KILL "$patience" "$@" </dev/null >"$log/out" 2>"$log/err" 3>&- 4>&- || status=$?
    printf '%q ' "$@"
    echo "- status $status"
    cat "$log/err"
}

# arguments PROGRAM   sets args to what the program needs to do something that ends, or waits for a
# client. (05-connect and 11-crowd need a server: one is started. 09-buffers is one with --reader.)
arguments() {
    args=()
    [[ ${usage[$1]} == *HOST:PORT* ]] || return 0
    args=(127.0.0.1:0)
    [[ ${usage[$1]} != *"[--reader]"* ]] || args=(--reader 127.0.0.1:0)
    [[ $1 == bin/05-connect || $1 == bin/11-crowd ]] || return 0
    start server bin/07-accept-many 127.0.0.1:0
    saw server '^listen: .*waiting'
    args=("$(sed -nE 's/^listen: fd [0-9]+ is ([^,]+),.*/\1/p' "$log/server")")
    [[ $1 != bin/11-crowd ]] || args+=(--clients 20 --seconds 0) # as few as do
}

@test "what is not HOST:PORT is refused, and quoted" {
    local program word number
    for program in "${programs[@]}"; do
        for word in 127.0.0.1 99999 "" :6666 "[::1:6666" ::1:6666 "[::1]6666" "[]:6666" "[::1]" \
            "[" "[:]" a:b:80 :: fe80::a:66a1; do
            refuses "\"$word\"" "$program" "$word"
        done
    done
    for program in "${with_endpoint[@]}"; do
        for number in 65536 99999 -1 80x " 80" "" +80 0x50 80.0 18446744073709551696; do
            refuses "\"$number\"" "$program" "127.0.0.1:$number"
        done
    done
    all_refused
}

@test "a host that is not an address is refused, before anything is printed or done" {
    local program host
    for program in "${with_endpoint[@]}"; do
        [[ $program != bin/05-connect ]] || continue # it takes names
        for host in localhost 1.2.3 256.0.0.1 " 127.0.0.1" 127.0.0.1%lo; do
            refuses "\"$host\"" "$program" "$host:6666"
        done
        refuses '"::1::"' "$program" "[::1::]:6666"
        refuses '"nope"' "$program" "[fe80::1%nope]:6666"
    done
    all_refused
}

@test "one argument too many is refused, and quoted" {
    local program
    for program in "${programs[@]}"; do
        if [[ ${usage[$program]} == *HOST:PORT* ]]; then
            refuses '"127.0.0.1:2"' "$program" 127.0.0.1:1 127.0.0.1:2
            refuses '""' "$program" 127.0.0.1:1 ""
        else
            refuses '"127.0.0.1:1"' "$program" 127.0.0.1:1
        fi
    done
    all_refused
}

@test "an unknown option is refused, and quoted" {
    local program word option
    for program in "${programs[@]}"; do
        for word in -1 - -- -x --frobnicate --hel --help=1 -hh; do
            refuses "\"$word\"" "$program" "$word"
        done
        # Nearly one of its own: cut short, too long, with =, and as it stands in the usage line.
        while read -r option; do
            [[ -n $option ]] || continue
            word=${option%% *}
            refuses "\"${word%?}\"" "$program" "${word%?}"
            refuses "\"${word}x\"" "$program" "${word}x"
            refuses "\"$word=5\"" "$program" "$word=5"
            [[ $option == "$word" ]] || refuses "\"$option\"" "$program" "$option"
        done < <(options "$program")
    done
    all_refused
}

@test "an option without its value is refused, and a value that is not a number" {
    local program option value
    for program in "${programs[@]}"; do
        while read -r option value; do
            [[ -n $value ]] || continue
            refuses "$option" "$program" "$option"
            refuses "$option" "$program" 127.0.0.1:0 "$option"
            for value in x "" -1 1.5 5x " 5" 99999999999; do
                refuses "\"$value\"" "$program" "$option" "$value"
                refuses "\"$value\"" "$program" 127.0.0.1:0 "$option" "$value"
            done
        done < <(options "$program")
    done
    all_refused
}

@test "control characters of an argument come out escaped; a long one is cut" {
    local program long
    long=$(printf '%05000d' 0)
    for program in "${programs[@]}"; do
        refuses '"\x1b[31m\n\x07"' "$program" $'\e[31m\n\a'
        refuses '"127.0.0.1\xc3\xa9"' "$program" $'127.0.0.1\xc3\xa9'
        refuses '"-\x1b[2J"' "$program" $'-\e[2J'
        refuses '"000'"${long:0:40}" "$program" "$long"
    done
    for program in "${with_endpoint[@]}"; do
        refuses '"80\n"' "$program" $'127.0.0.1:80\n'
        refuses '"[::1\x1b:80"' "$program" $'[::1\e:80'
    done
    all_refused
    (($(wc -c <"$log/err") < 500))
    try "${programs[0]}" "$long"
    (($(wc -c <"$log/err") < 500))
}

@test "--help and -h print the usage and more on stdout, and nothing is done" {
    local program word
    for program in "${programs[@]}"; do
        for word in --help -h; do
            try "$program" "$word"
            ((status == 0))
            [[ ! -s $log/err ]]
            [[ $(<"$log/out") == "usage: ${program##*/}"*$'\n'* ]]
        done
    done
    for program in "${with_endpoint[@]}"; do
        try "$program" 127.0.0.1:0 --help
        ((status == 0))
        [[ $(<"$log/out") == "usage: ${program##*/}"* ]]
    done
}

@test "--help, and tables of the usual endpoints, fit into 80 columns" {
    local program
    for program in "${programs[@]}"; do
        try "$program" --help
        run ! grep -E '.{81}' "$log/out"
    done
    # (A transcript on a page need not have all the blanks of a table.)
    for program in "bin/03-bind-twice --table" bin/08-endpoints bin/10-states; do
        # shellcheck disable=SC2086 # words
        try $program
        ((status == 0))
        run ! grep -E '.{81}' "$log/out"
    done
}

@test "without HOST:PORT no program can be reached from elsewhere: 127.0.0.1:6666, or :8080" {
    local program expected
    for program in bin/02-bind bin/03-bind-twice; do
        try "$program" # on the machine itself somebody else may have the port
        [[ $(<"$log/out") == *"bind: fd 3 is 127.0.0.1:6666"$'\n'* ||
            $(<"$log/err") == "${program#bin/}: bind 127.0.0.1:6666: "*"(EADDRINUSE)"* ]]
        ((status == 0)) || needs network
    done
    for program in bin/06-accept-one bin/07-accept-many "bin/09-buffers --reader" \
        bin/11-ten-thousand bin/12-picture; do
        echo "$program"
        # shellcheck disable=SC2086 # words
        start server $program
        saw server '^listen: .*waiting'
        expected=127.0.0.1:6666
        [[ $program != bin/12-picture ]] || expected=127.0.0.1:8080
        [[ $(sockets_of "$pid") == [0-9]" $expected none" ]]
        kill "$pid"
        ended "$pid"
    done
    start server bin/13-datagrams --receiver
    saw server ' is 127\.0\.0\.1:6666'
}

@test "stdout that is closed, or full: status 1, and a message that says so" {
    local program args words call name
    for program in "${programs[@]}"; do
        name=${program##*/}
        arguments "$program"
        for words in "${args[*]}" --help; do
            read -ra call <<<"$words"
            # shellcheck disable=SC2016 # "$@" is for the shell inside
            try bash -c 'exec "$@" >&-' - "$program" "${call[@]}"
            ((status == 1))
            [[ $(<"$log/err") == "$name: "*stdout*": Bad file descriptor (EBADF)" ]]

            # (05-connect writes to stdout what it receives: it has to be sent something.)
            # shellcheck disable=SC2016
            try bash -c 'exec "$@" >/dev/full <<<hello' - "$program" "${call[@]}"
            ((status == 1))
            [[ $(tail -n 1 "$log/err") == "$name: "*stdout*": No space left on device (ENOSPC)" ]]
        done
    done
}

# ended_or_waits   The program has ended, or it is a server that waits.
ended_or_waits() {
    ! is_running "$pid" || grep -q '^listen: .*waiting' "$log/program"
}

@test "with stdin and stderr closed, no socket gets their numbers" {
    needs strace
    local program args sockets=0
    for program in "${programs[@]}"; do
        arguments "$program"
        # -D: $pid is the program; strace is beside it, and may be a bit behind it at the end.
        # shellcheck disable=SC2016 # "$@" is for the shell inside
        start program strace -D -f --seccomp-bpf -qq -o "$log/trace" \
            -e trace=socket,accept,accept4,exit_group \
            bash -c 'exec "$@" <&- 2>&-' - "$program" "${args[@]}"
        eventually ended_or_waits
        kill -TERM "$pid" 2>/dev/null || :
        ended "$pid"
        eventually grep -q '^[0-9]* *exit_group' "$log/trace"
        echo "$program ${args[*]}: status $status" && cat "$log/program"
        ((status == 0))
        ((sockets += $(grep -cE '^[0-9]+ +socket\(.* = [3-9]' "$log/trace"))) || :
        run ! grep -E '^[0-9]+ +(socket|accept|accept4)\(.* = [0-2]$' "$log/trace"
    done
    ((sockets >= ${#programs[@]})) # 04 makes none, since it reads files, and some make several
}

# broken, nonblocking   what is before a command: its stdout is a pipe that nobody has open any more;
# its stdin or stdout (0 or 1) is non-blocking, as another program may have made it.
# shellcheck disable=SC2016 # the scripts are Perl's
broken=(perl -e '$SIG{PIPE} = "DEFAULT"; pipe my $r, my $w; close $r; open STDOUT, ">&", $w; exec @ARGV')
# shellcheck disable=SC2016
nonblocking=(perl -e 'open my $f, "<&=", shift; fcntl $f, 4, 2048 or die; exec @ARGV')

@test "stdout whose reader has gone: status 1, and a message that says so" {
    local program args words call name
    for program in "${programs[@]}"; do
        name=${program##*/}
        arguments "$program"
        for words in "${args[*]}" --help; do
            read -ra call <<<"$words"
            # shellcheck disable=SC2016 # (05-connect writes to stdout what it receives)
            try bash -c 'exec "$@" <<<hello' - "${broken[@]}" "$program" "${call[@]}"
            ((status == 1))
            [[ $(tail -n 1 "$log/err") == "$name: "*stdout*": Broken pipe (EPIPE)" ]]
        done
    done
}

@test "stdout that nobody reads: SIGINT and SIGTERM end a program that waits for it, status 0" {
    local signal pipe
    for signal in INT TERM; do
        rm -f "$log/pipe"
        mkfifo "$log/pipe"
        exec {pipe}<>"$log/pipe"
        # shellcheck disable=SC2016 # "$@" is for the shell inside
        start program bash -c 'exec "$@" >"$0"' "$log/pipe" bin/08-endpoints --clients 400 127.0.0.1:0
        full() { (($(perl -e 'ioctl STDIN, 0x541B, my $n = pack "i", 0; print unpack "i", $n' <&"$pipe") > 60000)); }
        eventually full
        kill -"$signal" "$pid"
        ended "$pid"
        ((status == 0))
        exec {pipe}<&-
    done
}

@test "a non-blocking stdout: nothing is lost" {
    # reader   waits until the pipe is full, or as long as it does not get any fuller; then reads all.
    cat >"$log/reader" <<'END'
alarm 20;
for (my ($n, $before, $same) = (0, 0, 0); $same < 20; select undef, undef, undef, 0.02) {
    ioctl STDIN, 0x541B, $n = pack "i", 0; # FIONREAD
    $same = $n eq $before && unpack("i", $n) > 4096 ? $same + 1 : 0;
    $before = $n;
    last if unpack("i", $n) > 60000;
}
my ($bytes, $last) = (0, "");
while (my $n = sysread STDIN, my $got, 65536) { $bytes += $n; $last = substr $last . $got, -1000 }
print "$bytes bytes\n", $last =~ /([^\n]*)\n?\z/;
END
    start server perl -Itests/lib -MPeer -e 'put(accepted("127.0.0.1:7300"), "x" x 3_000_000)'
    saw server '^listening'
    # shellcheck disable=SC2016 # for the shell inside
    run -0 bash -c 'set -o pipefail; "$@" 2>"$0.err" </dev/null | perl "$0"' "$log/reader" \
        "${nonblocking[@]}" 1 bin/05-connect 127.0.0.1:7300
    [[ ${lines[0]} == "3000000 bytes" ]]
    # shellcheck disable=SC2016 # for the shell inside
    run -0 bash -c 'set -o pipefail; "$@" </dev/null | perl "$0"' "$log/reader" \
        "${nonblocking[@]}" 1 bin/08-endpoints --clients 400 127.0.0.1:0
    [[ ${lines[1]} == "Compare with "* ]]
}

@test "a non-blocking stdin: the program waits for it" {
    local call
    for call in "bin/02-bind 127.0.0.1:0" "bin/03-bind-twice 127.0.0.1:7301" "bin/08-endpoints 127.0.0.1:0"; do
        # shellcheck disable=SC2086 # words
        start program "${nonblocking[@]}" 0 $call
        saw program 'Enter'
        asleep() { [[ $(<"/proc/$pid/stat") == *") S "* ]]; }
        eventually asleep
        echo >"$log/program.in"
        ended "$pid"
        echo "$call: $status" && cat "$log/program"
        ((status == 0))
        run ! grep EAGAIN "$log/program"
    done
}

@test "a link-local address may have the number of its interface" {
    needs ipv6
    local program
    for program in "${with_endpoint[@]}"; do
        [[ $program != bin/05-connect ]] || continue
        refuses '"999999999"' "$program" "[fe80::1%999999999]:6666"
        refuses '"4294967297"' "$program" "[fe80::1%4294967297]:6666"
        refuses '"1x"' "$program" "[fe80::1%1x]:6666"
        refuses '""' "$program" "[fe80::1%]:6666"
    done
    all_refused
    for program in bin/02-bind bin/06-accept-one; do
        try "$program" "[fe80::1%$(</sys/class/net/lo/ifindex)]:6666"
        [[ $(<"$log/err") == "${program#bin/}: bind [fe80::1%lo]:6666: "* ]]
    done
}

@test "make tour-6 is make tour-06; for a lesson that does not exist there is a message" {
    unset MAKEFLAGS MAKELEVEL
    run -0 make -n tour-6
    [[ $output == *"common/play lessons/06-accept-one/README.md"* ]]
    for number in 100 0 x; do
        run -2 make -n "tour-$number"
        [[ $output == *"There is no lesson $number"* ]]
    done
}
