# Expected.pm: which errors a call can have, what has to come of each, and whether it has; for
# tests/slow/faults.
use strict;
use warnings;
use Errno;

# ---- Which errors a call can have ----
#
# By its manual page, and tcp(7), ip(7), socket(7). Of those that tell a mistake of the program
# (EBADF, EFAULT, EINVAL, ENOTSOCK), one or two stand for all. Nothing: the call cannot fail, or the
# program has no call of it in its source: it is the C library's way to do something else.

our %errors = (
    socket => 'EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT',
    setsockopt => 'EINVAL ENOPROTOOPT ENOMEM',
    getsockopt => 'EINVAL ENOPROTOOPT ENOBUFS',
    bind => 'EACCES EADDRINUSE EADDRNOTAVAIL EINVAL ENOMEM',
    listen => 'EADDRINUSE EOPNOTSUPP',
    getsockname => 'ENOBUFS ENOTSOCK',
    getpeername => 'ENOBUFS ENOTCONN',
    'accept accept4' => 'ECONNABORTED EHOSTDOWN EHOSTUNREACH EINTR EINVAL EMFILE ENETDOWN
        ENETUNREACH ENFILE ENOBUFS ENOMEM ENONET ENOPROTOOPT EOPNOTSUPP EPERM EPROTO ETIMEDOUT',
    connect => 'EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY ECONNREFUSED
        ECONNRESET EHOSTUNREACH EINTR EISCONN ENETUNREACH ENOBUFS EPERM EPROTOTYPE ETIMEDOUT',
    'sendto sendmsg' => 'EACCES EAGAIN ECONNRESET EHOSTUNREACH EINTR EINVAL EMSGSIZE ENETDOWN
        ENETUNREACH ENOBUFS ENOMEM ENOTCONN EPERM EPIPE ETIMEDOUT',
    'recvfrom recvmsg' => 'EAGAIN ECONNREFUSED ECONNRESET EHOSTUNREACH EINTR EINVAL ENOMEM ENOTCONN
        ETIMEDOUT',
    sendmmsg => 'EAGAIN EINTR ENOBUFS EPERM',
    shutdown => 'EINVAL ENOBUFS ENOTCONN',
    'poll ppoll' => 'EFAULT EINTR EINVAL ENOMEM',
    'epoll_wait epoll_pwait epoll_pwait2' => 'EBADF EFAULT EINTR EINVAL',
    epoll_ctl => 'EEXIST ENOENT ENOMEM ENOSPC EPERM',
    'epoll_create epoll_create1' => 'EINVAL EMFILE ENFILE ENOMEM',
    'signalfd4 timerfd_create eventfd2' => 'EINVAL EMFILE ENFILE ENOMEM',
    'setrlimit getrlimit prlimit64' => 'EINVAL EPERM',
    'read pread64 readv' => 'EAGAIN EBADF EINTR EIO EISDIR',
    'write writev' => 'EAGAIN EBADF EDQUOT EFBIG EINTR EIO ENOSPC EPERM EPIPE',
    close => 'EBADF EIO ENOSPC', # EINTR: not for a socket, nor for a file that is no device
    fcntl => 'EBADF EINVAL EPERM',
    ioctl => 'EBADF EINVAL ENOTTY',
    'open openat' => 'EACCES EINTR ELOOP EMFILE ENFILE ENOENT ENOMEM ENXIO EPERM',
    'stat fstat lstat newfstatat statx access faccessat faccessat2' => 'EACCES EIO ENOENT ENOMEM',
    getdents64 => 'EBADF EINVAL ENOENT ENOTDIR',
    'readlink readlinkat' => 'EACCES EINVAL EIO ENOENT ENOMEM',
    'fork vfork clone clone3' => 'EAGAIN ENOMEM EPERM',
    'wait4 waitid' => 'ECHILD EINTR EINVAL',
    'pipe pipe2' => 'EMFILE ENFILE',
    lseek => 'EBADF EINVAL ESPIPE',
    mremap => 'ENOMEM', # (brk() tells by its result, and not by an error)
    mmap => 'EAGAIN ENFILE ENOMEM EPERM',
    getrandom => 'EAGAIN EINTR ENOSYS',
    'munmap mprotect madvise rt_sigaction rt_sigpending rt_sigprocmask' => 'EINVAL ENOMEM',
    clock_getres => 'EINVAL', # clock_getcpuclockid()
    'brk exit_group exit getpid gettid alarm rt_sigreturn rt_sigpending set_robust_list futex uname restart_syscall
        sched_yield clock_gettime gettimeofday time rseq set_tid_address sysinfo' => '',
);
%errors = map { my $e = $errors{$_}; map { $_ => [split ' ', $e] } split } keys %errors;

