#!/usr/bin/env bats
# The player of transcripts: odd pages, odd places, and what it leaves when it is ended.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # transcripts are full of $; each test is a subshell
load ../lib/player

# --- what is wrong --------------------------------------------------------------------------------

@test "a program that says nothing is noticed, or that never ends" {
    PATIENCE=0.05
    page <<<$'A$ sleep 60\nA| hello'
    page <<<$'A$ sleep 60'
    page <<<$'A$ sleep 60\nA$ true'
    is_wrong \
        4 "A| hello" "nothing within 0.05 s" \
        7 "the program has ended with status 0" "nothing within 0.05 s" \
        10 "the program has ended with status 0" "nothing within 0.05 s"
}

@test "a program that waits at a prompt is noticed, or that never stops talking" {
    PATIENCE=0.3
    page <<<$'A$ read -p "name? " x\nA| hello'
    page <<<$'A$ yes\nA| ...\nA| no'
    run -1 "$play" --quiet page.md
    echo "$output"
    [[ ${lines[2]} == '  seen      nothing within 0.3 s, but "name? " with no end of line' ]]
    [[ ${lines[3]} == "page.md:9: not as written" ]]
    [[ ${lines[5]} == "  seen      nothing within 0.3 s"* ]]
}

# --- pages ----------------------------------------------------------------------------------------

@test "blocks of other kinds are passed over" {
    cat >page.md <<'END'
# A page
```c
A$ no
```
~~~text
```console
A$ no
```
~~~
````
```console
A$ no
```
````
    ```
    A$ no
  a ``` b
```a```
``` console
A$ echo yes
A| yes
```
END
    is_right
    [[ ${lines[-1]} == "played 1 transcript of 1 page "* ]]
}

@test "a block that is not closed is noticed, and a page without a transcript" {
    printf '%s\n' '# A page' '```console' 'A$ touch "$WORK/made"' >page.md
    is_wrong 2 "a block with an end" "the end of the page"
    [[ ! -e made ]]
    rm page.md
    page <<<'A$ true'
    printf '%s\n' '```c' '```console' >>page.md
    is_wrong 5 "a block with an end" "the end of the page"
    printf '%s\n' '# A page' '```text' 'A$ true' '```' >page.md
    is_wrong 1 "a transcript on this page" "none"
    : >page.md
    is_wrong 1 "a transcript on this page" "none"
}

@test "a transcript that would not be played is noticed: not at the margin, or of an unknown kind" {
    page <<<'A$ true'
    printf '%s\n' '  ```console' '  A$ true' '  ```' '```console lap' 'A$ true' '```' >>page.md
    is_wrong \
        5 "a transcript that begins at the margin" '  ```console' \
        8 "$kinds" "console lap"
}

@test "the same in a list, in a quotation, after a tab, and if the kind only begins like ours" {
    local first
    page <<<'A$ true'
    for first in '- ```console' '  1. ~~~console' '> ``` console' $'\t```console'; do
        printf '%s\n' "$first" '  A$ true' '  ```' >>page.md
    done
    printf '%s\n' '```console-lab' 'A$ true' '```' '```Console' 'A$ true' '```' >>page.md
    is_wrong \
        5 "a transcript that begins at the margin" '- ```console' \
        8 "a transcript that begins at the margin" '  1. ~~~console' \
        11 "a transcript that begins at the margin" '> ``` console' \
        14 "a transcript that begins at the margin" $'\t```console' \
        17 "$kinds" "console-lab" \
        20 "$kinds" "Console"
}

