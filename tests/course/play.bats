#!/usr/bin/env bats
# The player of transcripts: it passes what is right, and notices everything that is not.
# shellcheck disable=SC2016,SC2030,SC2031 # transcripts are full of $; each test is a subshell

bats_require_minimum_version 1.5.0

setup() {
    play=$BATS_TEST_DIRNAME/../../common/play
    netns=$BATS_TEST_DIRNAME/../../common/netns
    export PATIENCE=5 WORK=$BATS_TEST_TMPDIR
    cd "$WORK" || exit
}

teardown() {
    [[ -z ${background-} ]] || kill -KILL "$background" 2>/dev/null || true
    [[ -e mark ]] || return 0
    grep -lsFf mark /proc/[0-9]*/cmdline | cut -d / -f 3 | xargs -r kill -KILL || true
}

# page: adds to page.md a transcript, the standard input; that of the first one begins in line 3
page() {
    [[ -e page.md ]] || echo "# A page" >page.md
    { echo '```console' && cat && echo '```'; } >>page.md
}

# is_right [OPTION...]: page.md plays as written
is_right() {
    run "$play" "$@" page.md
    echo "$output"
    ((status == 0))
    [[ ${lines[-1]} == "played "*": all as written" ]]
}

# is_wrong LINE EXPECTED SEEN...: the player says so of page.md, of nothing else, and fails
is_wrong() {
    run "$play" --quiet page.md
    echo "$output"
    ((status == 1))
    while (($# > 0)); do
        [[ $output == "page.md:$1: not as written
  expected  $2
  seen      $3
"* ]]
        output=${output#*$'\n  seen '*$'\n'}
        while [[ $output == "  then "* ]]; do output=${output#*$'\n'}; done
        shift 3
    done
    [[ $output == "played "*" differ"?("s") ]]
}

kinds="console, and what the block needs: ipv6 low-ports netem network strace lab fresh-port"

# without_namespaces: the machine is one that allows none
without_namespaces() {
    mkdir bin
    printf '#!/bin/sh\nexit 1\n' >bin/unshare
    chmod +x bin/unshare
    PATH=$WORK/bin:$PATH
}

namespaces_or_skip() {
    [[ $("$netns" printenv PLAYED_IN) == *"of its own" ]] ||
        skip "this machine allows no network namespace"
}

# a_place WORD...: a copy of the player in here/, a place that lacks these things
a_place() {
    mkdir -p here/common
    cp "$play" "$netns" here/common
    printf '%s\n' "lacking=' $* '" 'place_words=(ipv6 low-ports netem network strace lab)' 'lacks() {' \
        '    echo "$1" >>"$WORK/asked"' '    REPLY="there is no $1 on this day"' \
        '    [[ $lacking == *" $1 "* ]]' '}' >here/common/place.bash
    printf '%s\n' '#!/bin/sh' 'echo "$1" >>"$WORK/asked"' >here/common/lab
    chmod +x here/common/lab
    play=here/common/play
}

# wait_until COMMAND...: at most 5 s
wait_until() {
    local - i
    set +T # what is called is not traced
    for ((i = 0; i < 500; i++)); do
        if "$@"; then return; fi
        sleep 0.01
    done
    echo "in vain: $*"
    return 1
}

# --- what is right --------------------------------------------------------------------------------

@test "a right page passes, and is shown as it is written, with what was really seen" {
    page <<'END'
A$ echo hello
A| hello
B$ bash -c 'read -r x; echo "B has read: $x"; echo "it is pid $$"; exit 3'
B> some text
B| B has read: some text
B| it is pid 4242
B? 3
A$ cat
A^D
END
    is_right
    [[ ${lines[0]} == "A page (page.md)" ]]
    [[ ${lines[1]} == page.md:2 ]]
    diff <(sed -n 3,11p page.md) <(sed -n 4,12p <<<"$output" | sed -E 's/pid [0-9]+$/pid 4242/')
}

@test "a command runs in the project's folder, on a terminal, with no privilege but a folder's" {
    page <<'END'
A$ ls common/play
A| common/play
A$ test -t 0 -a -t 1 -a -t 2
A$ ls -1 /proc/self/fd
A| 0
A| 1
A| 2
A| 3
A$ stty size
A| 50 100
A$ grep -cE '^SigIgn:.*0{7}$|^CapEff:.*0{15}[02]$' /proc/self/status
A| 2
A$ echo "$TERM $NO_COLOR $LC_ALL ${PLAYED_IN-} ${PLAY_INSIDE-}"
A| dumb 1 C.UTF-8
END
    trap '' INT PIPE HUP # ignored here, but not in the terminals
    is_right
}

@test "runs of spaces count as one, all else is taken to the letter; a newline may lack" {
    page <<'END'
A$ printf '  a \t  b  \n\na[b]*c.d?e\\n $x {1} (2)|^$ "q" \303\244 \377\n'
A| a b
A|
A|    a[b]*c.d?e\n   $x {1} (2)|^$ "q" ä ...
END
    sed -i 's/ \.\.\.$/ \xff/' page.md
    page <<'END'
A$ bash -c 'read -r -p "name? " x; printf "hello %s" "$x"'
A> Ada
A| name? hello Ada
END
    is_right
}

@test "Ctrl-C interrupts, and what was printed before it, and not read yet, is not lost" {
    page <<'END'
A$ bash -c 'trap "echo interrupted; exit" INT; echo one; while :; do sleep 0.01; done'
A| one
A^C
A| interrupted
A$ sleep 60
A^C
A? 130
END
    # 80 lines of 1000 characters are more than the pipe holds: the last ones are in the
    # pseudo-terminal when the key comes.
    page <<'END'
A$ bash -c 'trap "" INT; seq -f "%01000.0f" 80 | tee /dev/null'
B$ sleep 0.1
B? 0
A^C
A| ...
END
    is_right
    [[ $(grep -cE '^A\| 0+[0-9]+$' <<<"$output") == 80 ]]
}

@test "three terminals at once, each with what is typed in it" {
    page <<'END'
A$ cat
B$ cat
C$ cat
C> for C
A> for A
B> for B
A| for A
B| for B
C| for C
C^D
A> more
A| more
B^C
B? 130
A^D
END
    is_right
}

@test "a line is waited for before the next command is typed, and the end of the one before it" {
    page <<'END'
A$ cd "$WORK"; sleep 0.1; touch made; echo made; read -r _; sleep 0.05; touch ended
A| made
B$ cd "$WORK"; ls -1
B| made
B| page.md
A>
A$ cd "$WORK"; ls -1
A| ended
A| made
A| page.md
END
    is_right
}

@test "~ stands for any measured number, ... for any lines, which leave no trace" {
    page <<'END'
A$ printf '%s\n' '12 MB in 0.25 s' 'took ~3.1s, ~7%' '~/x ~user'
A| ~2.5 MB in ~1 s
A| took ~2s, ~99.5%
A| ~/x ~user
END
    page <<'END'
A$ seq 9
A| ...
A| 1
A| 2
A| ...
A| 8
A| ...
A$ cat
A| ...
A> typed
A| typed
A^D
B$ true
B| ...
END
    page <<'END'
A$ printf '%s\n' 'port 33001 closed' 'port 33002 open' '33002 33001'
A| ...
A| port 40001 open
A| 40001 40002
END
    is_right
}

@test "a port of the kernel's stands for any, a pid, too; what is typed has the real number" {
    page <<'END'
A$ printf '%s\n' '33001 -> [::1]:33002' 'back: 33002-33001.' '32768 60999 0x9c41 x40001 1.40001'
A| 40001 -> [::1]:40002
A| back: 40002-40001.
A| 32768 60999 0x9c41 x40001 1.40001
B$ echo 33001
B| 40001
END
    page <<<$'A$ echo 33002\nA| 40001' # another block, another number
    page <<'END'
A$ bash -c 'echo "users:((pid=$$,fd=3))"; exec sleep 60'
A| users:((pid=4242,fd=3))
B$ bash -c 'echo "pid $$"; read -r x; test "$x" = "I am $$."'
B| pid 4243
B> I am 4243.
C$ kill 4242
A? 143
D$ bash -c 'echo "pid $$; $$ bash, $((4000000 + $$))"'
D| pid 4250; 4250 bash, 4299
END
    is_right
}

# --- what is wrong --------------------------------------------------------------------------------

@test "a wrong word is noticed, and what came after it is shown" {
    page <<'END'
A$ printf '%s\n' one two three
A| one
A| zwei
A| three
END
    is_wrong 5 "A| zwei" "A| two"
    [[ ${lines[3]} == "  then      A| three" ]]
}

@test "characters that mean something in a pattern mean nothing" {
    page <<<$'A$ echo axb\nA| a.b'
    page <<<$'A$ echo axb\nA| a*'
    page <<<$'A$ echo ab\nA| a b'
    page <<<$'A$ echo a-b\nA| a+b'
    page <<<$'A$ echo a b\nA| a'
    is_wrong \
        4 "A| a.b" "A| axb" \
        8 "A| a*" "A| axb" \
        12 "A| a b" "A| ab" \
        16 "A| a+b" "A| a-b" \
        20 "A| a" "A| a b"
}

@test "one number for two ports is noticed, two numbers for one, and no port of the kernel's" {
    page <<<$'A$ echo 33001 33002\nA| 40001 40001'
    page <<<$'A$ echo 33001 33001\nA| 40001 40002'
    page <<<$'A$ echo 33001\nA| 40001\nB$ echo 33002\nB| 40001'
    page <<<$'A$ echo 33001\nA| 40001\nB$ echo 33001\nB| 40002'
    page <<<$'A$ echo pid 7 pid 8\nA| pid 4242 pid 4242'
    page <<<$'A$ echo port 6666\nA| port 40001'
    page <<<$'A$ echo 33000\nA| 32768'
    page <<<$'A$ echo 33000\nA| 60999'
    page <<<$'A$ echo ~x\nA| ~2'
    is_wrong \
        4 "A| 40001 40001" "A| 33001 33002" \
        8 "A| 40001 40002" "A| 33001 33001" \
        14 "B| 40001" "B| 33002" \
        20 "B| 40002" "B| 33001" \
        24 "A| pid 4242 pid 4242" "A| pid 7 pid 8" \
        28 "A| port 40001" "A| port 6666" \
        32 "A| 32768" "A| 33000" \
        36 "A| 60999" "A| 33000" \
        40 "A| ~2" "A| ~x"
}

@test "a line that does not come is noticed, and one too many, be it between two or at the end" {
    page <<<$'A$ echo one\nA| one\nA| two'
    page <<<$'A$ seq 5\nA| ...\nA| six'
    page <<<$'A$ seq 3\nA| 1\nA| 3'
    page <<<$'A$ seq 3\nA| 1\nA| 2\nB$ true'
    page <<<$'A$ echo one\nA$ echo two\nA| two'
    page <<<$'A$ seq 3\nA| ...\nA| 2\nA? 0'
    is_wrong \
        5 "A| two" "the program has ended with status 0" \
        10 "A| six" "the program has ended with status 0" \
        15 "A| 3" "A| 2" \
        20 "the program has ended with status 0" "A| 3 (a line that the page does not show)" \
        24 "the program has ended with status 0" "A| one (a line that the page does not show)" \
        32 "the program has ended with status 0" "A| 3 (a line that the page does not show)"
}

@test "a wrong exit status is noticed, and one that the page does not tell" {
    page <<<$'A$ exit 3\nA? 2'
    page <<<$'A$ true\nA? 1'
    page <<<$'A$ exit 3'
    page <<<$'A$ exit 3\nA$ true'
    is_wrong \
        4 "the program has ended with status 2" "the program has ended with status 3" \
        8 "the program has ended with status 1" "the program has ended with status 0" \
        11 "the program has ended with status 0" "the program has ended with status 3" \
        14 "the program has ended with status 0" "the program has ended with status 3"
}

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

@test "a difference ends its block, and the next one is played" {
    page <<<$'A$ echo one\nA| two\nB$ touch "$WORK/made"\nB| no'
    page <<<$'A$ echo yes\nA| yes'
    page <<<$'A$ false'
    run "$play" page.md
    echo "$output"
    ((status == 1))
    [[ ! -e made ]]
    [[ $output == *$'\npage.md:8\nA$ echo yes\nA| yes\n'* ]]
    [[ $output == *"page.md:13: not as written"* ]]
    [[ ${lines[-1]} == "played 3 transcripts of 1 page "*": 2 differ" ]]
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

@test "the same in a list, in a quotation, after a tab, and where the kind only begins like ours" {
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

@test "a page that is no plain text is noticed, and nothing of it is played" {
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

@test "a malformed line is noticed before anything of its block is played" {
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

@test "a line for a terminal where nothing runs is noticed" {
    local line number=5 wrong=()
    for line in 'B| x' 'B> x' 'B^C' 'B^D' 'B? 0' 'A> x'; do
        page <<<$'A$ true\nA? 0\n'"$line"
        wrong+=("$number" "$line" "no program runs in terminal ${line:0:1}")
        ((number += 5))
    done
    is_wrong "${wrong[@]}"
}

@test "several pages are played; each has to have a transcript" {
    page <<<$'A$ echo one\nA| one'
    cp page.md first.md
    echo "# The last page" >last.md
    run -1 "$play" first.md page.md last.md
    echo "$output"
    [[ $output == *"The last page (last.md)"* ]]
    [[ $output == *"last.md:1: not as written"* ]]
    [[ ${lines[-1]} == "played 2 transcripts of 3 pages "*": 1 differs" ]]
}

# --- options --------------------------------------------------------------------------------------

@test "--quiet shows only the last line, and what differs" {
    page <<<$'A$ echo hello\nA| hello'
    is_right --quiet
    ((${#lines[@]} == 1))
    page <<<$'A$ echo hello\nA| goodbye'
    run "$play" --quiet page.md
    echo "$output"
    ((status == 1))
    [[ ${lines[0]} == "page.md:8: not as written" ]]
    ((${#lines[@]} == 4))
}

@test "--step waits for Enter before each command, and goes on at the end of input" {
    page <<'END'
A$ cat "$WORK/enter"
A| pressed
A$ echo two
A| two
END
    mkfifo input
    "$play" --step page.md <input >log 2>&1 3>&- 4>&- &
    background=$!
    exec 5>input
    wait_until grep -Fq 'A$ cat' log
    sleep 0.1 # time enough to type the command without us, which then does not find the file
    echo pressed >enter
    echo >&5
    wait_until grep -Fq 'A$ echo two' log
    exec 5>&-
    wait "$background"
    cat log
    diff <(sed -n '3,6p' page.md) <(sed -n '4,7p' log)
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

@test "a bad command line: status 2, what was wrong, and the usage; a full disk: no success" {
    local wrong
    page <<<'A$ true'
    for wrong in "" "--slow page.md" "none.md" "page.md none.md" "."; do
        # shellcheck disable=SC2086 # words
        run -2 "$play" $wrong >out
        [[ ${#lines[@]} == 2 && ${lines[0]} == "play: "* && ${lines[1]} == "usage: common/play "* ]]
    done
    [[ ${lines[0]} == *"'.'" ]]
    PATIENCE=soon run -2 "$play" page.md
    [[ ${lines[0]} == *"'soon'"* ]]
    "$play" --help >help
    "$play" -h | diff help -
    [[ $(<help) == "usage: "* ]]
    run ! bash -c '"$1" page.md >/dev/full' - "$play"
    [[ $("$play" page.md page.md 2>&1 | head -n 1) == "A page (page.md)" ]]
}

# --- where it plays, and what it leaves -----------------------------------------------------------

@test "port 6666 is free for a transcript, also while it is in use outside" {
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

# needing WORD...: the page has one more block, which needs these things
needing() {
    printf '%s\n' "\`\`\`console${1:+ $*}" 'A$ echo played' 'A| played' '```' >>page.md
}

@test "a block that needs what the place lacks is left out, counted, and the end says why" {
    echo "# x" >page.md
    needing strace
    needing
    needing ipv6 strace
    needing strace low-ports
    needing low-ports
    needing low-ports strace
    needing low-ports
    a_place strace ipv6
    run -0 "$play" page.md
    echo "$output"
    [[ $(grep -c '^A| played' <<<"$output") == 3 ]]
    [[ $(grep -c '^(left out: it needs "strace")$' <<<"$output") == 3 ]]
    [[ ${lines[-3]} == "played 3 transcripts of 1 page "*": all as written; 4 left out" ]]
    [[ ${lines[-2]} == '  1 left out for want of "ipv6": there is no ipv6 on this day' ]]
    [[ ${lines[-1]} == '  3 left out for want of "strace": there is no strace on this day' ]]
    [[ $(sort asked | xargs) == "ipv6 low-ports strace" ]] # once for each word

    # With --quiet, and where something differs, it says the same.
    sed -i 's/^A| played/A| player/' page.md
    run -1 "$play" --quiet page.md
    echo "$output"
    [[ ${lines[-3]} == "played 3 transcripts of 1 page "*": 3 differ; 4 left out" ]]
    [[ ${lines[-1]} == '  3 left out for want of "strace": '* ]]
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

@test "FILE.md#N: that transcript alone; of one that there is not the player says so" {
    printf '%s\n' '# x' '```console' 'A$ echo one' 'A| one' '```' '```sh' 'false' '```' '```console' \
        'A$ echo two' 'A| two' '```' >page.md
    cp page.md odd#1
    run -0 "$play" page.md#2 page.md#1 'odd#1'
    echo "$output"
    [[ $(grep '^A|' <<<"$output" | xargs) == "A| two A| one A| one A| two" ]]
    [[ ${lines[-1]} == "played 4 transcripts of 3 pages "*": all as written" ]]
    run -1 "$play" --quiet page.md#3
    [[ $output == "page.md:1: not as written
  expected  a transcript number 3 on this page
  seen      2 transcripts"* ]]
    for file in page.md#0 page.md#x page.md# other.md#1; do
        run -2 "$play" "$file"
        [[ ${lines[0]} == "play: cannot read '${file%#1}'" ]]
    done
}

@test "the lab is up from the first block that needs it to the end of its page, and no longer" {
    echo "# x" >page.md
    a_place
    needing
    "$play" page.md
    [[ ! -e asked ]]
    printf '%s\n' '```console lab' 'D$ echo playing >>"$WORK/asked"' '```' >>page.md
    printf '%s\n' '```console lab' 'D$ echo playing >>"$WORK/asked"' 'D? 1' '```' >>page.md
    cp page.md second.md
    run -1 "$play" page.md second.md
    [[ $(xargs <asked) == "lab up playing playing down up playing playing down" ]]

    # A player that is ended takes it along. (With namespaces the kernel ends the lab.)
    without_namespaces
    rm asked
    printf '%s\n' '# x' '```console lab' 'D$ echo up; sleep 60' 'D| up' 'D| more' '```' >page.md
    "$play" page.md >log 2>&1 3>&- 4>&- &
    background=$!
    wait_until grep -qx 'D| up' log
    run ! grep down asked
    kill "$background"
    wait "$background" || true
    wait_until grep -qx down asked
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
    [[ -n $(ss -Htn state fin-wait-2 sport = :6666) ]]
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

@test "a port behind a dot, as tcpdump writes it, stands for the port that it is" {
    page <<'END'
A$ echo 127.0.0.1:41234 10.0.0.1.41234, 10.0.0.1.80
A| 127.0.0.1:51234 10.0.0.1.51234, 10.0.0.1.80
END
    is_right
    sed -i 's/10.0.0.1.51234,/10.0.0.1.51235,/' page.md
    run -1 "$play" page.md
}
