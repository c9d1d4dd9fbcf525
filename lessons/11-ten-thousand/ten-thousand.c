/* 11-ten-thousand: how many clients can one server bear, and what does each cost?
 *
 * Run:       bin/11-ten-thousand --quiet                        in one terminal
 *            bin/11-crowd --clients 10000 --active 50           in another
 * Look for:  the same with bin/07-accept-many in its place. `make bench` draws the difference.
 *
 * This is the server of lesson 07, with epoll in the place of poll: `diff` shows what that takes.
 * epoll is Linux alone; SO_REUSEPORT is not POSIX. */
#define _DEFAULT_SOURCE /* for SO_REUSEPORT */
#include "common.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

/* What we keep of a client. Bytes are kept only for one that does not read its answers. */
struct client {
    struct endpoint peer;
    char *unsent; /* NULL: nothing is owed to this client */
    size_t begin, end;
};

/* clients[fd] is the client of that descriptor; where there is none, its peer is none. (epoll gives
 * us the descriptor of who is ready: so there is nothing to search.) */
static int epoll;
static struct client *clients;
static size_t count, room; /* count: the listener and the clients */
static bool quiet, out_of_descriptors;

static void accept_waiting(int listener, const char *where);
static void serve(int fd);
static void leave(int fd, int error);
static bool make_room(size_t fd);
static void raise_limit(void);
static int open_shared_listener(const struct endpoint *at, int backlog);
static bool watch(int fd, uint32_t events, int how);

int main(int argc, char **argv)
{
    struct command_option options[] = {
        {.name = "--quiet"}, {.name = "--share-port"}, {.name = NULL}};
    const char *where =
        read_arguments(argc, argv,
                       "Serves any number of clients, by sending back what it receives.\n"
                       "--quiet: tell nothing of clients.\n"
                       "--share-port: others that say so, too, may listen at the same endpoint.",
                       options, "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    quiet = options[0].given;
    catch_stop_signals();
    raise_limit();

    /* 1. A listener, as in lesson 06. INT_MAX asks for the longest queue that the kernel allows,
     *    net.core.somaxconn: clients that come in a burst wait there until we get to them. */
    int listener =
        options[1].given ? open_shared_listener(&at, INT_MAX) : open_listener(&at, INT_MAX);
    at = local_endpoint(listener);
    struct text name = endpoint_text(&at);

    /*    Non-blocking: accept() is never to wait. epoll may have seen a client that has gone
     * since. */
    if (!set_nonblocking(listener))
        die("fcntl O_NONBLOCK of fd %d", listener);
    /*    The kernel keeps the list of the sockets that we wait for: we tell it once of each. */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll_create1");
    if (!watch(listener, EPOLLIN, EPOLL_CTL_ADD))
        die("epoll_ctl of fd %d", listener);
    count = 1;
    say("listen: fd %d is %s, waiting for clients\n", listener, name.s);

    /*    From here on nothing that happens to one client, and nobody who does not read what we say,
     *    stops us. */
    log_waits = false;

    bool asked = true; /* for the listener */
    while (!stop_requested) {
        /* 2. Wait, for all sockets at once. Out of descriptors, we do not ask for the listener
         *    (or epoll_wait() would return at once, again and again), but look when another socket
         *    is ready, and after a second. */
        struct epoll_event events[256];
        if (asked == out_of_descriptors) {
            asked = !out_of_descriptors;
            if (!watch(listener, asked ? EPOLLIN : 0, EPOLL_CTL_MOD))
                die("epoll_ctl of fd %d", listener);
        }
        int ready = epoll_pwait(epoll, events, 256, out_of_descriptors ? 1000 : -1, while_waiting);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");

        /* 3. Serve those who are ready: we get them, and nobody else, to look at. (Were there more
         *    than 256, the others come with the next epoll_wait(), before these come again.) */
        bool arrivals = ready >= 0 && out_of_descriptors;
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                arrivals = true;
            else
                serve(events[i].data.fd);
        }

        /* 4. Then let in who is waiting. (Not before: a descriptor of one who has just left would
         *    be somebody else's, while it still stands in `events`.) */
        if (arrivals)
            accept_waiting(listener, name.s);
    }

    for (size_t fd = 0; fd < room; fd++)
        if (clients[fd].peer.length > 0)
            leave((int)fd, 0);
    free(clients);
    close(epoll);
    if (close(listener) < 0)
        die("close fd %d", listener);
    say("close: fd %d, the listener\n", listener);
    return 0;
}

/* Says how many there are. All the sockets of this server share one port. */
static void say_counts(void)
{
    size_t n = count - 1;
    say(" (%zu client%s, %zu socket%s, 1 port)\n", n, n == 1 ? "" : "s", count,
        count == 1 ? "" : "s");
}

