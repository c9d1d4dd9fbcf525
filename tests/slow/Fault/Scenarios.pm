# Scenarios.pm: how to run a program, for tests/slow/faults.
#
# The endpoint AT is one of its own for each run, and PORT its port. With `listens` somebody listens
# there before the program starts, with `datagrams` $listener is a UDP socket there. `stdin` is what
# the program reads. `alone`: it runs in a network of its own, as it looks at all sockets again and
# again. `calls`, `errors`: those only; `varies`: it does not make the same calls each time; `tenth`:
# of those the tenth one is tried in place of the last one, `first`: of those only the first one, with
# one error for each rule; `bytes`: the calls that `short` shortens, all of the time with `library`.
# The peer runs beside it, in a process of its own, and what it says is looked at, too. It can use:
# $at, $program (the process id), $listener, $stdin (what it writes there the program reads); and
# arrive(), come(), said().
use strict;
use warnings;
use Peer;

our ($at, $program, $listener, $stdin); # of the run: Run.pm

sub echo { # says hello twice to an echo server, and finishes
    my ($s, $name) = @_;
    for my $text ("hello, $name\n", "once more, $name\n") {
        put($s, $text);
        get($s, length $text) eq $text or die "not served\n";
    }
}

sub three { # three clients at once; each tells whether it was served to the end
    my %s;
    my $try = sub { my ($name, $do) = @_; eval { $do->(); 1 } or ($s{$name} = undef) };
    for my $name (qw(one two three)) {
        $try->($name, sub { $s{$name} = arrive(); echo($s{$name}, $name) });
    }
    for my $name (qw(one two three)) {
        my $s = $s{$name} or next;
        $try->($name, sub { echo($s, $name); finish($s); get($s) eq '' or die });
    }
    print defined $s{$_} ? "served\n" : "lost\n" for qw(one two three);
    said('^close: ', 3) if !$_[0];
    kill TERM => $program;
}

sub slow { # one client reads nothing until the server's buffers are full; another one is served
    my ($quick, $slow) = (arrive(), arrive(2000));
    my ($sent, $got) = ('', '');
    eval {
        $sent = fill($slow);
        1;
    };
    eval { echo($quick, 'quick'); finish($quick); get($quick) eq '' and print "served\n" };
    eval {
        while (length $got < length $sent) {
            my $n = sysread $slow, $got, 65536, length $got or last;
        }
        finish($slow);
        get($slow) eq '' and $sent ne '' and $got eq $sent and print "served\n";
    };
    said('^close: ', 2);
    kill TERM => $program;
}

sub visit { # a client of an echo server for one
    my $s = arrive();
    eval { echo($s, 'client'); finish($s); get($s) eq '' or die "more came\n"; 1 } or die "lost: $@";
    print "served\n";
}

sub answer { # a server for 05-connect: it gives what it gets, and has something to say itself
    my $s = come();
    put($s, "hello from the server\n");
    my $got = get($s);
    put($s, "you said: $got");
    close $s;
    print "got $got";
}

sub serve { # a server for 11-crowd: it gives what it gets, and takes its time for it
    my %s = (fileno $listener => $listener);
    while (kill 0 => $program) {
        my $bits = '';
        vec($bits, $_, 1) = 1 for keys %s;
        select $bits, undef, undef, 0.01 or next;
        select undef, undef, undef, 0.02;
        for (grep { vec $bits, $_, 1 } keys %s) {
            if ($_ == fileno $listener) { accept(my $s, $listener); $s{fileno $s} = $s }
            elsif (sysread $s{$_}, my $got, 65536) { syswrite $s{$_}, $got }
            else { delete $s{$_} }
        }
    }
}
sub browsers { # three clients of a web server; the last answer of each is the last one there
    my %s;
    my $try = sub { my ($name, $do) = @_; eval { $do->(); 1 } or ($s{$name} = undef) };
    my $ask = "GET /page.css HTTP/1.1\r\nHost: $at\r\n";
    for my $name (qw(one two three)) {
        $try->($name, sub { $s{$name} = arrive(); put($s{$name}, "$ask\r\n");
            get($s{$name}, 15) eq 'HTTP/1.1 200 OK' or die });
    }
    for my $name (qw(one two three)) {
        my $s = $s{$name} or next;
        $try->($name, sub { put($s, "${ask}Connection: close\r\n\r\n"); my $all = get($s);
            close $s; $all =~ /^Connection: close/m or die });
    }
    print defined $s{$_} ? "served\n" : "lost\n" for qw(one two three);
    said('^close: ', 3);
    kill TERM => $program;
}

