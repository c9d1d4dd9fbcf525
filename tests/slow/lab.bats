#!/usr/bin/env bats
# common/lab: PCs that are there when they are wanted, and leave nothing behind.
# What they show: tests/course/lab.bats.
# shellcheck disable=SC2016 # $ is for shells on the PCs

load ../lib/helpers

setup_file() {
    ! lacks lab || export no_lab=${REPLY//$'\n'/;}
    common/lab up || : # meanwhile the one that lacks() has tried, and that ends by itself, is gone
    common/lab down
    before=$(the_machine)
    export before
    if ((UID == 0)); then # a copy of the course that another user may read
        export public=$BATS_FILE_TMPDIR
        cp --recursive common bin "$public"
        chmod --recursive a+rX "$public"
        chmod a+x "$BATS_RUN_TMPDIR" "${public%/*}"
    fi
}

setup() {
    [[ -z ${no_lab-} ]] || skip "needs lab: $no_lab"
    lab=$BATS_TEST_DIRNAME/../../common/lab
}

# (What a test that failed has left is not to hold up the next one.)
teardown() {
    end_started
    ! grep -qsz "^lab-of-" /proc/[1-9]*/cmdline || all_down
}
all_down() {
    common/lab down >/dev/null 2>&1
    ((UID != 0)) || an_ordinary_user common/lab down >/dev/null 2>&1 || :
}

# the_machine   what must be the same before and after: its interfaces, addresses, routes, names of
# network namespaces, the networks in which somebody is, and the processes of labs
the_machine() {
    local networks
    ip -oneline address
    ip route
    ip netns
    networks=$(readlink /proc/[0-9]*/ns/net 2>/dev/null | sort -u)
    echo "$networks"
    grep -lsz -e lab-of- -e common/lab /proc/[1-9]*/cmdline
    mount | grep -E ' on /(etc|run|tmp)( |/machine|/netns)' || :
}

nothing_is_left() {
    eventually unchanged || {
        diff <(printf '%s\n' "$before") <(the_machine)
        return 1
    }
}
unchanged() { [[ $(the_machine) == "$before" ]]; }

# an_ordinary_user COMMAND...   when we are root, as somebody else, in a copy of the course
an_ordinary_user() {
    if ((UID == 0)); then
        env --chdir="$public" setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all "$@"
    else
        "$@"
    fi
}

# needs_an_ordinary_user   skips the test where root can't be another user who may make a lab
needs_an_ordinary_user() {
    ((UID == 0)) || return 0
    an_ordinary_user true 2>/dev/null || skip "for the machine's root, who can be somebody else"
    an_ordinary_user test -x bin/07-accept-many || skip "others may run nothing in $public"
    an_ordinary_user unshare --user true 2>/dev/null || skip "users may make no namespaces here"
}

works_as() { # COMMAND...: how to become somebody
    run -0 "$@" common/lab run A ip -4 -oneline -color=never address show dev eth0
    [[ $output == *" 192.168.0.101/24 "* ]]
    run -0 "$@" common/lab run B ip -4 -oneline -color=never address show dev eth0
    [[ $output == *" 192.168.0.102/24 "* ]]
    run -0 "$@" common/lab run C ip -4 -oneline -color=never address show dev eth0
    [[ $output == *" 192.168.0.103/24 "* ]]
    nothing_is_left
}

@test "an ordinary user has three PCs" {
    needs_an_ordinary_user
    works_as an_ordinary_user
}

@test "root has three PCs" {
    ((UID == 0)) || skip "for root"
    works_as env
}

@test "two terminals that come at the same moment get one lab" {
    for round in 1 2; do
        rm -f "$log"/lab-of-*
        pids=()
        for n in 1 2 3 4; do
            common/lab run A readlink /proc/1/ns/net >"$log/lab-of-$n" 2>&1 3>&- &
            pids+=($!)
        done
        # Each either shared it or came when all others had gone; in no case did one fail.
        for p in "${pids[@]}"; do wait "$p" || { cat "$log"/lab-of-* && return 1; }; done
        (($(grep -c "^net:" "$log"/lab-of-* | grep -c ":1$") == 4))
    done
    common/lab up
    pids=()
    for n in 1 2 3 4; do
        common/lab run A readlink /proc/1/ns/net >"$log/lab-of-$n" 2>&1 3>&- &
        pids+=($!)
    done
    for p in "${pids[@]}"; do wait "$p" || { cat "$log"/lab-of-* && return 1; }; done
    (($(sort -u "$log"/lab-of-? | wc -l) == 1))
    common/lab down
    rm -f "$log"/lab-of-*
    nothing_is_left
}

@test "the last one out takes the lab down, with all that still runs in it" {
    start first common/lab run A sh -c 'sleep 1000 & echo here; read -r line'
    saw first here
    start second common/lab run B sh -c 'echo here; read -r line'
    saw second here
    echo >"$log/first.in"
    ended "$(pid_of first)"
    run -0 common/lab status
    [[ $output == *"A 192.168.0.101: sleep"*"B 192.168.0.102: sh"* ]]
    echo >"$log/second.in"
    nothing_is_left
    run -1 common/lab status
    [[ $output == "lab: down" ]]
}

pid_of() { # NAME: of what start has started under it, in order
    case $1 in first) echo "${started[0]}" ;; *) echo "${started[-1]}" ;; esac
}

