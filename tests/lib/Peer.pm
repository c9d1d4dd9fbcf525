# Peer.pm: a peer from outside for the bats files, with sockets of Perl's own. Use it with:
# perl -Itests/lib -MPeer -e 'script'      (which is what peer of peers.bash does)
package Peer;
use strict;
use warnings;
use Fcntl qw(F_SETFL O_NONBLOCK);
use Socket qw(AF_INET AF_INET6 SHUT_WR SOCK_DGRAM SOCK_STREAM SOL_SOCKET SO_ERROR SO_LINGER SO_RCVBUF
    SO_REUSEADDR inet_ntoa inet_pton pack_sockaddr_in pack_sockaddr_in6 sockaddr_in);

$| = 1;
$SIG{PIPE} = 'IGNORE';
$SIG{ALRM} = sub { die "this peer has waited long enough\n" };
alarm($ENV{PATIENCE} // 20);

sub import {
    no strict 'refs';
    *{"main::$_"} = \&$_
        for qw(owner accepted connected datagrams many name ready get put talk fill finish vanish cue);
    strict->import;
    warnings->import;
}

# Returns a socket that is not bound, and the packed address that "HOST:PORT" or "[HOST]:PORT" is.
sub unbound {
    my $kind = $_[1] // SOCK_STREAM;
    my ($host, $port) = ($_[0] // $ENV{AT} // '127.0.0.1:6666') =~ /^\[?(.*?)\]?:(\d+)$/;
    my $family = $host =~ /:/ ? AF_INET6 : AF_INET;
    my $ip = inet_pton($family, $host) // die "not an address: $host\n";
    socket my $s, $family, $kind, 0 or die "socket: $!\n";
    return $s, $family == AF_INET ? pack_sockaddr_in($port, $ip) : pack_sockaddr_in6($port, $ip);
}

# Returns a socket that has that address and does not listen.
sub owner {
    my ($s, $address) = unbound(@_);
    setsockopt $s, SOL_SOCKET, SO_REUSEADDR, 1 or die "SO_REUSEADDR: $!\n";
    bind $s, $address or die "bind: $!\n";
    return $s;
}

# Listens, says so, and returns the connection to the first client. A small receive buffer makes
# that one wait early.
sub accepted {
    my ($at, $receive_buffer) = @_;
    my $listener = owner($at);
    !$receive_buffer || setsockopt $listener, SOL_SOCKET, SO_RCVBUF, $receive_buffer
        or die "SO_RCVBUF: $!\n";
    listen $listener, 5 or die "listen: $!\n";
    print "listening\n";
    accept my $s, $listener or die "accept: $!\n";
    return $s;
}

# Returns a UDP socket with that address.
sub datagrams {
    my ($s, $address) = unbound($_[0], SOCK_DGRAM);
    bind $s, $address or die "bind: $!\n";
    return $s;
}

# Returns a socket that is connected.
sub connected {
    my ($s, $address) = unbound(@_);
    connect $s, $address or die "connect: $!\n";
    return $s;
}

# Returns that many sockets, which connect all at once.
sub many {
    my @all;
    for (1 .. $_[0]) {
        (my $s, my $address) = unbound();
        fcntl $s, F_SETFL, O_NONBLOCK;
        connect $s, $address or $!{EINPROGRESS} or die "connect: $!\n";
        push @all, $s;
    }
    for my $s (@all) {
        ready($s, 1);
        my $error = unpack 'i', getsockopt $s, SOL_SOCKET, SO_ERROR;
        die 'connect: ', $! = $error, "\n" if $error;
        fcntl $s, F_SETFL, 0;
    }
    return @all;
}

# Returns what getsockname or getpeername has returned as HOST:PORT (IPv4).
sub name {
    my ($port, $ip) = sockaddr_in($_[0]);
    return inet_ntoa($ip) . ":$port";
}

# Waits until the socket can be read from or, if $sends, written to; or for so many seconds.
# Returns (can it be read from, can it be written to).
sub ready {
    my ($s, $sends, $seconds) = @_;
    my ($in, $out) = ('', '');
    vec($in, fileno $s, 1) = 1;
    vec($out, fileno $s, 1) = 1 if $sends;
    select $in, $out, undef, $seconds;
    return vec($in, fileno $s, 1), $sends && vec($out, fileno $s, 1);
}

# Receives exactly that many bytes, or without a number: all until the other end has finished.
sub get {
    my ($s, $length) = @_;
    my $got = '';
    while (!defined $length || length $got < $length) {
        my $n = sysread $s, $got, defined $length ? $length - length $got : 65536, length $got;
        die "get: $!\n" if !defined $n;
        last if $n == 0;
    }
    return $got;
}

# Sends all of it.
sub put {
    my ($s, $data) = @_;
    for (my $sent = 0; $sent < length $data;) {
        $sent += syswrite($s, $data, 65536, $sent) // die "put: $!\n";
    }
}

# Sends all of it, in pieces of random lengths up to a greatest one, counted in $$count, finishes,
# and receives meanwhile. Returns all that has come until the other end has finished.
sub talk {
    my ($s, $data, $greatest, $count) = @_;
    my ($sent, $got, $finished) = (0, '');
    fcntl $s, F_SETFL, O_NONBLOCK;
    until ($finished) {
        my $more = $sent < length $data;
        my ($can_read, $can_write) = ready($s, $more);
        if ($can_read) {
            my $n = sysread $s, $got, 65536, length $got;
            die "talk: $!\n" if !defined $n && !$!{EAGAIN};
            $finished = defined $n && $n == 0;
        }
        if ($can_write) {
            my $n = syswrite $s, $data, 1 + int rand($greatest // 65536), $sent;
            die "talk: $!\n" if !defined $n && !$!{EAGAIN};
            $sent += $n // 0;
            $$count += defined $n;
            finish($s) if $sent == length $data;
        }
    }
    return $got;
}

# Sends, and never receives, until the other end has not taken any more for a while (100 ms).
# Returns what it has taken.
sub fill {
    my ($s) = @_;
    my $some = join '', map { chr rand 256 } 1 .. 4093;
    my ($data, $sent) = ($some x 16, '');
    fcntl $s, F_SETFL, O_NONBLOCK;
    my $out = '';
    vec($out, fileno $s, 1) = 1;
    while (select undef, my $can_write = $out, undef, 0.1) {
        my $n = syswrite $s, $data;
        die "fill: $!\n" if !defined $n && !$!{EAGAIN};
        $sent .= substr $data, 0, $n // 0;
    }
    fcntl $s, F_SETFL, 0;
    return $sent;
}

# Half-close: we have finished, and still receive.
sub finish { shutdown $_[0], SHUT_WR or die "finish: $!\n" }

# Ends the connection with a reset.
sub vanish {
    my ($s) = @_;
    setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 or die "vanish: $!\n";
    close $s;
}

# Waits until the test writes a line to the input of this peer, and returns it.
sub cue { return <STDIN> // die "cue: end of input\n" }

1;