sub watch { # one looks at the sockets, and one watches them
    my $once = arrive();
    my $ask = "HTTP/1.1\r\nHost: $at\r\n\r\n";
    eval { put($once, "GET /snapshot $ask"); get($once, 13) =~ m{^HTTP/1.1 (200|503) } or die };
    my $watcher = arrive();
    eval { put($watcher, "GET /events?all $ask"); get($watcher, 15) eq 'HTTP/1.1 200 OK' or die };
    said('^request: .*events');
    my $got = '';
    eval { while ($got !~ /\]\}\n\n/) { (ready($watcher, 0, 1))[0] or last; sysread $watcher, $got, 65536, length $got or last } };
    kill TERM => $program;
    until_it_ends(); # and keeps the connections until then
}

sub tell { # a sender for the receiver of 13: three messages, each when the one before has come
    my ($s, $to) = Peer::unbound($at, Socket::SOCK_DGRAM);
    said('^bind: ');
    for my $n (1 .. 3) {
        defined send $s, "message $n", 0, $to or die "send: $!\n";
        said('^recvfrom: ', $n);
        until (said('^13-datagrams: sendto', 1, 0)) { # or an answer
            waits();
            (ready($s, 0, 0.01))[0] or next;
            recv $s, my $got, 100, 0;
            last;
        }
    }
    kill TERM => $program;
}

sub converse { # answers what the sender of 13 says: two messages, if they come
    my $answers = 0;
    for my $n (1 .. 2) {
        syswrite $stdin, "message $n\n";
        said('^(13-datagrams: )?sendto', $n); # by now it is here
        (ready($listener, 0, 0))[0] or next;
        my $from = recv $listener, my $got, 100, 0;
        send $listener, "you said: $got", 0, $from;
        said('^recvfrom: ', ++$answers);
    }
    close $stdin;
}

my $messages = '^(recvfrom|sendto|epoll_)';
my $servers = '^(ioctl|readlink|getdents)|/proc'; # what 11-crowd asks of all processes