@test "a page that is not plain text is noticed, and not played" {
    local wrong="text, in lines that end in LF: no control characters"
    printf '# A page\r\n```console\r\nA$ touch "$WORK/made"\r\n```\r\n' >page.md
    is_wrong 1 "$wrong" "# A page^M"
    printf '# A page\n```console\nA$ touch "$WORK/made"\nA| a\0b\n```\n' >page.md
    is_wrong 4 "$wrong" "A| a^@b"
    printf '# A page\n```console\nA$ touch "$WORK/made"\n```\n\e[2J\n' >page.md
    is_wrong 5 "$wrong" "^[[2J"
    cp /bin/sh page.md
    run -1 "$play" page.md
    [[ ${lines[1]} == "page.md:1: not as written" && ${lines[3]} == "  seen      ^?ELF"* ]]
    LC_ALL=C run ! grep -aqP '[^\n\x20-\x7e]' <<<"$output"
    [[ ! -e made ]]
}

@test "a transcript with a line too long is not played; what differs is cut to 500 characters" {
    local long
    long=$(printf '%01500d' 0)
    page <<<$'A$ touch "$WORK/made"\nA| '"$long"
    page <<<$'A$ '"printf '%01500d\\n' 0"$'\nA| 0'
    is_wrong \
        4 "a line of at most 1000 characters" "A| ${long:0:497}" \
        8 "A| 0" "A| ${long:0:497}"
    [[ ! -e made ]]
}

@test "a page whose last line has no end is played to its end" {
    printf '# A page\n```console\nA$ echo yes\nA| yes\n```' >page.md
    is_right
    printf '# A page\n```console\nA$ echo yes\nA| yes' >page.md
    is_wrong 2 "a block with an end" "the end of the page"
}

@test "20 of the lessons' pages, spoilt at random: the player comes to its end, and to a verdict" {
    a_place # which lacks nothing
    # Its terminals are none: a command that was spoilt must not be carried out.
    mkdir bin
    printf '#!/bin/sh\necho 99999999\necho "$6"\n' >bin/script
    printf '#!/bin/sh\n' >bin/ss # so no port matters, either
    chmod +x bin/script bin/ss
    perl -e '
        print "# seed ", srand, "\n";
        my @pieces = ("\0", "\r", "\t", "\n", "```", "~~~", "```console\n", "A", "\$ ", "| ", "? ",
            "^C", "> ", "...", "~", "[", "*", "\\", "\x27", "\"", "%s", "\xff", "40001",
            "9" x 30, "x" x 5000);
        my @pages = glob "$ARGV[0]/../../lessons/*/README.md";
        for my $n (1 .. 20) {
            open my $in, "<", $pages[rand @pages] or die $!;
            my $text = join "", <$in>;
            for (1 .. 1 + rand 12) {
                substr $text, rand length $text, rand 2 < 1 ? rand 40 : 0, $pieces[rand @pieces];
            }
            open my $out, ">", "page-$n.md" or die $!;
            print $out $text;
        }' "$BATS_TEST_DIRNAME"
    # shellcheck disable=SC2031 # PATH is changed for one command
    PATH=$WORK/bin:$PATH PATIENCE=0.2 timeout 110 "$play" --quiet page-*.md >out 2>err ||
        status=$?
    head -n 5 err
    [[ $status == 1 && ! -s err ]]
    for n in {1..20}; do
        grep -q "^page-$n.md:[0-9]*: not as written$" out
    done
    [[ $(tail -n 1 out) =~ ^played\ [0-9]+\ transcripts\ of\ 20\ pages\ .*\ [0-9]+\ differ(\;.*)?$ ]]
}

@test "a malformed line is noticed before its block is played" {
    local line number=4 wrong=()
    for line in 'hello' '' 'A' 'A:x' 'A|x' 'A>x' 'A$' 'A$ ' 'A$x' 'a$ true' 'AB$ true' ' A$ true' \
        'A?' 'A? x' 'A^X' 'A^C x'; do
        page <<<$'A$ touch "$WORK/made"\n'"$line"
        wrong+=("$number" 'a line that begins with A$ A| A> A? A^C or A^D' "$line")
        ((number += 4))
    done
    is_wrong "${wrong[@]}"
    [[ ! -e made ]]
}

# --- options --------------------------------------------------------------------------------------

