# honest.pl VERB...: is what a program told what it did? Reads a trace (strace -xx -s 99999
# -e trace=%network,close,write) in which the calls stand and, as write() to stdout or stderr, the
# lines told. Each call that a VERB stands for ("bind" for bind(), "recv" for recvfrom() and so on)
# has to be told, before the next one is made, in a line "VERB: ..." with the result and the
# addresses that the kernel gave; and no other line "VERB: ..." may be told.
# Prints how many were, and "honest"; or the first that is wrong, with status 1.
use strict;
use warnings;

my %tells = map { $_ => 1 } @ARGV;
my %verb_of = (recvfrom => 'recv', sendto => 'send', accept4 => 'accept');
my $verbs = qr/socket|bind|listen|connect|accept|recv|send|shutdown|close/;
my (%is_socket, %local, %peer); # of a descriptor, as getsockname and getpeername have answered
my ($made, $said, $count);      # the call that is not told yet, the line not ended yet

while (<STDIN>) {
    my ($call, $args, $result) = /^(?:\d+ +)?(\w+)\((.*)\)\s+= (-?\d+)/ or next;
    my ($fd, $data) = ($args =~ /^(\d+)/, $args =~ /"((?:\\x..)*)"/);
    if ($call eq 'write' && $fd =~ /^[12]$/) {
        $said .= bytes($data);
        told($1) while $said =~ s/^(.*)\n//;
    }
    next if $result < 0 && !/EINPROGRESS/;

    $fd = $result if $call =~ /^(socket|accept)/;
    $is_socket{$fd} = 1 if $call =~ /^(socket|accept)/;
    next if !defined $fd || !$is_socket{$fd}; # (poll() has no descriptor there)
    delete $local{$fd}, delete $peer{$fd} if $call =~ /^(socket|bind|accept)/;
    $local{$fd} = address($args) if $call eq 'getsockname';
    $peer{$fd} = address($args) if $call =~ /^(getpeername|accept)/;
    delete $is_socket{$fd} if $call eq 'close';

    my $verb = $verb_of{$call} // $call;
    if ($tells{$verb}) {
        wrong("not told: $made->{verb} of fd $made->{fd}, before $call") if $made;
        $made = {verb => $verb, fd => $fd, result => $result, data => $data};
    }
}
wrong("not told: $made->{verb} of fd $made->{fd}, at the end") if $made;
print "$count calls told, honest\n";

# A line has been told: is it the call just made?
sub told {
    my ($line) = @_;
    my ($verb, $rest) = $line =~ /^($verbs): (.*)/ or return;
    my $is = $made // {verb => 'nothing'};
    wrong("$is->{verb} was made, told is \"$line\"") if $verb ne $is->{verb};
    my $fd = $is->{fd};
    my ($here, $there) = ($local{$fd} // 'not asked', $peer{$fd} // 'not asked');
    my ($n) = $rest =~ /^(\d+) bytes/;
    my $as_it_was =
          $verb =~ /^(socket|close)$/ ? $rest =~ /^fd $fd([,;]|$)/
        : $verb =~ /^(bind|listen)$/ ? $rest =~ /^fd $fd is \Q$here\E(,|$)/
        : $verb eq 'accept'
            ? $rest =~ /^fd $fd is \Q$here\E, (the client|its peer) is \Q$there\E( \(|$)/
        : $verb eq 'connect'
            ? $rest =~ /^(fd $fd is \Q$here\E, its peer is|\Q$here\E ->) \Q$there\E$/
        : $verb eq 'send' ? $rest eq "$is->{result} bytes"
        : $verb eq 'recv' ? $n == $is->{result} && shows($rest, bytes($is->{data}))
        : 1;
    wrong("told is \"$line\"; it was fd $fd, result $is->{result}, local $here, peer $there")
        if !$as_it_was;
    $made = undef;
    $count++;
}

sub wrong {
    print "@_\n";
    exit 1;
}

# Does a line like "6 bytes "hello\n"" show this data? Of more than 48 bytes it shows the first 48.
sub shows {
    my ($text, $data) = @_;
    my ($quoted, $dots) = $text =~ /"(.*)"(\.\.\.)?$/ or return $data eq '';
    my %escape = (n => "\n", r => "\r", t => "\t", '"' => '"', '\\' => '\\');
    $quoted =~ s/\\(?:x(..)|(.))/defined $1 ? chr hex $1 : $escape{$2}/ge;
    return $quoted eq ($dots ? substr $data, 0, 48 : $data);
}

# The bytes that strace shows as \x68\x65\x6c\x6c\x6f.
sub bytes { return $_[0] =~ s/\\x(..)/chr hex $1/ger }

# {sa_family=AF_INET, sin_port=htons(6666), sin_addr=inet_addr("\x31...")} as HOST:PORT.
sub address {
    my ($port, $host) = $_[0] =~ /port=htons\((\d+)\).*"(.*?)"/ or return 'none';
    $host = bytes($host);
    return $host =~ /:/ ? "[$host]:$port" : "$host:$port";
}