# parts   the processes of the lab: those who wait outside, the keeper, the programs in it
parts() {
    local keeper
    keeper=$(grep -lszx "lab-of[-][0-9]*:.*" /proc/[1-9]*/cmdline)
    keeper=${keeper//[^0-9]/}
    case $1 in
        keeper) echo "$keeper" ;;
        maker) sed -n 's/^PPid:\t//p' "/proc/$keeper/status" ;;
        program) grep -lszx "sleep.1000" /proc/[1-9]*/comm ;;
    esac
}

@test "killed, whatever part of it, the lab leaves nothing" {
    for part in terminal keeper maker down; do
        start "$part" common/lab run A bash -c 'sleep 1000 & echo here; read -r line'
        saw "$part" here
        case $part in
            terminal) kill -KILL "$pid" ;;
            down) common/lab down ;;
            *) kill -KILL "$(parts "$part")" ;;
        esac
        eventually unchanged || { echo "killed: $part" && nothing_is_left; }
        ended "$pid"
        ((status != 0))
    done
}

@test "a terminal that is killed takes its command along, and the others stay" {
    common/lab up
    start first common/lab run A sleep 1000
    first=$pid
    start second common/lab run B sleep 2000
    eventually both_sleep
    kill -KILL "$first"
    eventually only_b_sleeps
    common/lab down
    nothing_is_left
}

both_sleep() { [[ $(common/lab status) == *"A 192.168.0.101: sleep"*"B 192.168.0.102: sleep"* ]]; }
only_b_sleeps() { [[ $(common/lab status) == *"A 192.168.0.101: "$'\n'*"B 192.168.0.102: sleep"* ]]; }

@test "up keeps the lab, with all that was done to it, until down" {
    run -0 common/lab up
    [[ $output == "lab: up"* ]]
    common/lab run B ip address add 192.168.0.222/24 dev eth0
    run -0 common/lab run A bin/05-connect 192.168.0.222:7 </dev/null || true
    run -0 common/lab run B ip -oneline address
    [[ $output == *192.168.0.222* ]]
    run -0 common/lab up
    run -0 common/lab down
    unchanged # at once
    run -0 common/lab down
    run -0 common/lab run B ip -oneline address
    [[ $output != *192.168.0.222* ]]
}

@test "up, just when the last terminal has gone and the lab looks whether there is another one: it stays" {
    local keeper lock pipe
    start terminal common/lab run A bash -c 'echo here; read -r'
    saw terminal '^here'
    keeper=$(grep -lFszx "lab-of-$UID:$PWD" /proc/[0-9]*/cmdline | sed 's/cmdline/status/' |
        xargs grep -lsE '^NSpid:.*\s1$' | cut -d / -f 3) # (a child of it looks like it for a moment)
    exec {lock}<common/lab {pipe}>"/proc/$keeper/fd/0"
    flock "$lock"
    echo >"$log/terminal.in"
    ended "$pid"
    exec {pipe}>&-
    waits_for_the_lock() { grep -qsx flock /proc/[0-9]*/comm; }
    eventually waits_for_the_lock
    exec {pipe}>"/proc/$keeper/fd/0" # what up does now
    echo stay >&"$pipe"
    exec {pipe}>&- {lock}<&-
    run -0 common/lab status
    [[ $output == "lab: up"* && -d /proc/$keeper ]]
    common/lab down
}

@test "a player that is killed in the middle of a lab's transcript leaves nothing" {
    printf '%s\n' '# x' '```console lab' 'A$ bin/06-accept-one' 'A| ...' 'A| never' '```' >"$log/x.md"
    start play env PATIENCE=60 common/play "$log/x.md"
    saw play "^A. listen:"
    kill -KILL "$pid"
    ended "$pid"
    nothing_is_left
}