@test "--step waits for Enter before all that is typed, and goes on at the end of input" {
    page <<'END'
A$ cat "$WORK/enter"
A| pressed
A$ read -r name; cat "$WORK/$name" - "$WORK/key"
A> line
A| typed
A^D
A| pressed, too
END
    mkfifo input
    "$play" --step page.md <input >log 2>&1 3>&- 4>&- &
    background=$!
    exec 5>input
    local prompt file text
    # Each file is there only after the prompt: a player that does not wait does not find it.
    while IFS='|' read -r prompt file text; do
        wait_until grep -Fq "$prompt" log
        sleep 0.1
        [[ -z $file ]] || echo "$text" >"$file"
        echo >&5
    done <<'END'
A$ cat|enter|pressed
A$ read||
A> line|line|typed
A^D|key|pressed, too
END
    exec 5>&-
    wait "$background"
    cat log
    diff <(sed -n '3,9p' page.md) <(sed -n '4,10p' log)
}

@test "on a terminal there are colours, unless NO_COLOR is set" {
    page <<<$'A$ echo hello\nA| hello'
    unset NO_COLOR
    run -0 script -qec "'$play' page.md" /dev/null
    [[ $output == *$'\e['*'A| hello'* ]]
    NO_COLOR=1 run -0 script -qec "'$play' page.md" /dev/null
    [[ $output == *'A| hello'* && $output != *$'\e['* ]]
    is_right
    [[ $output != *$'\e['* ]]
}

@test "on a terminal it pauses after each page but the last" {
    page <<<$'A$ echo hello\nA| hello'
    mv page.md inner.md
    page <<'END'
A$ cd "$WORK"; "$OLDPWD/common/play" inner.md inner.md
A| ...
A| A| hello
A>
A| ...
A| Enter for the next page(inner.md)
A| ...
A| A| hello
A| ...
END
    sed -i '1d' inner.md
    is_right
    run -0 "$play" inner.md inner.md
    [[ $output != *Enter* ]]
}

# --- where it plays, and what it leaves -----------------------------------------------------------

@test "port 6666 is free for a transcript, even while it is in use outside" {
    namespaces_or_skip
    cat >listen.pl <<'END'
use IO::Socket;
$server = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:6666") or die "in use\n";
$| = 1;
print "listening\n";
<STDIN>;
END
    page <<'END'
A$ perl "$WORK/listen.pl"
A| listening
B$ perl "$WORK/listen.pl"
B| in use
B? 98
A^D
END
    # "Outside" is a namespace too: what is in use on this machine is none of our business.
    export play
    run -0 "$netns" bash -c '
        perl listen.pl < <(sleep 60) >log &
        until grep -q . log; do sleep 0.01; done
        "$play" page.md'
    echo "$output"
    [[ ${lines[-1]} == "played 1 transcript of 1 page in a network namespace of its own: "* ]]
}

@test "where namespaces are not allowed, it plays on the machine, and says so" {
    without_namespaces
    page <<'END'
A$ readlink /proc/self/ns/net >"$WORK/net"; grep -c '^CapEff:.*0[02]$' /proc/self/status
A| 1
END
    is_right
    [[ ${lines[-1]} == *" on this machine itself "* ]]
    [[ $(<net) == "$(readlink /proc/self/ns/net)" ]]
}

# leaves_nothing SIGNAL [IGNORED]: a player that gets it while it plays, or comes to a difference if
# there is none; IGNORED are the signals that its program ignores
leaves_nothing() {
    local mark=$RANDOM$RANDOM # in the command lines of the player and of all that it starts
    local ignored=${2-INT HUP}
    PATIENCE=60
    mkdir -p tmp
    rm -f page.md
    page <<END
A\$ bash -c 'trap "" $ignored; echo up; sleep 3600.$mark & sleep 3601.$mark'
A| up
B\$ touch "\$WORK/up.$mark"; ${1:+sleep 3602.$mark; }echo yes; sleep 3603.$mark
B| no
END
    mv page.md "page.$mark.md"
    TMPDIR=$WORK/tmp env --default-signal=INT "$play" "page.$mark.md" >log 2>&1 3>&- 4>&- &
    background=$!
    echo "$mark" >mark
    wait_until test -e "up.$mark"
    if [[ -n $1 ]]; then
        run ! nothing_is_left
        kill "-$1" "$background"
    fi
    wait "$background" || true
    wait_until nothing_is_left
    [[ -z $(ls -A tmp) ]]
}

