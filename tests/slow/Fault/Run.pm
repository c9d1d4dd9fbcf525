# Run.pm: runs programs, many at once, and says what each of them did; for tests/slow/faults.
use strict;
use warnings;
use Fcntl;
use File::Temp qw(tempdir);
use Peer;
use POSIX qw(:sys_wait_h dup2 setpgid _exit);
use Socket qw(SOL_SOCKET SO_RCVBUF);

our $bin; # where the programs are
our $folder = tempdir('faults.XXXXXX', TMPDIR => 1, CLEANUP => 1);
our $room; # a folder in there for one run at a time
our ($at, $program, $listener, $stdin); # of a run: see Scenarios.pm
my $patience = 30; # seconds; whoever needs longer hangs

# ---- One run ----

# How long does the program run? As long as it does, there is something to wait for.
sub waits { kill 0 => $program or die "the program has ended\n" }

sub until_it_ends { select undef, undef, undef, 0.002 while kill 0 => $program }

sub arrive { # returns a connection to the program, as soon as it listens
    my ($buffer) = @_;
    while (waits()) {
        my ($s, $address) = Peer::unbound($at);
        setsockopt $s, SOL_SOCKET, SO_RCVBUF, $buffer if $buffer;
        return $s if connect $s, $address;
        select undef, undef, undef, 0.002;
    }
}

sub come { # returns a connection that the program makes
    while (waits()) {
        accept my $s, $listener or die "accept: $!\n" if (ready($listener, 0, 0.01))[0];
        return $s if $s;
    }
}