@test "two students on one machine do not meet" {
    ((UID == 0)) || skip "for root, who can be two of them"
    needs_an_ordinary_user
    common/lab up
    start one common/lab run A bin/07-accept-many 192.168.0.101:6666
    saw one "^listen"
    start two an_ordinary_user common/lab run A bin/07-accept-many 192.168.0.101:6666
    saw two "^listen"
    run -0 an_ordinary_user common/lab run B bin/05-connect A:6666 </dev/null
    saw two "the client is"
    run -1 grep "the client is" "$log/one"
    an_ordinary_user common/lab down
    run -0 common/lab status
    [[ $output == "lab: up"*07-accept-many* ]]
    run -1 env SUDO_UID=1001 common/lab status
    [[ $output == "lab: down" ]]
    common/lab down
    nothing_is_left
}

# (As root with one copy, as a user with another one, "do not meet" would be seen for two reasons.)
@test "two clones of one user do not meet" {
    mkdir "$log/clone"
    cp --recursive common bin "$log/clone"
    common/lab up
    run -1 "$log/clone/common/lab" status
    [[ $output == "lab: down" ]]
    "$log/clone/common/lab" up
    ours=$(common/lab run A readlink /proc/self/ns/net)
    theirs=$("$log/clone/common/lab" run A readlink /proc/self/ns/net)
    [[ $ours == net:* && $theirs == net:* && $ours != "$theirs" ]]
    "$log/clone/common/lab" down
    run -0 common/lab status
    common/lab down
    nothing_is_left
}

@test "a lab that is up in a test is not seen from outside, and not ended" {
    start nested common/netns sh -c 'common/lab up && read -r line; common/lab status'
    saw nested "^lab: up, until"
    run -1 common/lab status
    [[ $output == "lab: down" ]]
    run -0 common/lab down
    echo >"$log/nested.in"
    saw nested "^  A 192.168.0.101: "
    ended "$pid"
    nothing_is_left
}

