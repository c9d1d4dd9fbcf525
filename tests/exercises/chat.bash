# chat.bash: what the checks of the two chats share, exercise 07 and exercise 11.
# shellcheck shell=bash disable=SC2154,SC2016

# members COUNT   waits until that many clients are in the chat: the server has a socket for each.
members() {
    local deadline=$((SECONDS + 5)) now s=s
    (($1 != 1)) || s=
    until now=$(sockets_of "$server" | awk '$3 != "none"' | wc -l) && ((now == $1)); do
        runs "$1 clients in the chat"
        if ((SECONDS > deadline)) || [[ -n $(ss -Htn state close-wait "dport = :$port") ]]; then
            not_yet "the server has $1 connected socket$s: one for each client in the chat" \
                "$now; ss -tn shows at port $port:"$'\n'"$(in_lines "$(ss -Htn "( sport = :$port or dport = :$port )" |
                    awk '{ print $1, $4, $5 }' | sort)")"
        fi
        sleep 0.01
    done
}

# join NAME...   clients join, one after the other. They send each line that they read from their cue,
# but "hear N": print the next N bytes that come; "leave", "vanish" (a reset), "finish".
join() {
    local name before
    before=$(sockets_of "$server" | awk '$3 != "none"' | wc -l)
    for name; do
        come "$name"
        members $((++before))
    done
}

# come NAME   one client connects. This does not wait until the server has accepted it.
come() {
    guest "$1" 'my $s = connected($ARGV[0]); while (defined(my $line = <STDIN>)) {
        alarm 10;
        if ($line =~ /^hear (\d+)/) { print heard($s, $1), "\n" }
        elsif ($line =~ /^leave/) { close $s; print "left\n"; $s = undef }
        elsif ($line =~ /^vanish/) { vanish($s); print "left\n"; $s = undef }
        elsif ($line =~ /^finish/) { finish($s); print "finished\n" }
        else { put($s, $line) } }' "$at"
}