sub said { # has the program said so many lines that match? Waits for that
    my ($pattern, $count, $wait) = ($_[0], $_[1] // 1, $_[2] // 1);
    do {
        my $n = () = (text("$room/out") . text("$room/err")) =~ /$pattern|turned away/mg;
        return 1 if $n >= $count;
        select undef, undef, undef, 0.002;
    } while ($wait && waits());
    return 0;
}

sub text { # what is in a file
    open my $file, '<', $_[0] or return '';
    local $/;
    return <$file> // '';
}

# Runs a scenario; the words in front are strace's or env's. Returns what came of it.
our $port = 10000 + $$ % 5000;
my $step = 1;

sub run {
    my ($s, @front) = @_;
    $port += $step;
    $port -= 20000 if $port >= 32000;
    my @args = @{$s->{args} // []};
    splice @front, 1, 0, '-E', "LD_PRELOAD=$folder/fault.so", '-E', "FAULT=$s->{library}"
        if $s->{library}; # (strace -E)
    @front = (qw(unshare --net sh -c), 'ip link set lo up && exec "$@"', 'sh', @front) if $s->{alone};
    local ($at, $listener, $stdin, $program);
    $at = ($s->{at} // '127.0.0.1:PORT') =~ s/PORT/$port/r;
    s/^AT$/$at/, s/PORT/$port/ for @args;
    if (my $where = $s->{listens}) {
        my $there = $where =~ /PORT/ ? $where =~ s/PORT/$port/r : $at;
        $at = $there =~ s/\[::\]/[::1]/r;
        $listener = Peer::owner($there);
        setsockopt $listener, SOL_SOCKET, SO_RCVBUF, 0 + $where if $where =~ /^\d\d/;
        listen $listener, 5 or die "listen: $!";
    }
    $listener = Peer::datagrams($at) if $s->{datagrams};
    unlink "$room/trace";
    open my $out, '>', "$room/$_" for qw(out err peer);
    pipe my $reads, $stdin or die "pipe: $!";
    pipe my $ends, my $lives or die "pipe: $!";
    my $deadline = time + $patience;
    my $begun = (POSIX::times())[0];

    defined($program = fork) or die "fork: $!";
    if ($program == 0) {
        setpgid(0, 0);
        $SIG{PIPE} = $SIG{ALRM} = 'DEFAULT';
        open STDIN, '<&', $reads;
        open STDOUT, '>', "$room/out";
        open STDERR, '>', "$room/err";
        dup2(fileno $lives, 200); # open as long as the program, a child of it or strace runs
        exec @front, "$bin/$s->{program}", @args or _exit(127);
    }
    close $_ for $lives, $reads;
    syswrite($stdin, $s->{stdin}), close $stdin if defined $s->{stdin};
    my $peer = 0;
    if ($s->{peer}) {
        defined($peer = fork) or die "fork: $!";
        if ($peer == 0) {
            alarm $patience;
            open STDOUT, '>', "$room/peer";
            eval { $s->{peer}->(); 1 } or print "peer: $@";
            close STDOUT;
            _exit(0);
        }
    }
    close $stdin if defined fileno $stdin;

    my %is = (hangs => 0);
    vec(my $bits = '', fileno $ends, 1) = 1;
    until (select my $b = $bits, undef, undef, $deadline > time ? $deadline - time : 0) {
        if (time >= $deadline) {
            $is{hangs} = 1;
            kill KILL => -$program, $program;
            $deadline += 5;
        }
    }
    waitpid $program, 0;
    @is{qw(status signal)} = (WIFEXITED($?) ? WEXITSTATUS($?) : -1, $? & 127);
    if ($peer) { # it notices by itself that the program has gone
        my $until = time + 5;
        until (waitpid $peer, WNOHANG) {
            kill KILL => $peer if time > $until;
            select undef, undef, undef, 0.001;
        }
    }
    $is{$_} = text("$room/$_") for qw(out err peer trace);
    $is{pid} = $program;
    $is{took} = (POSIX::times())[0] - $begun;
    return \%is;
}

# What was said, without what differs from run to run.
sub plain {
    my ($text, $s) = @_;
    return '' if $s->{title} =~ /^04.* watch/; # which states it sees is a matter of time
    for ($text) {
        s/^(send|receive) buffer \[.*\n//gm if $s->{program} =~ /^09/; # how full: a matter of time
        s/^poll: .*\n//gm, s/after \d+ bytes?/after N bytes/g if $s->{program} =~ /^09/;
        s/port \d+: bytes.*/port/;
        s/\bport \d{4,5}\b/port/g;
        s/:\d{4,5}\b/:PORT/g;
        s/\bpid \d+/pid N/g;
        s/\b\d+ perl\b/N perl/g;
        s/(N perl)(, \1)+/$1/g; # the peers share their sockets
        s/ +/ /g;
        s/, \d+ bytes$/, N bytes/gm if $s->{program} =~ /^12/; # the numbers in a snapshot
        # How many messages the kernel's memory has room for may be one more or fewer.
        s/^(recvfrom|lost): \d+ messages\K.*/ .../gm, s/^(recvfrom|lost): \K\d+/N/gm
            if $s->{title} =~ /^13.* overfill/;
        if ($s->{program} eq '11-crowd') { # how many, how fast: a matter of time
            s/^(talked|rate|latency)\K: .*//gm;
            s/^(cost|memory): .*\n//gm;
        }
    }
    return $text;
}

# ---- What a program does ----

# Runs a scenario under strace. Returns the run, and its calls in the order in which they were made:
# {name, args, n}: it is the n-th call of that name. What the loader and the C library do before
# main() begins is counted, too, and left out: main() of each lesson begins with read_arguments(),
# and this with fcntl(0, F_GETFD).
sub record {
    my ($s) = @_;
    my $is = run($s, qw(strace -D -f -y -s 0 -qq -e signal=none -o), "$room/trace");
    my (%count, @calls, $main);
    for (split /\n/, $is->{trace}) {
        my ($pid, $name, $args) = /^(\d+) +(\w+)\((.*)/ or next;
        next if $pid != $is->{pid};
        $main = 1 if $name eq 'fcntl' && $args =~ /^0\D.*F_GETFD/;
        $count{$name}++;
        push @calls, {name => $name, n => $count{$name}, args => shape($name, $args)} if $main;
    }
    die "$s->{title}: main() was not seen to begin\n$is->{err}$is->{trace}" if !$main;
    return $is, @calls;
}

# What kind of call it is: its arguments without numbers, data and addresses.
sub shape {
    my ($name, $args) = @_;
    my ($family) = $args =~ /sa_family=(AF_\w+)/;
    for ($args) {
        s/\) += .*|<unfinished.*|\)$//;
        s{/\* .*? \*/}{}g;
        s/ ""\.\.\.,// if $name =~ /readlink/; # what it has found, if it has
        s/\b0<[^>]*>/STDIN/, s/\b1<[^>]*>/STDOUT/, s/\b2<[^>]*>/STDERR/;
        s/\b\d+<(socket|pipe):[^>]*>/<$1>/g;
        s/AT_FDCWD<[^>]*>/AT/;
        s/^\[[^\]]*\], 1, (1000|0)$/STDOUT/ if $name eq 'poll'; # of say(): strace -s 0 leaves out which
        s/\d+<([^>]*)>/<$1>/g;
        1 while s/\{[^{}]*\}|\[[^\[\]]*\]//g; # structs, arrays
        s/"[^"]*"(\.\.\.)?//g if $name !~ /open|stat|access|link/;
        s{/\d+/}{//}g;
        s/\b0x\w+|\b\d+\b//g;
        s/\bNULL\b//g if $name ne 'poll';
        s/[ ,]+/ /g;
        s/ $//;
    }
    $args .= " $family" if $family && $name eq 'connect';
    return $args;
}

# Makes the library that stands before the C library: fault.c.
sub library {
    system('cc', '-shared', '-fPIC', '-O1', '-o', "$folder/fault.so", 'tests/slow/Fault/fault.c', '-ldl')
        and die "cc: the library cannot be made\n";
}

# ---- Several at once ----

# Runs a function for each item, in several processes at once; what it returns (text) comes back in
# their order.
sub each_at_once {
    my ($do, @items) = @_;
    my $at_once = 12 * (() = text('/proc/cpuinfo') =~ /^processor/mg || 2);
    pipe my $next, my $work or die;
    # As process 1 of a namespace this one gets all that have lost their parent (strace -D). Nobody asks
    # how they ended, so let none of them stay as a zombie: 04, 10 and 12 look at each process.
    local $SIG{CHLD} = 'IGNORE';
    # The networks of runs that are `alone` get small tables of connections, which are read quickly.
    if (open my $size, '>', '/proc/sys/net/ipv4/tcp_child_ehash_entries') { print $size 1024 }
    my %results;
    my @workers;
    for my $w (0 .. $at_once - 1) {
        pipe my $in, my $answers or die;
        defined(my $pid = fork) or die "fork: $!";
        if ($pid == 0) {
            $SIG{CHLD} = 'DEFAULT';
            close $work;
            $room = "$folder/$w";
            mkdir $room;
            ($port, $step) = ($port + $w, $at_once);
            while (sysread $next, my $n, 4) {
                my $i = unpack 'N', $n;
                my $text = eval { $do->($items[$i]) } // "wrong: $@";
                print $answers pack('NN', $i, length $text), $text;
            }
            close $answers;
            _exit(0);
        }
        close $answers;
        push @workers, [$in, $pid];
    }
    close $next;
    if ((my $feeder = fork) == 0) {
        syswrite $work, pack 'N', $_ for 0 .. $#items;
        _exit(0);
    }
    close $work;
    my %got = map { fileno $_->[0] => '' } @workers;
    while (%got) {
        my $bits = '';
        vec($bits, $_, 1) = 1 for keys %got;
        select $bits, undef, undef, undef;
        for my $worker (@workers) {
            my $fd = fileno $worker->[0];
            next if !exists $got{$fd} || !vec($bits, $fd, 1);
            sysread $worker->[0], $got{$fd}, 65536, length $got{$fd} and next;
            my $all = delete $got{$fd};
            while (length $all) {
                my ($i, $length) = unpack 'NN', $all;
                $results{$i} = substr $all, 8, $length;
                substr $all, 0, 8 + $length, '';
            }
        }
    }
    1 while wait > 0;
    return map { $results{$_} // "wrong: the worker has ended\n" } 0 .. $#items;
}

1;