# What a message calls it, where the system call has another name than the function.
my %called = (sendto => 'send', sendmsg => 'send', recvfrom => 'recv', recvmsg => 'recv',
    accept4 => 'accept', ppoll => 'poll', openat => 'open|opendir', open => 'open|opendir',
    getdents64 => 'readdir', readlinkat => 'readlink', wait4 => 'waitpid', pipe2 => 'pipe',
    epoll_pwait => 'epoll_wait', prlimit64 => '[gs]etrlimit',
    map({ $_ => 'fork' } qw(clone clone3 vfork)), map({ $_ => 'm?alloc|[cm]alloc|realloc' }
        qw(brk mmap mremap)));

# ---- What has to come of it ----
#
# ends      it says what failed, in one line with the call, its endpoint or descriptor, and the
#           error's name, and ends with status 1
# goes on   nothing is to be noticed: what it and its peer say, and the status, are as undisturbed
# says      it says what failed, and then it goes on, as if undisturbed
# reports   it says what failed, and goes on to the end, without what this call would have done
# loses     a server: one client is lost, it says why, and the others are served to the end
# ends, then loses   the first call, which is for the listener, ends it; the last one, which is for
#           a client, loses that client
# either    it goes on, perhaps knowing less, or it ends: this is the C library's own
# without   it goes on, and does not know something; the rule says why
# shows     it goes on, and what it shows is another answer: the error's name, or what the rule says
# tells     it shows it, or it ends: where one shape of call stands for several
# misses    12: it says why it cannot look at the sockets, and goes on
# never     this call cannot have this error: it is not tried
#
# The first rule that fits is taken; where none does, the program ends. A rule has, beside the
# reason for it: the scenario, the call with its arguments (what they are is shown by --show), and
# the error.

