# Talk.pm: what a peer hears, in words that a check can compare and show. Goes with Peer.pm.
package Talk;
use strict;
use warnings;

my $seconds = ($ENV{PATIENCE} // 20) / 5;

sub import {
    no strict 'refs';
    *{"main::$_"} = \&$_ for qw(heard in_quotes);
}

# Returns bytes as a C string, shortened in the middle where there are many.
sub in_quotes {
    my ($bytes) = @_;
    my $count = length $bytes;
    $bytes = substr($bytes, 0, 56) if $count > 64;
    $bytes =~ s/([\\"])/\\$1/g;
    $bytes =~ s/\n/\\n/g;
    $bytes =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
    return qq("$bytes") . ($count > 64 ? "... ($count bytes)" : '');
}

# Receives that many bytes, or without a number all until the other end has finished, and returns
# what came, in words: '"hello\n"', '"hel", then the end', 'nothing, then a reset'; "the end" is
# left out where it was waited for.
sub heard {
    my ($s, $length) = @_;
    my ($got, $then) = ('', '');
    while (!defined $length || length $got < $length) {
        my ($in, $n) = ('');
        vec($in, fileno $s, 1) = 1;
        if (!select $in, undef, undef, $seconds) {
            $then = "then nothing for $seconds seconds";
            last;
        }
        $n = sysread $s, $got, defined $length ? $length - length $got : 65536, length $got;
        $then = 'then a reset' if !defined $n;
        $then = 'then the end' if defined $n && $n == 0 && defined $length;
        last if !$n;
    }
    return $then if $got eq '' && $then =~ s/^then (?=nothing)//;
    return ($got eq '' ? 'nothing' : in_quotes($got)) . ($then && ", $then");
}

1;
