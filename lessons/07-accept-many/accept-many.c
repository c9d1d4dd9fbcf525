/* 07-accept-many: how does one server talk to many clients at once?
 *
 * Run:       bin/07-accept-many       in one terminal
 *            bin/05-connect           in as many others as you like, and type
 * Look for:  one more socket for each client, and still one port. Only arrivals and departures are
 *            told: what a client sends, it gets back, without a word.
 *
 * One process, one thread: it never waits for one client, only for whoever is ready first. */
#define _GNU_SOURCE /* for ppoll(), which is in POSIX since 2024 */
#include "common.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What we keep of a client. Bytes are kept only for one that does not read its answers. */
struct client {
    struct endpoint peer;
    char *unsent; /* NULL: nothing is owed to this client */
    size_t begin, end;
};

/* polled[0] is the listener; polled[i] and clients[i] are a client, for 1 <= i < count. */
static struct pollfd *polled;
static struct client *clients;
static size_t count, room;
static bool quiet, out_of_descriptors;

static void accept_waiting(const char *where);
static void serve(size_t i);
static void leave(size_t i, int error);
static bool make_room(void);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--quiet"}, {.name = NULL}};
    const char *where =
        read_arguments(argc, argv,
                       "Serves any number of clients, by sending back what it receives.\n"
                       "--quiet: tell nothing of clients.",
                       options, "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    quiet = options[0].given;
    catch_stop_signals();

    /* 1. A listener, as in lesson 06. INT_MAX asks for the longest queue that the kernel allows,
     *    net.core.somaxconn: clients that come in a burst wait there until we get to them. */
    int listener = open_listener(&at, INT_MAX);
    at = local_endpoint(listener);
    struct text name = endpoint_text(&at);

    /*    Non-blocking: accept() is never to wait. poll() may have seen a client that has gone
     * since. */
    if (!set_nonblocking(listener))
        die("fcntl O_NONBLOCK of fd %d", listener);
    if (!make_room())
        die("malloc");
    polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    count = 1;
    say("listen: fd %d is %s, waiting for clients\n", listener, name.s);

    /*    From here on nothing that happens to one client, and nobody who does not read what we say,
     *    stops us. */
    log_waits = false;

    while (!stop_requested) {
        /* 2. Wait, for all sockets at once. Out of descriptors, we do not ask for the listener
         *    (or poll() would return at once, again and again), but look when another socket
         *    is ready, and after a second. */
        polled[0].events = out_of_descriptors ? 0 : POLLIN;
        struct timespec second = {.tv_sec = 1};
        int ready =
            ppoll(polled, (nfds_t)count, out_of_descriptors ? &second : NULL, while_waiting);
        if (ready < 0 && errno != EINTR)
            die("poll");

        /* 3. Serve those who are ready; from the end, since leave() moves the last one. */
        bool arrivals = ready >= 0 && (out_of_descriptors || polled[0].revents != 0);
        for (size_t i = count; --i > 0 && ready > 0;) {
            if (polled[i].revents == 0)
                continue;
            ready--;
            serve(i);
        }

        /* 4. Then let in who is waiting. */
        if (arrivals)
            accept_waiting(name.s);
    }

    while (count > 1)
        leave(count - 1, 0);
    free(polled);
    free(clients);
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
static void accept_waiting(const char *where)
{
    for (int i = 0; i < 64; i++) {
        struct endpoint peer = {.length = 0};
        socklen_t length = sizeof peer.in6;
        int fd = accept(polled[0].fd, &peer.sa, &length);
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
        if (!set_nonblocking(fd) || !make_room() ||
            (!quiet && getsockname(fd, &local.sa, &local.length) < 0)) {
            complain(errno, "client %s turned away", endpoint_text(&peer).s);
            close(fd);
            continue;
        }
        polled[count] = (struct pollfd){.fd = fd, .events = POLLIN};
        clients[count] = (struct client){.peer = peer};
        count++;
        if (!quiet) {
            say("accept: fd %d is %s, the client is %s", fd, endpoint_text(&local).s,
                endpoint_text(&peer).s);
            say_counts();
        }
    }
}

/* Client i is ready: it has sent something, it reads again, it has finished, or it has gone. */
static void serve(size_t i)
{
    static char heard[16384];
    struct client *client = &clients[i];
    int fd = polled[i].fd;

    /* 5. Something is still owed to this client. Until it has read that, we hear nothing new from
     *    it: so at most sizeof heard bytes are kept, and then the client's own send() waits. */
    if (client->unsent != NULL) {
        ssize_t n =
            send(fd, client->unsent + client->begin, client->end - client->begin, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            leave(i, errno);
        } else if (n > 0 && (client->begin += (size_t)n) == client->end) {
            free(client->unsent);
            client->unsent = NULL;
            polled[i].events = POLLIN;
        }
        return;
    }

    /* 6. What has it sent? A reset is the end of one client, not of the server. 0 bytes: it has
     *    finished, and all that we owed it is sent. */
    ssize_t n = recv(fd, heard, sizeof heard, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        leave(i, n < 0 ? errno : 0);
        return;
    }

    /* 7. Say it back. Where the client does not read, the kernel's buffer is full: send() takes a
     *    part, or nothing (EAGAIN). Keep the rest; poll() tells when there is room again. */
    ssize_t sent = send(fd, heard, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        leave(i, errno);
        return;
    }
    if (sent < 0)
        sent = 0;
    if (sent < n) {
        client->begin = 0;
        client->end = (size_t)(n - sent);
        client->unsent = malloc(client->end);
        if (client->unsent == NULL) {
            leave(i, ENOMEM);
            return;
        }
        memcpy(client->unsent, heard + sent, client->end);
        polled[i].events = POLLOUT;
    }
}

/* Takes leave of client i; its place goes to the last one. `error` is 0 or says why it has gone. */
static void leave(size_t i, int error)
{
    int fd = polled[i].fd;
    struct text peer = endpoint_text(&clients[i].peer);
    free(clients[i].unsent);
    close(fd);
    count--;
    polled[i] = polled[count];
    clients[i] = clients[count];
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

/* Makes room for one more in both arrays. Returns false, with errno, when there is no memory. */
static bool make_room(void)
{
    if (count < room)
        return true;
    size_t more = room == 0 ? 16 : 2 * room;
    struct pollfd *p = realloc(polled, more * sizeof *p);
    if (p == NULL)
        return false;
    polled = p;
    struct client *c = realloc(clients, more * sizeof *c);
    if (c == NULL)
        return false;
    clients = c;
    room = more;
    return true;
}