@test "the lab makes no file outside itself" {
    # (With SANITIZE=1 each program makes the folder of its findings.)
    run -0 env -u ASAN_OPTIONS -u UBSAN_OPTIONS unshare --user --map-root-user --mount bash -ec '
        mount --no-mtab --rbind . /mnt && cd /mnt # (where we are may be below one of these)
        for folder in /run /tmp /dev/shm /var/tmp; do mount --no-mtab -t tmpfs tmpfs "$folder"; done
        HOME=/tmp common/lab up && HOME=/tmp common/lab run A true && common/lab down
        find /run /tmp /dev/shm /var/tmp -mindepth 1'
    [[ ${#lines[@]} == 2 && ${lines[1]} == "lab: down" ]] || { echo "$output" && return 1; }
}

# On a terminal of its own, and what there is to see and to do when the lab has ended.
on_a_terminal() { # NAME COMMAND...
    start "$1" env TERM=dumb HOME="$log" SHELL="$BASH" PS1="outside> " script --quiet --flush --return \
        --command "stty cols 200; $2; echo status \$?; stty --all | grep -ow '.\?echo\|.\?icanon'" /dev/null
}

# after_the_end NAME   what NAME showed since the lab ended, and the settings of its terminal
after_the_end() {
    saw "$1" "^status " && saw "$1" echo && saw "$1" icanon && ended "$pid"
    tr -d '\r' <"$log/$1" | sed -n '/^lab: the lab has ended/,$p'
}

usable="status 137
icanon
echo"

@test "down tells the shells of other terminals, and leaves these usable" {
    common/lab up
    on_a_terminal shell "common/lab shell A"
    saw shell "^A 192.168.0.101 "
    common/lab down
    run -0 after_the_end shell
    [[ $output == "lab: the lab has ended, and this shell on PC A with it"$'\n'"$usable" ]]
    run -1 grep -a -e Killed -e nsenter "$log/shell"
}

@test "down tells the programs of other terminals, and leaves these usable" {
    common/lab up
    common/lab run A bin/06-accept-one 192.168.0.101:6666 >"$log/server" 2>&1 3>&- 4>&- &
    saw server "^listen"
    on_a_terminal shell "common/lab shell B"
    saw shell "^B 192.168.0.102 "
    echo "stty -echo -icanon; bin/05-connect A:6666" >"$log/shell.in"
    on_a_terminal program "common/lab run C sh -c 'stty -echo -icanon; echo here; exec cat'"
    saw program here
    saw shell "^connect: "
    common/lab down
    run -0 after_the_end program
    [[ $output == "lab: the lab has ended, and sh on PC C with it"$'\n'"$usable" ]]
    run -0 after_the_end shell
    [[ $output == "lab: the lab has ended, and this shell on PC B with it"$'\n'"$usable" ]]
    run -1 grep -a -e Killed -e nsenter "$log/shell" "$log/program"
}

@test "a program in the background says that the lab has ended, and leaves the terminal alone" {
    common/lab up
    on_a_terminal shell "bash --norc -i"
    echo "common/lab run A sleep 1000 &" >"$log/shell.in"
    eventually a_sleeps
    echo "stty noflsh; common/lab down; wait; stty --all | grep -o '.noflsh'" >"$log/shell.in"
    saw shell "^lab: the lab has ended, and sleep on PC A with it"
    saw shell "^.noflsh"
    run -0 grep "^ noflsh" "$log/shell"
}

a_sleeps() { [[ $(common/lab status) == *"A 192.168.0.101: sleep"* ]]; }

@test "a command that a signal has ended is reported" {
    run -139 common/lab run A sh -c 'kill -SEGV $$'
    [[ $output == "lab: sh on PC A was ended by SIGSEGV" ]]
    run -137 common/lab run A sh -c 'kill -KILL $$'
    [[ $output == "lab: sh on PC A was ended by SIGKILL" ]]
    run -143 common/lab run A sh -c 'kill -TERM $$'
    [[ -z $output ]]
}

@test "an ordinary user may look at the wire as well" {
    command -v tcpdump >/dev/null || skip "tcpdump is missing here"
    needs_an_ordinary_user
    for option in "-Z root" ""; do
        start capture an_ordinary_user common/lab run A sh -c "exec tcpdump $option -tnl -i eth0 tcp"
        saw capture "^listening on"
        run -1 an_ordinary_user common/lab run B bin/05-connect 192.168.0.101:6666
        saw capture "Flags .R"
        an_ordinary_user common/lab down
        nothing_is_left
    done
}

@test "up --tmux opens A and B side by side; without tmux it says so" {
    only_these bash
    run -1 env PATH="$log/bin" common/lab up --tmux
    [[ $output == *"tmux is missing here"*"apt-get install tmux"* ]]
    command -v tmux >/dev/null || skip "tmux is missing here"
    start tmux env -u TMUX TERM=xterm TMUX_TMPDIR="$log" script --quiet --command \
        "stty cols 120 rows 30; common/lab up --tmux" /dev/null
    eventually panes_show
    TMUX_TMPDIR=$log tmux kill-server
    nothing_is_left
}

panes_show() {
    [[ $(TMUX_TMPDIR=$log tmux list-panes 2>/dev/null | wc -l) == 2 ]] &&
        TMUX_TMPDIR=$log tmux capture-pane -p -t 0 | grep -q "^A 192.168.0.101 " &&
        TMUX_TMPDIR=$log tmux capture-pane -p -t 1 | grep -q "^B 192.168.0.102 "
}

only_these() { # COMMAND...: makes $log/bin, where there is nothing else
    mkdir "$log/bin"
    local command
    for command; do
        ln -s "$(command -v "$command")" "$log/bin"
    done
}

@test "without ip the lab says which package it needs" {
    only_these bash grep flock
    run -1 env PATH="$log/bin" common/lab run A true
    [[ $output == *"'ip' is missing"*"apt-get install iproute2"* ]]
    nothing_is_left
}

@test "where nobody may make namespaces the lab says so, with status 1" {
    # A user that has no number outside may make none; root without its privileges neither.
    run -1 unshare --user common/lab up
    [[ $output == "lab: "*"unshare: "*"Operation not permitted"*"users may not make namespaces here"*"sudo common/lab"* ]]
    run -1 unshare --user --map-root-user setpriv --bounding-set=-all common/lab up
    [[ $output == "lab: "*"unshare: "*"Operation not permitted"*"root may not make namespaces here"* ]]
    nothing_is_left
}

@test "where the limit of namespaces is 0 the lab says which one" {
    for limit in max_net_namespaces max_mnt_namespaces max_pid_namespaces; do
        run -1 unshare --user --map-root-user --keep-caps bash -c '
            echo 0 >"/proc/sys/user/$0" && exec common/lab up' "$limit"
        echo "$output"
        [[ $output == *"unshare: "*"No space left"*"the limit of namespaces is 0 here: user.$limit"* ]]
        [[ $output == *"try: sudo sysctl user.$limit=10000"* && $output != *"may not"* ]]
    done
    run -1 unshare --user --map-root-user --keep-caps bash -c '
        echo 1 >/proc/sys/user/max_net_namespaces && exec unshare --net common/lab up'
    [[ $output == *"as many namespaces as this system allows are in use"* && $output != *"may not"* ]]

    ((UID == 0)) || skip "the rest is for root, who can be another user"
    start other unshare --user sleep 1000
    eventually own_users "$pid"
    echo 0 0 65536 >"/proc/$pid/uid_map" || skip "the rest is for the machine's root"
    echo 0 0 65536 >"/proc/$pid/gid_map"
    run -1 nsenter --target "$pid" --user bash -c '
        echo 0 >/proc/sys/user/max_user_namespaces && cd "$0" &&
        exec setpriv --reuid 65534 --regid 65534 --clear-groups common/lab up' "$public"
    [[ $output == *"the limit of namespaces is 0 here: user.max_user_namespaces"* ]]
    nothing_is_left
}

own_users() { [[ ! /proc/$1/ns/user -ef /proc/self/ns/user ]]; }

@test "where the kernel has no module of the lab's devices, the lab says so" {
    mkdir "$log/bin"
    for answer in "Error: Unknown device type." "RTNETLINK answers: Operation not supported"; do
        printf '#!/bin/sh\necho "%s" >&2\necho "Command failed -:2" >&2\nexit 1\n' "$answer" >"$log/bin/ip"
        chmod +x "$log/bin/ip"
        run -1 env PATH="$log/bin:$PATH" common/lab up
        [[ $output == *"$answer"*"modules bridge and veth"*"modprobe --all bridge veth"* ]]
        [[ $output != *"may not"* && $output != *namespaces* ]]
    done
    nothing_is_left
}

@test "of a failure that it does not know, the lab gives no reason" {
    mkdir "$log/bin"
    printf '#!/bin/sh\necho "Error: ip has the flu." >&2; exit 1\n' >"$log/bin/ip"
    chmod +x "$log/bin/ip"
    run -1 env PATH="$log/bin:$PATH" common/lab up
    [[ ${#lines[@]} == 2 && ${lines[1]} == "  Error: ip has the flu." ]]
    nothing_is_left
}

@test "the lab comes up where there is no IPv6" {
    # As ip speaks when the kernel was started with ipv6.disable=1.
    mkdir "$log/bin"
    cat >"$log/bin/ip" <<-END
		#!/bin/bash
		words="\$*"
		[[ \$words != *-batch* ]] || { words=\$(cat) && exec <<<"\$words"; }
		[[ \$words != *addrgenmode* && \$words != *fe80:* ]] || {
		    echo "RTNETLINK answers: Address family not supported by protocol" >&2
		    exit 2
		}
		exec $(command -v ip) "\$@"
	END
    chmod +x "$log/bin/ip"
    run -0 env PATH="$log/bin:$PATH" common/lab up
    run -1 common/lab run B bin/05-connect A:6666
    [[ $output == *ECONNREFUSED* ]]
    run -0 common/lab run A ip -oneline -6 address show dev eth0 scope link
    [[ $output != *fe80::101* ]]
    common/lab down
    nothing_is_left
}

@test "the lab holds no descriptor of its caller, whose reader waits for the last one" {
    mkfifo "$log/fifo"
    start reader cat "$log/fifo"
    common/lab up 5>"$log/fifo" 6>"$log/fifo" 40>"$log/fifo"
    ended "$pid"
}

@test "an assertion that fails while the lab is up ends its file, and the lab" {
    printf '%s\n' 'cd "$COURSE"' '@test "x" {' 'common/lab up' 'false' '}' >"$log/x.bats"
    start bats env --ignore-environment PATH="${PATH#"$BATS_LIBEXEC":}" COURSE="$PWD" \
        common/netns bats "$log/x.bats"
    ended "$pid"
    ((status == 1))
    saw bats "^not ok 1 x"
}

@test "the connection is still open on one PC when the cable of the other one is pulled" {
    common/lab up
    start server common/lab run A bin/06-accept-one 192.168.0.101:6666
    saw server "^listen"
    start client common/lab run B bin/05-connect 192.168.0.101:6666
    saw server "^accept"
    run -0 common/lab run A ss -Htn state established
    [[ $output == *192.168.0.101:6666*192.168.0.102:* ]]
    common/lab run B ip link set eth0 down
    common/lab run B sh -c 'kill $(grep -lsx 05-connect /proc/[1-9]*/comm | tr -dc "0-9\n")'
    ended "$pid"
    run -0 common/lab run B ss -Htn state fin-wait-1
    [[ $output == *192.168.0.101:6666* ]]
    run -0 common/lab run A ss -Htn state established
    [[ $output == *192.168.0.101:6666*192.168.0.102:* ]]
    common/lab down
    nothing_is_left
}