# hears NAME TEXT   NAME hears exactly that next; TEXT as Talk.pm shows it.
hears() { # NAME TEXT [COUNT]
    local count
    count=$(($(wc -l <"$log/$1") + 1))
    cue "$1" "hear ${3:-$(($(printf %b "${2//\"/}" | wc -c)))}"
    eventually lines "$1" "$count" >/dev/null || not_yet "$1 hears $2" "nothing for 5 seconds"
    heard="$1 hears $(sed -n "${count}p" "$log/$1")"
    [[ $heard != *", then "* ]] || sleep 0.1 # has the chat ended? A moment, for it to be so
    [[ $heard != *", then "* ]] || runs "$1 hears $2"
    same "$1 hears $2" "$heard"
}

lines() {
    (($(wc -l <"$log/$1") >= $2))
}

# The two other clients get what one client sends; it gets nothing back itself.
all_others_hear() {
    serve
    join anna ben carl
    cue anna "hello"
    hears ben '"hello\n"'
    hears carl '"hello\n"'
    cue ben "hi anna" # the first thing that anna hears
    hears anna '"hi anna\n"'
    hears carl '"hi anna\n"'
}

# Bytes of any value get through: they are not a string.
bytes_of_any_value() {
    serve
    join anna
    guest ben 'my $s = connected($ARGV[0]); cue(); put($s, "a\0b\xff\0"); cue()' "$at"
    members 2
    cue ben
    hears anna '"a\x00b\xff\x00"' 5
}

# When a client leaves, its socket is closed, and the others stay.
leaves() {
    serve
    join anna ben carl dora
    cue ben leave
    members 3
    cue anna "is ben gone?"
    hears carl '"is ben gone?\n"'
    hears dora '"is ben gone?\n"'
    cue anna leave
    members 2
    cue dora "anna, too"
    hears carl '"anna, too\n"'
    join emil
    cue carl "welcome"
    hears dora '"welcome\n"'
    hears emil '"welcome\n"'
}

# When a client resets its connection, the chat goes on.
vanishes() {
    serve
    join anna ben carl
    cue ben vanish
    members 2
    cue anna "hello"
    hears carl '"hello\n"'
}

# A client that goes away just when another one sends does not end the chat.
vanishes_meanwhile() {
    serve
    join anna ben carl
    pause # it learns of all that follows at the same time
    cue anna "hello"
    eventually shown "^ESTAB 6 0 $at .*" >/dev/null || :
    cue ben finish
    told ben '^finished' "ben finishes"
    cue ben vanish
    told ben '^left' "ben resets his connection"
    kill -CONT "$server"
    hears carl '"hello\n"'
    runs "the chat goes on"
    members 2
}

# A client that does not read does not block the others.
silent() {
    serve
    guest silent 'our $s = connected($ARGV[0]); print "in\n"; cue(); alarm 10;
        my $pattern = join "", map { chr($_ % 251) } 0 .. 251 * 300;
        my ($n, $all, $wrong) = (0, 0);
        while ($n = sysread $s, my $some, 65536) {
            $wrong //= $all if $some ne substr $pattern, $all % 251, $n;
            $all += $n }
        print defined $wrong ? "wrong after byte $wrong\n" : "a beginning\n"' "$at"
    told silent '^in' "a client connects"
    members 1
    # Each piece is sent when the one before it has arrived, so only the client that does not read is slow.
    guest pair 'my $talker = connected($ARGV[0]); my $reader = connected($ARGV[0]); print "in\n"; cue();
        my $some = join "", map { chr($_ % 251) } 0 .. 251 * 1024 - 1; # 257024 bytes
        for my $i (1 .. 63) { alarm 4; my $heard = 0; put($talker, $some);
            while ($heard < 257024) { $heard += sysread($reader, my $piece, 65536) || last }
            if ($heard != 257024) { print "heard the end in piece $i\n"; last } }
        print "heard it all\n"; cue()' "$at"
    told pair '^in' "two more clients connect"
    members 3
    cue pair
    for ((i = 0; i < 8; i++)); do
        saw pair '^(heard|put: |this peer has waited)' >/dev/null && break
    done
    same "16 MB that a client sends reach another one, while a third one does not read" \
        "16 MB that a client sends $(tail -n 1 "$log/pair" | sed 's/^heard it all$/reach another one, while a third one does not read/
            s/^this peer has waited long enough$/get stuck, while a third one does not read/; s/^in$/do not arrive/; s/^heard the end/end too early: it heard the end/; s/^put: .*/are cut off (&)/')"
    cue silent # now it reads all that has come
    saw silent '^(a beginning|wrong|this)' >/dev/null || not_yet "a client that does not read has to leave" \
        "it is still in the chat: it reads now, and no end comes"
    same "the client that did not read gets the beginning, without a gap" \
        "the client that did not read gets $(sed 's/^a beginning$/the beginning, without a gap/; s/^wrong/wrong bytes/; s/^this peer.*/bytes without an end/' <(tail -n 1 "$log/silent"))"
}

# A send() that takes only a part of a message must not leave a gap. The slow one has small buffers
# (short segments make the server's small, too), and reads nothing until the kernel shows that they hold less
# than was sent. Then it reads all there is, so that there is room for what is sent next. Two others,
# which came before and after it, get each message before the next one is sent: whatever the order in
# which the server sends, it has then tried to send it to the slow one as well.
slow() {
    serve
    guest slow 'use Socket qw(SOL_SOCKET SO_RCVBUF IPPROTO_TCP TCP_MAXSEG sockaddr_in);
        my $first = connected();
        my ($slow, $address) = Peer::unbound();
        setsockopt $slow, SOL_SOCKET, SO_RCVBUF, 8192 or die "SO_RCVBUF: $!\n";
        setsockopt $slow, IPPROTO_TCP, TCP_MAXSEG, 200 or die "TCP_MAXSEG: $!\n";
        connect $slow, $address or die "connect: $!\n";
        my ($last, $talker) = (connected(), connected());
        my $port = sprintf ":%04X", (sockaddr_in(getsockname $slow))[0];
        my ($said, $heard, $ended) = ("", "", 0);
        sub kept { # bytes for the slow one that it has not read, here and at the server
            my $sum = 0;
            open my $table, "<", "/proc/net/tcp" or die "/proc/net/tcp: $!\n";
            while (my $row = <$table>) {
                my ($from, $to, $send, $receive) =
                    $row =~ /^ *\d+: \w+(:\w+) \w+(:\w+) \w+ (\w+):(\w+)/ or next;
                $sum += hex($send) + hex $receive if $from eq $port || $to eq $port }
            return $sum }
        sub moment { select undef, undef, undef, 0.01 }
        sub cut { # what has arrived here, and is not confirmed yet, is kept twice for a moment
            for (1 .. 100) { last if kept() <= length $said; moment() }
            for (1, 2) { return 0 if kept() >= length $said; moment() }
            return 1 }
        sub say_more {
            my $message = join "", map { sprintf "%09d\n", length($said) / 10 + $_ } 0 .. 99;
            $said .= $message;
            alarm 20;
            put($talker, $message);
            get($_, 1000) eq $message or print("the others do not hear all\n"), exit for $first, $last }
        sub read_all {
            until ($ended || !(ready($slow, 0, kept() ? 5 : 0))[0]) {
                $ended = !sysread $slow, $heard, 65536, length $heard } }
        print "in\n"; cue();
        do { say_more() } until cut();
        for (1 .. 4) { read_all(); say_more() }
        moment() while !$ended && length $heard < length $said && (read_all(), kept());
        my ($same) = ($heard ^ substr $said, 0, length $heard) =~ /^(\0*)/; # as long as that
        print length $same < length $heard ? "a beginning of " . length($same) . " bytes, then some are missing, then it goes on\n"
            : $ended || $heard eq $said ? "no bytes are missing in the middle\n"
            : "the end is missing, and the client is still in the chat\n"' "$at"
    told slow '^in' "four clients connect"
    members 4
    cue slow
    for ((i = 0; i < 4; i++)); do
        saw slow '^(a|no|the)|waited|line' >/dev/null && break
    done
    told slow '^(a|no|the)' "a client that reads slowly gets some bytes"
    same "in what a slow client gets: no bytes are missing in the middle" \
        "in what a slow client gets: $(tail -n 1 "$log/slow")"
}

# A client that has gone before it is accepted does not stop the chat.
comes_and_goes() {
    serve
    join anna ben
    pause
    ask 'my $s = connected($ARGV[0]); vanish($s)' "$at"
    kill -CONT "$server"
    cue anna "hello"
    hears ben '"hello\n"'
    cue ben "hello, too"
    hears anna '"hello, too\n"'
    members 2
}