our @rules = (
    # The beginning, and what is the C library's own.
    ['', '^fcntl STDOUT F_GETFD', 'EBADF', 'ends', 'nobody could read it', 'stdout'],
    ['', '^fcntl \S+ F_GETFD', '', 'never', 'EBADF alone; command-line.bats really closes them'],
    ['', '^(munmap|mprotect|madvise|rt_sig)', '', 'never', 'fails only if called in a wrong way'],
    ['', '^(mmap|mremap|getrandom)', '', 'goes on', 'malloc() has more than one way to memory'],
    ['', '^ioctl \S+ TCGETS', '', 'goes on', 'then it is no terminal, as in this run'],
    ['^11-crowd', '^(?!close).*/proc', '^(?!EINTR|EAGAIN)', 'without', 'see below'],
    ['^(?!12)', '^(newfstatat|fstat) </proc>( |$)', '', 'ends', 'opendir() asks', 'opendir /proc'],
    ['^12', '^(newfstatat|fstat) </proc//?(net|sys|comm|environ)', '', 'without', 'the same, where the lines vary'],
    ['', '^(newfstatat|fstat) </proc//?(net|sys|comm)', '', 'goes on', 'fopen() asks for the best size of a buffer'],
    ['01', '^(sendto|recvmsg) ', 'ECONNRE|ENOTCONN', 'never', 'a netlink socket has no peer'],
    ['01', '^(sendto|recvmsg) ', 'EINTR', 'goes on', 'getifaddrs() makes the call again'],
    ['01', '^socket AF_UNIX|^ioctl \S+ SIOCGIFNAME', '', 'without', 'the name behind the % of a link-local address'],
    ['01', '^(socket|bind|getsockname|sendto|recvmsg)', '', 'ends', 'getifaddrs()', 'getifaddrs'],
    ['^05-connect name', '^recvmsg', 'ECONNRE|ENOTCONN', 'never', 'a netlink socket has no peer'],
    ['05', 'AF_UNIX', '', 'goes on', 'getaddrinfo() can do without the daemon nscd'],
    ['05', 'AT "/"', '', 'never', 'the getaddrinfo() of glibc 2.35 does not survive that'],
    ['05', '/etc/|/run/|^lseek|AF_NETLINK', '', 'either', 'so it can without some files',
        'getaddrinfo "localhost"'],

    # EINTR: the call is made again. (strace keeps the kernel from beginning a connect(), so it
    # cannot tell what an interrupted one does, which goes on: that is for `short`.)
    ['', '^connect', 'EINTR', 'never', 'see above'],
    ['', '^open', 'EINTR', 'never', 'only a device or a FIFO can make open() wait'],
    ['', '^read </', 'EINTR|EAGAIN', 'never', 'only a device or a FIFO can make read() wait'],
    ['^07', '^poll STDOUT', '', 'never', 'the same as in 11; here other polls come between, some more or fewer'],
    ['', '.', 'EINTR', 'goes on', 'a signal has come: what was to be done is still to be done'],

    # stdin and stdout may be non-blocking: another program that has them may have made them so.
    ['', '^(read STDIN|write STD)', 'EAGAIN', 'goes on', 'not yet: poll() says when'],
    ['', '^poll STDOUT', '', 'goes on', 'a server asks whether there is room; write() tells why not'],

    # close(): the descriptor is free whatever it returns (close(2)), and a socket tells of no lost
    # bytes by it. Lessons 02 and 06 show the call, and look at it. For the others there is nothing to
    # be tried (and strace would leave the descriptor open).
    ['^0[26]', '^close <socket>', '', 'ends', 'the lesson shows the call'],
    ['', '^close', '', 'never', 'there is nothing that could be done'],
    ['^02', '/proc/', '', 'shows', 'they are only told', 'this kernel does not say'],

    ['^03-bind-twice table', '^(fcntl|getsockopt) <socket>', '', 'ends', 'connect_to() makes them', 'connect \S+'],
    ['^(08|09|10)', '^(fcntl <socket>|getsockopt <socket> SOL_SOCKET SO_ERROR)', '', 'ends',
        'connect_to() makes them; 09 and 10 one more fcntl()', 'connect \S+|fcntl O_NONBLOCK of fd \d+'],
    ['^03-bind-twice table', '^socket AF_INET6', '', 'without', 'a machine may have no IPv6'],
    ['^03-bind-twice table', '^(socket|bind|listen)', '', 'tells', 'the table shows the answers'],

    # Programs come and go while 04 looks, and so do their descriptors.
    ['^04|^10', '^openat AT "/proc/net/(tcp6|udp6?)"', 'ENOENT', 'goes on', 'a kernel without it'],
    ['^04', '^openat AT "/proc//fd"', 'EMFILE|ENFILE|ENOMEM', 'ends', '', 'opendir /proc/\d+/fd'],
    ['^04', '^getdents64', 'ENOENT', 'without', 'the process has ended'],
    ['^04', '^getdents64', '', 'ends', '', 'readdir /proc\S*'],
    ['^04', '^(newfstatat|fstat) </proc//fd>', 'ENOMEM', 'ends', '', 'opendir /proc/\d+/fd'],
    ['^04', '/proc//(fd|comm)|^readlink', '', 'without', 'it has ended, or is not ours to look at'],
    ['^04.* watch', '^ppoll', '', 'without', 'it only lets a moment pass'],
    ['^09|^10', '^poll NULL', '', 'without', 'it only lets a moment pass'],

    # 05 waits for nobody but in poll(). A name can have more than one address.
    ['^05-connect name', '^(?!shutdown)', '', 'ends or says',
        'there may be a second address; and getaddrinfo() makes such calls itself, to sort them'],
    ['^05', '^(recvfrom|sendto)', 'EAGAIN', 'goes on', 'not yet: poll() says when'],
    ['^05', '^shutdown', 'ENOTCONN', 'never', 'recv() tells the reason, which is not there here'],

    # Who is the peer, where the connection is gone? Nobody (common.h).
    ['^08|^10', '^getpeername', 'ENOTCONN', 'never', 'both ends are its own: it knows they are there'],
    ['^0[0-46-9]', '^getpeername', 'ENOTCONN', 'without', 'there is none: see common.h'],

    # 10 shows what send() and recv() say: also an error.
    ['^10', '^(sendto|recvfrom)', 'EAGAIN', 'without', 'not yet'],
    ['^10', '^(sendto|recvfrom)', '', 'tells', 'it is what the lesson shows'],

    # Servers.
    ['^0[36789]|^1', '^accept', 'ECONNABORTED', 'goes on', 'one client has given up'],
    ['^(07|11-ten|12)', '^(fcntl|getsockname) <socket>', '', 'ends, then loses', 'the listener; one client'],
    ['^06', '^sendto', 'EAGAIN', 'goes on', 'wait_for() says when'],
    ['^11-ten', '^epoll_ctl .*_ADD', 'EEXIST', 'never', 'watch() takes it as: _MOD; see pieces'],
    ['^11-ten', '^epoll_ctl .*_ADD', '', 'ends, then loses', 'the listener; one client'],
    ['^11-ten.* full', '^epoll_ctl .*_MOD', '', 'ends', 'that is the listener'],
    ['^11-ten', '^epoll_ctl .*_MOD', '', 'loses', 'that client only'],
    ['^(07|11-ten|12)', '^accept', 'EMFILE|ENFILE|ENOBUFS|ENOMEM', 'says', 'the others are served on'],
    ['^(07|11-ten|12)', '^accept', 'EINVAL|EOPNOTSUPP', 'ends', 'this is no listener'],
    ['^(07|11-ten|12)', '^accept', '', 'goes on', 'this client has gone, others come (accept(2))'],
    ['^(07|11-ten|12)', '^(recvfrom|sendto)', 'EAGAIN', 'goes on', 'not yet: poll() says when'],
    ['^(07|11)-.* quiet', '^(recvfrom|sendto)', '', 'loses, quietly', 'that client only'],
    ['^(07|11-ten|12)', '^(recvfrom|sendto)', '', 'loses', 'that client only'],

    ['^12', '^shutdown', '', 'loses', 'that client only, which has its answer'],
    ['^12', '^openat AT "/proc/net/(tcp|udp)6"', 'ENOENT', 'without', 'a kernel without IPv6'],
    ['^12', '/proc//?net/(fib_trie|if_inet6)|/proc//ns|/comm|environ', '', 'without', 'an address or a name, which it does not know then'],
    ['^12', '^read </proc//net/(tcp|udp)', '', 'misses', '', 'read /proc/net/(tcp|udp)6?'],
    ['^12', '^openat AT "/proc//fd"|^(newfstatat|fstat) </proc//fd>', 'EMFILE|ENFILE|ENOMEM', 'misses', '', 'opendir /proc/\d+/fd'],
    ['^12', '^getdents64 .*/proc//', 'ENOENT', 'without', 'the process has ended'],
    ['^12', '^getdents64', '', 'misses', '', 'readdir /proc\S*'],
    ['^12', '/proc//(fd|comm)|^readlink', '', 'without', 'it has ended, or is not ours to look at'],
    ['^12', '^openat AT "/proc"|^(newfstatat|fstat) </proc>', '', 'misses', '', 'opendir /proc'],
    ['^12', '/proc/net', '', 'misses', '', '(open|read) /proc/net/(tcp|udp)6?'],

    # The crowd.
    ['^11-crowd (talk|moved)', '^connect', 'EADDRNOTAVAIL', 'shows', 'others come from 127.0.0.2',
        'ports: after \d+ clients? no ephemeral port is left'],
    ['^11-crowd', '^(recvfrom|sendto)', 'EAGAIN', 'goes on', 'not yet: epoll_wait() says when'],
    ['^11-crowd', '^getdents64|^readlink|^clock', '', 'without', 'it only tells what the server takes'],

    # Datagrams: one may be lost, whatever the reason, and the next one arrives.
    ['^13.* overfill', '^recvfrom', 'EAGAIN', 'without', 'no more is there'],
    ['^13', '^(recvfrom|sendto)', 'EAGAIN', 'goes on', 'not yet: poll() says when'],
    ['^13.* (receiver|six)', '^sendto', '', 'reports', 'it is the matter of this sender'],
    ['^13.* (sender|connected)', '^(recvfrom|sendto)', 'ECONNREFUSED|EHOSTUN|ENETUN|EMSGSIZE|ENOBUFS',
        'reports', 'it is about one datagram'],
    ['^13', '^recvfrom', '', 'ends', '', 'recvfrom (on )?\S+'],
    ['^13', '^sendto', '', 'ends', '', 'sendto \S+'],
    ['^13', '^(newfstatat|fstat) <socket>', '', 'ends', '', 'fstat of fd \d+'],
    ['^13', '^openat AT "/proc/net/udp6?"', 'ENOENT', 'without', 'a kernel without it'],

    ['^09-buffers writer', '^sendto', 'EAGAIN', 'without', 'the buffer is full'],
    ['^09-buffers reader', '^recvfrom', 'EAGAIN', 'shows', '', 'nothing there'],
);