/* Accepts those who wait; not more than 64 in a row, for the others want to be served as well. */
static void accept_waiting(int listener, const char *where)
{
    for (int i = 0; i < 64; i++) {
        struct endpoint peer = {.length = 0};
        socklen_t length = sizeof peer.in6;
        int fd = accept(listener, &peer.sa, &length);
        peer.length = length;
        if (fd < 0) {
            switch (errno) {
            case EAGAIN: /* nobody waits any more */
                out_of_descriptors = false;
                return;
            case EINTR:
                return;
            case EMFILE: /* this process has as many descriptors as it may have, */
            case ENFILE: /* the whole machine has, */
            case ENOBUFS:
            case ENOMEM: /* or the kernel has no memory. Who waits, waits on, connected, in the
                          * queue. Say it once, and go on with those we have. */
                if (!out_of_descriptors)
                    complain(errno, "accept on %s: others wait until a client leaves", where);
                out_of_descriptors = true;
                return;
            case EBADF:
            case EINVAL:
            case ENOTSOCK:
            case EOPNOTSUPP:
            case EFAULT:
                die("accept on %s", where);
            default: /* ECONNABORTED and the like: this one has gone while it waited. Next! */
                continue;
            }
        }
        struct endpoint local = {.length = sizeof local.in6};
        if (!set_nonblocking(fd) || !make_room((size_t)fd) ||
            (!quiet && getsockname(fd, &local.sa, &local.length) < 0) ||
            !watch(fd, EPOLLIN, EPOLL_CTL_ADD)) {
            complain(errno, "client %s turned away", endpoint_text(&peer).s);
            close(fd);
            continue;
        }
        clients[fd] = (struct client){.peer = peer};
        count++;
        if (!quiet) {
            say("accept: fd %d is %s, the client is %s", fd, endpoint_text(&local).s,
                endpoint_text(&peer).s);
            say_counts();
        }
    }
}

/* Client fd is ready: it has sent something, it reads again, it has finished, or it has gone. */
static void serve(int fd)
{
    static char heard[16384];
    struct client *client = &clients[fd];

    /* 5. Something is still owed to this client. Until it has read that, we hear nothing new from
     *    it: so at most sizeof heard bytes are kept, and then the client's own send() waits. */
    if (client->unsent != NULL) {
        ssize_t n =
            send(fd, client->unsent + client->begin, client->end - client->begin, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            leave(fd, errno);
        } else if (n > 0 && (client->begin += (size_t)n) == client->end) {
            free(client->unsent);
            client->unsent = NULL;
            if (!watch(fd, EPOLLIN, EPOLL_CTL_MOD))
                leave(fd, errno);
        }
        return;
    }

    /* 6. What has it sent? A reset is the end of one client, not of the server. 0 bytes: it has
     *    finished, and all that we owed it is sent. */
    ssize_t n = recv(fd, heard, sizeof heard, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        leave(fd, n < 0 ? errno : 0);
        return;
    }

    /* 7. Say it back. Where the client does not read, the kernel's buffer is full: send() takes a
     *    part, or nothing (EAGAIN). Keep the rest; epoll tells when there is room again. */
    ssize_t sent = send(fd, heard, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        leave(fd, errno);
        return;
    }
    if (sent < 0)
        sent = 0;
    if (sent < n) {
        client->begin = 0;
        client->end = (size_t)(n - sent);
        client->unsent = malloc(client->end);
        if (client->unsent == NULL) {
            leave(fd, ENOMEM);
            return;
        }
        memcpy(client->unsent, heard + sent, client->end);
        if (!watch(fd, EPOLLOUT, EPOLL_CTL_MOD))
            leave(fd, errno);
    }
}

/* Takes leave of client fd; epoll forgets what is closed. `error` is 0 or says why it has gone. */
static void leave(int fd, int error)
{
    struct text peer = endpoint_text(&clients[fd].peer);
    free(clients[fd].unsent);
    close(fd);
    count--;
    clients[fd] = (struct client){.peer.length = 0};
    if (quiet)
        return;
    if (error == 0)
        say("close: fd %d, the client %s has %s", fd, peer.s,
            stop_requested ? "to go" : "finished");
    else
        say("close: fd %d, the client %s has gone: %s (%s)", fd, peer.s, strerror(error),
            errno_name(error).s);
    say_counts();
}

/* Makes room for clients[fd]. Returns false, with errno, when there is no memory. */
static bool make_room(size_t fd)
{
    if (fd < room)
        return true;
    size_t more = fd + 256;
    struct client *c = realloc(clients, more * sizeof *c);
    if (c == NULL)
        return false;
    clients = c;
    memset(clients + room, 0, (more - room) * sizeof *c);
    room = more;
    return true;
}

/* open_listener(), with SO_REUSEPORT: the kernel deals out the clients among all who listen there
 * (lesson 03). */
static int open_shared_listener(const struct endpoint *at, int backlog)
{
    struct text where = endpoint_text(at);
    int on = 1, fd = socket(at->sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket for %s", where.s);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        die("setsockopt SO_REUSEADDR of fd %d", fd);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
        die("setsockopt SO_REUSEPORT of fd %d", fd);
    if (bind(fd, &at->sa, at->length) < 0)
        die("bind %s", where.s);
    if (listen(fd, backlog) < 0)
        die("listen %s", where.s);
    return fd;
}

/* A client is a descriptor. A process may have so many (the soft limit), mostly 1024, and may
 * allow itself more (up to the hard limit). */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit RLIMIT_NOFILE");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("setrlimit RLIMIT_NOFILE");
    say("limit: %llu descriptors\n", (unsigned long long)limit.rlim_cur);
}

/* Asks epoll to tell of these events of fd, from now on (EPOLL_CTL_ADD), or instead of those it
 * tells of so far (EPOLL_CTL_MOD). Returns false, with errno, where that fails. */
static bool watch(int fd, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(epoll, how, fd, &event) == 0;
}
