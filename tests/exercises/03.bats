# Exercise 03: wait until a port is free, then take it.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# owned   another program has the port.
owned() {
    guest owner 'our $s = owner($ARGV[0]); print "bound\n"; cue()' "$at"
    owner=$pid
    saw owner '^bound'
}

# waits   the program says that it waits.
waits() {
    begin "$at"
    local deadline=$((SECONDS + limit))
    until grep -q '^waiting: ' "$log/server"; do
        runs 'a line "waiting: ..." while another program has the port'
        if grep -q '^bind: ' "$log/server" || ((SECONDS > deadline)); then
            not_yet 'a line "waiting: ..." while another program has the port' "$(said)"
        fi
        sleep 0.01
    done
}

# takes   it says that it has the port; and so it is: nobody else gets it.
takes() {
    local deadline=$((SECONDS + limit))
    until grep -q '^bind: ' "$log/server"; do
        runs "a line \"bind: fd 3 is $at\""
        ((SECONDS <= deadline)) || not_yet "a line \"bind: fd 3 is $at\"" "$(said)"
        sleep 0.01
    done
    grep -qE "^bind: fd [0-9]+ is $at\$" "$log/server" || not_yet "a line \"bind: fd 3 is $at\"" "$(said)"
    ask 'eval { owner($ARGV[0]) }; print $@ || "got it"' "$at"
    [[ $output == *"already in use"* ]] ||
        not_yet "nobody else can bind $at now" "another program could"
}

@test "it takes a free port at once" {
    begin "$at"
    takes
    ! grep '^waiting' "$log/server" || not_yet "no word of waiting" "$(said)"
}

@test "it waits as long as another program has the port, and then takes it" {
    owned
    waits
    runs "it waits"
    ! grep -q '^bind: ' "$log/server" || not_yet "it waits" "$(said)"
    cue owner
    ended "$owner"
    takes
}

@test "it says only once that it waits" {
    owned
    waits
    sleep 0.5 # five times a tenth of a second
    count=$(grep -c '^waiting: ' "$log/server")
    ((count == 1)) || not_yet '1 line "waiting: ..."' "$count of them after half a second"
}

@test "it does not keep a processor busy while it waits" {
    owned
    waits
    sleeps "it sleeps between two attempts"
}

@test "^C ends it while it waits" {
    owned
    waits
    ends_by_signal
    ! grep -q '^bind: ' "$log/server" || not_yet "no word of a port that it does not have" "$(said)"
}

@test "however often it tries, it does not use up its descriptors" {
    owned
    waits
    sleep 0.5 # five times a tenth of a second
    keeps 2 "1 socket open while it waits, or 2 for a moment"
}

@test "it does not wait for an address that is not this machine's" {
    try "203.0.113.7:$port"
    refuses "203.0.113.7 is no address of this machine (EADDRNOTAVAIL)" \
        'EADDRNOTAVAIL|Cannot assign requested address'
}
