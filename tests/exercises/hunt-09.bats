# Hunt 09: each line that a client sends is one message. The clients are Perl's.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# messages EXPECTED...   it has shown these lines since it listens.
messages() {
    local expected
    expected=$(printf '%s\n' "$@")
    eventually all_there $(($# + 1)) >/dev/null || :
    same "$expected" "$(tail -n +2 "$log/server" | tr -d '\0')"
}
all_there() {
    (($(wc -l <"$log/server") >= $1)) || ! is_running "$server"
}

# Perl: `piece` sends a piece, and waits until it has been taken from the receive buffer.
piece='sub piece { my ($s, $data) = @_; put($s, $data);
    my ($port) = $ARGV[0] =~ /(\d+)$/;
    for (1 .. 200) { last if `ss -Htn sport = :$port` =~ /ESTAB +0/; select undef, undef, undef, 0.01 } }'

@test "a line that comes in pieces is one message" {
    serve
    ask "$piece"' my $s = connected(); piece($s, $_) for "he", "llo", "\n", "a", "gain\n"; finish($s); get($s)' "$at"
    messages 'message: 5 bytes "hello"' 'message: 5 bytes "again"'
}

@test "several lines and part of another come at once, and then the rest of it" {
    serve
    ask "$piece"' my $s = connected(); piece($s, "one\n\ntwo\nthr"); piece($s, "ee\nfo"); piece($s, "ur\n");
        finish($s); get($s)' "$at"
    messages 'message: 3 bytes "one"' 'message: 0 bytes ""' 'message: 3 bytes "two"' \
        'message: 5 bytes "three"' 'message: 4 bytes "four"'
}

@test "2000 lines, sent as fast as possible, are 2000 messages" {
    serve
    ask 'my $s = connected(); put($s, join "", map { "this is line number $_\n" } 1001 .. 3000); finish($s); get($s)' "$at"
    eventually all_there 2001 >/dev/null || :
    same "2000 messages, and these are whole lines: 2000" "$(tail -n +2 "$log/server" | grep -c .) messages, and these are whole lines: $(
        grep -cE '^message: 24 bytes "this is line number [0-9]{4}"$' "$log/server")"
}

@test "a line of 8191 bytes is one message, even if it comes in two pieces" {
    serve
    ask "$piece"' my $s = connected(); piece($s, "x" x 5000); piece($s, "x" x 3191); piece($s, "\nend\n");
        finish($s); get($s)' "$at"
    xs=$(printf 'x%.0s' {1..48})
    messages "message: 8191 bytes \"$xs\"..." 'message: 3 bytes "end"'
}

@test "an unfinished line does not become part of the next client's message" {
    serve
    ask "$piece"' my $s = connected(); piece($s, "one\ntw"); finish($s); get($s);
        $s = connected(); piece($s, "three\nfo"); piece($s, "ur\n"); finish($s); get($s)' "$at"
    eventually grep -q four "$log/server" >/dev/null || :
    same $'message: 5 bytes "three"\nmessage: 4 bytes "four"' \
        "$(tail -n +3 "$log/server" | grep -vx 'message: 2 bytes "tw"')" "the messages of the second client"
}