nothing_is_left() {
    ! grep -qsFf mark /proc/[0-9]*/cmdline
}

@test "no process and no file is left after a difference, SIGTERM, SIGINT and SIGKILL" {
    for signal in "" TERM INT; do
        leaves_nothing "$signal"
    done
    # What ignores SIGHUP, too, dies with its namespace of processes; where none is allowed, it lives.
    if (($("$netns" sh -c 'echo $$') <= 2)); then
        leaves_nothing KILL
    else
        leaves_nothing KILL INT
    fi
}

@test "nor without namespaces" {
    without_namespaces
    leaves_nothing ""
    leaves_nothing TERM
    leaves_nothing KILL INT # what ignores SIGHUP, too, would live on
}

@test "netns: the exit status, the input and the signals of the command, nested too" {
    run -7 "$netns" bash -c 'read -r x; exit "$x"' <<<7
    run -7 "$netns" "$netns" bash -c 'read -r x; exit "$x"' <<<7
    run -0 "$netns" "$netns" grep SigIgn /proc/self/status
    # signals 2 to 28: nohup ignores 1, for all that it runs, and make leaves 32 and 33 ignored
    [[ $output =~ ^SigIgn:.*000000[01]$ ]]
    mkdir bin # sh may be any shell, with an env of its own (busybox)
    printf '#!/bin/bash\nexit 3\n' >bin/sh
    chmod +x bin/sh
    PATH=$WORK/bin:$PATH run -7 "$netns" bash -c 'exit 7'
    run -127 "$netns" "$WORK/no-such-command"
    run -2 "$netns"
    [[ ${lines[1]} == "usage: "* ]]
}

