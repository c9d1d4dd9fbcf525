# Hunt 07: a server that sends back what it receives, and must not lose a byte. The clients are Perl's.
# shellcheck disable=SC2154,SC2030,SC2031,SC2016 # as in the tests of the lessons
load checks

# same_bytes WHOSE   the client has got back what it has sent.
same_bytes() {
    same "all bytes that it sends" "$output" "$1 gets back"
}

# Perl: told(SENT, GOT) says how they differ.
told='sub told { my ($sent, $got) = @_;
    my ($same) = ($sent ^ substr $got, 0, length $sent) =~ /^(\0*)/;
    print $sent eq $got ? "all bytes that it sends"
        : length($got) . " of " . length($sent) . " bytes" .
          (length $same < length $got ? "; from byte " . (1 + length $same) . " on they differ" : "") }
    my $data = join "", map { "$_\n" } 1 .. 200000;'

@test "a client that reads while it sends gets back all bytes" {
    serve
    for i in 1 2 3; do
        ask "$told"' my $s = connected(); told($data, talk($s, $data))'
        same_bytes "a client that reads while it sends"
    done
}

@test "a client that reads late gets back all bytes" {
    serve
    ask "$told"' my $s = connected(); my $sent = fill($s); finish($s); told($sent, get($s))'
    same_bytes "a client that sends until all buffers are full, and then reads,"
}

@test "a client that does not read does not block the others, and gets all bytes later" {
    serve
    guest late "$told"' my $s = connected(); my $sent = fill($s); print "full\n"; cue();
        my $got = get($s, length $sent); told($sent, $got); print "\n"; cue()' "$at"
    saw late '^full'
    ask "$told"' my $s = connected(); told($data, talk($s, $data))'
    same_bytes "meanwhile another client"
    sleeps "it sleeps while this client does not read"
    cue late
    told late '^(all|[0-9])' "the client that did not read gets back what it has sent"
    output=$(tail -n 1 "$log/late")
    same_bytes "the client that did not read"
    sleeps "it sleeps when everything has been sent back"
}