# ---- What has come of it ----

# What is wrong with a run in which that call failed with that error? Nothing: undef.
sub wrong {
    my ($case, $is) = @_;
    my ($s, $name, $error) = @$case{qw(scenario name error)};
    my $usual = $s->{usual};
    return 'it hangs' if $is->{hangs};
    return "killed by signal $is->{signal}" if $is->{signal};
    return 'it says "Success"' if "$is->{out}$is->{err}" =~ /Success/;
    my ($injected) = $is->{trace} =~ /^\d+ +\w+\((.*)\(INJECTED\)/m;
    return 'the call was not reached'
        if !defined $injected || shape($name, $injected) ne $case->{args};

    my $text = do { local $! = Errno->can($error)->(); "$!" };
    my $failed = qr/: \Q$text\E \($error\)/;
    $failed = qr/: .* \((?:EAI_\w+|E\w+|see man getaddrinfo)\)/ if ($case->{says} // '') =~ /getaddr/;
    my $about = qr/^\Q$s->{program}\E: /;
    my @complaints = grep { /$about/ } split /\n/, $is->{err};
    my @before = grep { /$about/ } split /\n/, $usual->{err};
    my $function = $called{$name} // $name;
    my $endpoint = qr/(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\]):\d+/;
    my $expected = $case->{says} ? qr/$case->{says}/
        : $name =~ /^(bind|listen|connect|accept|send|recv)/ ? qr/($function)( \S+)* $endpoint\b.*/
        : $case->{args} =~ /^STDIN/ ? qr/($function) stdin/
        : $case->{args} =~ /^STD(OUT|ERR)/ ? qr/($function) to std(out|err)/
        : $case->{args} =~ /^<(socket|pipe)>/ && $name ne 'poll' ? qr/($function)\b.* fd \d+/
        : $name =~ /open|read|getdents/ ? qr{($function) /\S+} : qr/($function)\b.*/;

    # "ends": one complaint more than usual, or instead of the usual ones.
    my $ends = sub {
        return "status $is->{status}, not 1" if $is->{status} != 1;
        my @new = grep { /$failed$/ } @complaints;
        return 'it does not say what failed' if !@complaints;
        return "it does not say $error" if !@new;
        return 'it says more than that' if @new > 1 || @complaints > @before + 1;
        return "it does not say \"$expected\"" if $new[0] !~ /$about$expected$failed$/;
        return;
    };
    my $goes_on = sub {
        return "status $is->{status}, not $usual->{status}" if $is->{status} != $usual->{status};
        for my $what ('out', 'peer', $_[0] ? () : 'err') {
            my ($now, $then) = map { plain($_->{$what}, $s) } $is, $usual;
            return "what it says ($what) is not as usual:\n$then" if $now ne $then;
        }
        return;
    };
    my $says = sub { # in one line, and what that means for the clients in another
        my $meaning = grep { /${about}out of (descriptors|memory): new clients wait/ } @complaints;
        return $goes_on->('says') // (@complaints == @before + 1 + ($meaning > 0)
            && grep({ /$failed/ } @complaints) ? undef : 'it does not say what failed');
    };
    my $reports = sub {
        return "status $is->{status}, not $usual->{status}" if $is->{status} != $usual->{status};
        return @complaints == @before + 1 && grep({ /$failed/ } @complaints) ? undef
            : 'it does not say what failed';
    };
    my $loses = sub {
        my $served = () = $is->{peer} =~ /^served$/mg;
        return "status $is->{status}, not 0" if $is->{status} != 0;
        my $of = () = $usual->{peer} =~ /^served$/mg;
        return "served: $served of $of" if $served < $of - 1;
        my $why = () = "$is->{out}$is->{err}" =~ /$endpoint.*$failed/g;
        return "$why times it says $error" if $why != ($case->{expected} =~ /quietly/ ? 0 : 1);
        return;
    };
    my $shows = sub {
        return "status $is->{status}, not $usual->{status}" if $is->{status} != $usual->{status};
        my $what = $case->{says} ? qr/$case->{says}/ : qr/\b$error\b/;
        my ($now, $then) = map { scalar(() = $_->{out} =~ /$what/g) } $is, $usual;
        return "it does not show \"$what\"" if $now <= $then || @complaints > @before;
        return;
    };
    my $misses = sub {
        return "status $is->{status}, not 0" if $is->{status} != 0;
        return grep({ /$about$expected$failed$/ } @complaints) == 1 ? undef : 'it does not say once what failed';
    };
    my $without = $is->{status} == 0 && @complaints == @before ? undef : 'it ends';
    for ($case->{expected}) {
        return $goes_on->() if /^goes on/;
        return $loses->() if /^loses/;
        return $reports->() if /^reports/;
        return $ends->() && $without if /^either/;
        return $shows->() && $ends->() if /^tells/;
        return $shows->() if /^shows/;
        return $without if /^without/;
        return $says->() && $ends->() && $without if /^ends or says/;
        return $says->() if /^says/;
        return $misses->() if /^misses/;
        return $ends->();
    }
}

1;
