/* 07-exercise: a chat. What one client sends, all the others get.
 *
 * Run:       bin/07-exercise          in one terminal
 *            bin/05-connect           in as many others as you like, and type
 *
 * A client that does not read has to leave: it must not block the others. */
#define _GNU_SOURCE /* for ppoll(), which is in POSIX since 2024 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum { MOST = 1000 }; /* the listener and 999 clients */

/* polled[0] is the listener; polled[i] is a client, for 1 <= i < count. */
static struct pollfd polled[MOST];
static bool leaving[MOST];
static size_t count;

static void let_in(void);
static void hear(size_t from);
static void leave(size_t i);
static void close_those_who_leave(void);

int main(int argc, char **argv)
{
    struct endpoint at = parse_endpoint(read_arguments(
        argc, argv, "A chat: what one client sends, all the others get.", NULL, "HOST:PORT"));
    catch_stop_signals();
    log_waits = false; /* a server does not wait until somebody reads what it prints */
    int listener = open_listener(&at, SOMAXCONN);
    if (!set_nonblocking(listener))
        die("fcntl O_NONBLOCK of fd %d", listener);
    polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    count = 1;
    at = local_endpoint(listener); /* the kernel chooses the port if it is 0 */
    say("listen: fd %d is %s\n", listener, endpoint_text(&at).s);

    while (!stop_requested()) {
        /* If let_in() has set this to 0, poll() does not wait for the listener. Then we try again
         * after a second, or when a client is ready. */
        bool full = polled[0].events == 0;
        struct timespec second = {.tv_sec = 1};
        int ready = ppoll(polled, (nfds_t)count, full ? &second : NULL, while_waiting);
        polled[0].events = POLLIN;
        if (ready < 0) {
            if (errno != EINTR)
                die("poll");
            continue;
        }
        for (size_t i = 1; i < count; i++)
            if (polled[i].revents != 0 && !leaving[i])
                hear(i);
        if (polled[0].revents != 0 || full)
            let_in();
        close_those_who_leave();
    }
    for (size_t i = 0; i < count; i++)
        close(polled[i].fd);
    return 0;
}

/* A connection is pending (or was, and the client has gone since): accept it, and put the client
 * into polled[count]. If there is no place left, turn it away: close its socket. When the program
 * is out of descriptors (EMFILE), accept() fails, and the client goes on waiting. Then set
 * polled[0].events to 0, or poll() would return at once, again and again. */
static void let_in(void)
{
    int fd = accept(polled[0].fd, NULL, NULL);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            polled[0].events = 0; /* no descriptor, or no memory: it stays pending */
        return;                   /* otherwise it has gone */
    }
    if (count == MOST || !set_nonblocking(fd)) {
        close(fd);
        return;
    }
    polled[count] = (struct pollfd){.fd = fd, .events = POLLIN};
    leaving[count] = false;
    count++;
    say("accept: fd %d, %zu in the chat\n", fd, count - 1);
}

/* Client `from` is ready: receive what it has sent, and send that to all the others. Call leave()
 * for a client that has finished, that has gone, or that does not read. */
static void hear(size_t from)
{
    static char heard[16384];
    ssize_t n = recv(polled[from].fd, heard, sizeof heard, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* finished, or gone */
        leave(from);
        return;
    }

    /* The sockets are non-blocking: if a client does not read and its buffers are full, send()
     * takes a part, or nothing. Going on with the next message would leave a gap in what it gets,
     * so it has to leave. */
    for (size_t to = 1; to < count; to++)
        if (to != from && !leaving[to] && send(polled[to].fd, heard, (size_t)n, MSG_NOSIGNAL) != n)
            leave(to);
}

/* From now on client i does not belong to the chat. Its socket is closed, and its place used again,
 * only after all clients that were ready have been served: until then the numbers do not change. */
static void leave(size_t i)
{
    leaving[i] = true;
}

static void close_those_who_leave(void)
{
    for (size_t i = count; --i > 0;) {
        if (!leaving[i])
            continue;
        int fd = polled[i].fd;
        close(fd);
        count--;
        polled[i] = polled[count];
        leaving[i] = leaving[count];
        leaving[count] = false;
        say("close: fd %d, %zu in the chat\n", fd, count - 1);
    }
}
