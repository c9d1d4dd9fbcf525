/* 11-exercise: the chat of lesson 07, for ten thousand clients.
 *
 * Run:       bin/11-exercise          in one terminal
 *            bin/05-connect           in as many others as you like, and type
 *
 * A client that does not read has to leave, so the server never keeps bytes for a client.
 *
 * epoll exists only on Linux. */
#define _DEFAULT_SOURCE /* for all of <sys/epoll.h> */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MOST = 20000 };

/* in_chat[fd]: is this descriptor a client? All clients are below `end`. No client keeps a
 * descriptor of `most` or more. So one descriptor is always free, to accept one client too many and
 * turn it away. */
static bool in_chat[MOST];
static int most, end;

static int epoll; /* the kernel's list of the sockets that we wait for */

static bool watch(int fd);
static int wait_for_ready(int ready[], int room);
static void let_in(int listener);
static void hear(int from);
static void leave(int fd);

int main(int argc, char **argv)
{
    struct endpoint at = parse_endpoint(
        read_arguments(argc, argv, "A chat for ten thousand: what one sends, all the others get.",
                       NULL, "HOST:PORT"));
    catch_stop_signals();
    log_waits = false; /* a server does not wait until somebody reads what it prints */

    /* As many descriptors as this process may have, as in ten-thousand.c. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit RLIMIT_NOFILE");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("setrlimit RLIMIT_NOFILE");
    most = limit.rlim_cur > MOST ? MOST : (int)limit.rlim_cur - 1;

    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll_create1");
    int listener = open_listener(&at, SOMAXCONN);
    if (!set_nonblocking(listener))
        die("fcntl O_NONBLOCK of fd %d", listener);
    if (!watch(listener))
        die("epoll_ctl of fd %d", listener);
    at = local_endpoint(listener); /* the kernel chooses the port if it is 0 */
    say("listen: fd %d is %s\n", listener, endpoint_text(&at).s);

    while (!stop_requested()) {
        int ready[256], count = wait_for_ready(ready, 256);
        bool arrivals = false;
        for (int i = 0; i < count; i++) {
            if (ready[i] == listener)
                arrivals = true;
            else if (in_chat[ready[i]]) /* it may have had to leave a moment ago */
                hear(ready[i]);
        }
        /* Last: a new client may get the descriptor of one that has just left. */
        if (arrivals)
            let_in(listener);
    }
    for (int fd = 0; fd < end; fd++)
        if (in_chat[fd])
            leave(fd);
    close(listener);
    close(epoll);
    return 0;
}

/* From now on epoll reports when there is something to receive or to accept on this socket. Returns
 * false, with errno, if that fails. */
static bool watch(int fd)
{
    /* Level-triggered (no EPOLLET): epoll reports again what hear() leaves unread. */
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Waits until sockets are ready, and puts their descriptors into ready[0..room-1]. Returns how many
 * there are, or 0 if a signal has interrupted the wait. (Wait with epoll_pwait() and
 * `while_waiting`, so that ^C can interrupt it.) */
static int wait_for_ready(int ready[], int room)
{
    struct epoll_event events[256];
    int count = epoll_pwait(epoll, events, room < 256 ? room : 256, -1, while_waiting);
    if (count < 0 && errno != EINTR)
        die("epoll_wait");
    for (int i = 0; i < count; i++)
        ready[i] = events[i].data.fd;
    return count > 0 ? count : 0;
}

/* Connections are pending: accept all of them, and watch their sockets. Turn away a client whose
 * descriptor is `most` or more. Note which clients are in the chat: in_chat[fd], `end`. */
static void let_in(int listener)
{
    int fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        if (fd >= most || !set_nonblocking(fd) || !watch(fd)) {
            close(fd);
            continue;
        }
        in_chat[fd] = true;
        if (fd >= end)
            end = fd + 1;
    }
    /* The whole machine has no descriptor, or no memory, for one more: epoll will report the
     * listener again at once. Let a moment pass, or we would keep a processor busy. */
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        poll(NULL, 0, 100);
}

/* This client is ready: receive what it has sent, and send that to all the others. Call leave() for
 * a client that has finished, that has gone, or that does not read. */
static void hear(int from)
{
    static char heard[16384];
    ssize_t n = recv(from, heard, sizeof heard, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        leave(from);
        return;
    }
    for (int to = 0; to < end; to++)
        if (in_chat[to] && to != from && send(to, heard, (size_t)n, MSG_NOSIGNAL) != n)
            leave(to); /* it has gone, or its buffers are full */
}

/* This client is no longer in the chat. epoll forgets a socket that is closed. */
static void leave(int fd)
{
    in_chat[fd] = false;
    close(fd);
}