@test "netns: a network and processes of its own, and loopback is up" {
    namespaces_or_skip
    run -0 "$netns" bash -c 'readlink /proc/self/ns/net; echo $$; ip -br address'
    echo "$output"
    [[ ${lines[0]} != "$(readlink /proc/self/ns/net)" ]]
    if unshare --pid --fork --mount-proc true; then
        ((lines[1] <= 2))
    fi
    [[ ${lines[2]} == lo*127.0.0.1/8* && ${#lines[@]} == 3 ]]
}

@test "a page of which every block is left out passes; a block that is malformed does not" {
    echo "# x" >page.md
    needing strace
    a_place strace
    run -0 "$play" page.md
    [[ ${lines[-2]} == "played 0 transcripts of 1 page "*": all as written; 1 left out" ]]
    printf '%s\n' '```console strace' 'A| ?' 'A? ?' '```' >>page.md
    run -1 "$play" --quiet page.md
    [[ ${lines[0]} == "page.md:8: not as written" && ${lines[2]} == "  seen      A? ?" ]]
    needing strace stracing
    run -1 "$play" --quiet page.md
    [[ $output == *"page.md:10: not as written
  expected  $kinds
  seen      console strace stracing"* ]]
}

@test "the words of a place: it has what can be tried here, and lacks what cannot" {
    local project=$BATS_TEST_DIRNAME/../.. word
    # shellcheck source=common/place.bash
    source "$project/common/place.bash"
    for word in "${place_words[@]}"; do
        REPLY=""
        if lacks "$word"; then
            echo "$word: $REPLY"
            [[ ${#REPLY} -gt 40 && $REPLY != *$'\n'* ]]
            continue
        fi
        case $word in
            ipv6) "$project/bin/02-bind" '[::1]:0' </dev/null ;;
            low-ports) [[ $("$project/bin/02-bind" 127.0.0.1:0 </dev/null) == *" below 1024 "* ]] ;;
            netem) [[ $("$project/common/lab" run A bash -c 'tc qdisc add dev eth1 root netem loss 1% &&
                tc qdisc show dev eth1') == *netem* ]] ;;
            network) "$netns" true && namespaces_or_skip ;;
            strace) [[ $(strace -c true 2>&1) == *execve* ]] ;;
            lab) [[ $("$project/common/lab" run A ip address) == *192.168.0.101* ]] ;;
        esac
    done
    lacks no-such-word
    [[ $REPLY == *"'no-such-word'"* ]]
}

# listens [leaves]: a program that listens at port 6666 until its input ends. Or it does not listen,
# and leaves one side of a connection there that has ended, until the other side resets it.
listens() {
    exec perl -MIO::Socket::INET -e '
        $server = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:6666", ReuseAddr => 1)
            or die "in use\n";
        if (@ARGV) {
            $client = IO::Socket::INET->new("127.0.0.1:6666") or die "no connection\n";
            close $server->accept();
            close $server;
        }
        $| = 1;
        print "ready\n";
        <STDIN>;
        setsockopt $client, SOL_SOCKET, SO_LINGER, pack "ii", 1, 0 if $client;' "$@"
}

@test "without namespaces, port 6666 in use: it says so first, and who has it, and plays nothing" {
    namespaces_or_skip # here the port is free, and nobody is disturbed
    without_namespaces
    page <<<$'A$ touch "$WORK/made"; echo 6666\nA| 6666'
    is_right
    rm made
    mkfifo input
    listens <input >listening 2>&1 3>&- 4>&- &
    background=$!
    exec 5>input
    wait_until grep -qx ready listening
    run -1 "$play" page.md
    echo "$output"
    [[ ${lines[0]} == "play: port 6666 is in use on this machine, by pid $background \"perl\"" ]]
    [[ ${#lines[@]} == 2 && ${lines[1]} == "  try: "* && ! -e made ]]

    # That is nothing to pages that name no such port, nor where we have a network to ourselves.
    mv page.md other.md
    page <<<$'A$ echo 7777\nA| 7777'
    is_right
    rm bin/unshare
    run -0 "$play" other.md
    exec 5>&-
    wait "$background"
}

@test "without namespaces, a block that needs a fresh port waits for what others have left, once" {
    namespaces_or_skip
    without_namespaces
    echo "# x" >page.md
    needing
    needing fresh-port
    needing fresh-port strace
    mkfifo input
    listens leaves <input >left 2>&1 3>&- 4>&- &
    exec 5>input
    wait_until grep -qx ready left
    left_over() { [[ -n $(ss -Htn state fin-wait-2 sport = :6666) ]]; }
    wait_until left_over
    "$play" page.md >log 2>&1 3>&- 4>&- 5>&- &
    background=$!
    wait_until grep -q '^Port 6666 ' log
    exec 5>&-
    wait "$background"
    cat log
    [[ $(grep -cE '^Port 6666 is in TIME_WAIT|^A\| played' log) == 4 ]]
    # It waits before the first block that needs it, and not earlier.
    [[ $(<log) == *"A| played"*$'\nPort 6666 is'*"A| played"*"A| played"* ]]
    is_right
    [[ $output != *TIME_WAIT* ]]
}

@test "root in a folder that only its owner, somebody else, may enter: a program there runs" {
    ((UID == 0)) || skip "only root can enter it"
    mkdir -p private/common
    cp "$play" "$netns" private/common
    cp "$BATS_TEST_DIRNAME/../../common/place.bash" private/common
    printf '#!/bin/sh\necho hello >made && cat made\n' >private/hello
    chmod 700 private private/hello
    page <<<$'A$ ./hello\nA| hello\nA$ rm made'
    chown -R 65534 private || skip "this root may not give a folder to somebody else"
    run -0 private/common/play page.md
}