our %scenarios = (
    '01-interfaces' => {list => {}},
    '02-bind' => {
        hold => {args => ['AT'], stdin => "\n"},
        six => {args => ['[::1]:PORT'], stdin => ''},
    },
    '03-bind-twice' => {hold => {args => ['AT'], stdin => "x\n"}, table => {args => ['--table']}},
    '04-ports-in-use' => {
        port => {varies => 1, args => ['PORT'], listens => 1},
        watch => {
            varies => 1,
            first => '.', # (the last calls are never the same)
            args => ['--watch', 'PORT'],
            listens => 1,
            peer => sub {
                said('^sockets: 1');
                my $s = connected($at);
                said('^sockets: 3');
                kill TERM => $program;
                until_it_ends(); # and keeps the connection until then
            },
        },
    },
    '05-connect' => { # (how many pieces come is a matter of time)
        talk => {varies => 1, args => ['AT'], listens => 1, stdin => "hello\n", peer => \&answer},
        name => {varies => 1, args => ['--timeout', 9, 'localhost:PORT'], listens => '[::]:PORT',
            stdin => "hello\n", peer => \&answer},
        six => {varies => 1, args => ['[::1]:PORT'], listens => '[::1]:PORT', stdin => "hello\n",
            peer => \&answer},
    },
    '06-accept-one' => {
        echo => {args => ['AT'], peer => \&visit},
        six => {args => ['--backlog', 2, '[::1]:PORT'], at => '[::1]:PORT', peer => \&visit},
    },
    '07-accept-many' => {
        three => {args => ['AT'], peer => \&three},
        slow => {varies => 1, bytes => '', args => ['AT'], peer => \&slow, calls => '^sendto',
            errors => '^(EINTR|EAGAIN|EPIPE)$'},
        pieces => {args => ['AT'], peer => \&three, library => 'send', calls => '^sendto'},
        quiet => {args => ['--quiet', '[::1]:PORT'], at => '[::1]:PORT',
            peer => sub { three('quiet') }},
    },
    '08-endpoints' => {
        two => {args => ['--clients', 2, 'AT'], stdin => "\n"},
        six => {args => ['--clients', 1, '[::1]:PORT'], stdin => "\n"},
    },
    '09-buffers' => {
        writer => {
            varies => 1,
            bytes => 'write', # (one byte at a time, its buffer never gets full)
            args => ['AT'],
            listens => 4096,
            peer => sub {
                my $s = come();
                said('EAGAIN');
                while (waits() && !said('there is room again', 1, 0)) {
                    ready($s, 0, 0.01);
                    get($s, 1000);
                }
                kill TERM => $program;
                until_it_ends();
            },
        },
        reader => {
            bytes => 'send write read', # (it tells what one recv() has got)
            args => ['--reader', 'AT'],
            peer => sub {
                my $s = arrive();
                put($s, 'x' x 5000);
                said('^Enter reads');
                syswrite $stdin, "100\n";
                said('^recv: ');
                syswrite $stdin, "\n";
                said('^recv: ', 2);
                close $stdin;
                get($s) eq '' or die "more came\n";
                print "the reader has closed\n";
            },
        },
        stream => {args => ['--stream', 'AT'], bytes => 'send write'}, # (one recv() has to get all)
    },
    '10-states' => {all => {varies => 1, alone => 1, bytes => 'write', args => ['AT']}},
    '11-crowd' => { # (how many messages there are is a matter of time)
        talk => {varies => 1, tenth => $messages, first => $servers, listens => 1, peer => \&serve,
            args => ['--clients', 3, '--active', 2, 'AT']},
        six => {varies => 1, tenth => $messages, first => $servers, listens => '[::1]:PORT', peer => \&serve,
            args => ['--clients', 2, '--active', 1, '[::1]:PORT'],
            calls => '^(socket|connect|getsockopt|recvfrom|sendto|epoll_)|tcp6'},
        moved => {varies => 1, library => 'port', listens => 1, peer => \&serve,
            args => ['--clients', 2, 'AT'], calls => '^(setsockopt|bind)'},
    },
    '11-ten-thousand' => {
        three => {args => ['AT'], peer => \&three},
        slow => {varies => 1, bytes => '', args => ['AT'], peer => \&slow, calls => '^sendto',
            errors => '^(EINTR|EAGAIN|EPIPE)$'},
        pieces => {args => ['AT'], peer => \&three, library => 'send', calls => '^sendto|_MOD'},
        full => {args => ['AT'], peer => \&three, library => 'full', calls => '_MOD'},
        quiet => {args => ['--quiet', '--share-port', '[::1]:PORT'], at => '[::1]:PORT',
            peer => sub { three('quiet') }},
    },
    '12-picture' => {
        three => {varies => 1, args => ['AT'], peer => \&browsers},
        six => {args => ['[::1]:PORT'], at => '[::1]:PORT', peer => \&browsers, calls => '^(socket|bind|accept|getsockname)'},
        pieces => {args => ['AT'], peer => \&browsers, library => 'send', calls => '^sendto'},
        watch => {varies => 1, first => '.', bytes => '', args => ['AT'], peer => \&watch,
            calls => '/proc|^getdents|^readlink|^clock|^m'},
    },
    '13-datagrams' => { # (a datagram is sent and received as a whole)
        receiver => {bytes => 'write', args => ['--receiver', 'AT'], peer => \&tell},
        six => {bytes => 'write', args => ['--receiver', '--room', 4, '[::1]:PORT'], at => '[::1]:PORT',
            peer => \&tell},
        sender => {bytes => 'write', args => ['--broadcast', 'AT'], datagrams => 1, peer => \&converse},
        connected => {bytes => 'write', args => ['--connect', 'AT'], datagrams => 1,
            peer => \&converse},
        overfill => {varies => 1, bytes => 'write', args => ['--overfill', 'AT'], stdin => "\n"},
    },
);

1;
