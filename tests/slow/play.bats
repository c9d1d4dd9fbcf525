#!/usr/bin/env bats
# The player of transcripts: it passes what is right, and notices what is not.
# Odd pages and odd places: play-odd.bats.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # transcripts are full of $; each test is a subshell
load ../lib/player

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

@test "a wrong exit status is noticed, and one that the page does not show" {
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

@test "the lab is up for the blocks of a page that need it and follow one another, and no longer" {
    echo "# x" >page.md
    a_place
    needing
    "$play" page.md
    [[ ! -e asked ]]
    {
        printf '%s\n' '```console lab' 'D$ echo playing >>"$WORK/asked"' '```'
        printf '%s\n' '```console lab' 'D$ echo playing >>"$WORK/asked"' 'D? 1' '```'
        printf '%s\n' '```console' 'D$ echo outside >>"$WORK/asked"' '```'
        printf '%s\n' '```console lab' 'D$ echo playing >>"$WORK/asked"' '```'
    } >>page.md
    cp page.md second.md
    run -1 "$play" page.md second.md
    local each="up playing playing down outside up playing down"
    [[ $(xargs <asked) == "lab $each $each" ]]

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

@test "a port behind a dot, as tcpdump writes it, stands for the port that it is" {
    page <<'END'
A$ echo 127.0.0.1:41234 10.0.0.1.41234, 10.0.0.1.80
A| 127.0.0.1:51234 10.0.0.1.51234, 10.0.0.1.80
END
    is_right
    sed -i 's/10.0.0.1.51234,/10.0.0.1.51235,/' page.md
    run -1 "$play" page.md
}
