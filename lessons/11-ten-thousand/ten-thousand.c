/* 11-ten-thousand: how many clients can one server handle, and what does each cost?
 *
 * Run:       bin/11-ten-thousand --quiet                        in one terminal
 *            bin/11-crowd --clients 10000 --active 50           in another
 * Look for:  the same with bin/07-accept-many in its place. `make bench` draws the difference.
 *
 * This is the server of lesson 07, with epoll in place of poll(). epoll exists only on Linux. */
#include "common.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

/* What a socket is watched for: something to receive or to accept, or room to send. */
enum { NOTHING = 0, INPUT = EPOLLIN, OUTPUT = EPOLLOUT };

/* What the server keeps of a client. */
struct client {
    struct endpoint peer;    /* its length is 0 where no client has this descriptor */
    char *out;               /* pending output, for a client that does not read; or NULL */
    size_t out_pos, out_len; /* out[out_pos] is the next byte to send, out_len is the end */
};

static struct server {
    int listener;
    int epoll_fd;           /* the kernel keeps the list of the sockets that are watched */
    struct client *clients; /* clients[fd] is the client of that descriptor */
    int room;               /* for that many descriptors */
    size_t client_count;
    bool quiet, out_of_descriptors;
} server;

static void run(const char *where);
static void watch_listener(bool on);
static bool watch(int fd, unsigned events);
static bool make_room(int fd);
static void accept_pending(const char *where);
static void serve(int fd);
static void drop_client(int fd, int error);

/* A client takes a descriptor. A process may have only a limited number (the soft limit), usually
 * 1024, and may allow itself more (up to the hard limit). */
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

int main(int argc, char **argv)
{
    struct command_option options[] = {
        {.name = "--quiet"},
        {.name = "--share-port"},
        {.name = NULL},
    };
    const char *where =
        read_arguments(argc, argv,
                       "Serves any number of clients, by sending back what it receives.\n"
                       "--share-port: others with this option may listen at the same endpoint.\n"
                       "--quiet: print nothing about clients.",
                       options, "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    server.quiet = options[0].given;
    catch_stop_signals();
    raise_limit();

    /* 1. A listener, as in lesson 06. INT_MAX asks for the longest backlog that the kernel allows,
     *    net.core.somaxconn: clients that come in a burst wait there until they are accepted. */
    server.listener =
        options[1].given ? open_shared_listener(&at, INT_MAX) : open_listener(&at, INT_MAX);
    at = local_endpoint(server.listener);
    struct text name = endpoint_text(&at);

    /*    Non-blocking: accept() must not wait, even if the client that was pending has gone. */
    if (!set_nonblocking(server.listener))
        die("fcntl O_NONBLOCK of fd %d", server.listener);
    if (!make_room(server.listener))
        die("malloc");
    server.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server.epoll_fd < 0)
        die("epoll_create1");
    watch_listener(true);
    say("listen: fd %d is %s, waiting for clients\n", server.listener, name.s);

    /*    From here on the failure of one client does not end the server, and a terminal or pipe
     *    that takes no more lines does not stop it. */
    log_waits = false;
    run(name.s);

    for (int fd = 0; fd < server.room; fd++)
        if (server.clients[fd].peer.length > 0)
            drop_client(fd, 0);
    free(server.clients);
    close(server.epoll_fd);
    if (close(server.listener) < 0)
        die("close fd %d", server.listener);
    say("close: fd %d, the listener\n", server.listener);
    return 0;
}

/* Serves clients until the user ends the server. */
static void run(const char *where)
{
    while (!stop_requested()) {
        /* 2. Wait for all sockets at once. When the server is out of descriptors, this does
         *    not include the listener; then accept() is tried again when another socket is ready,
         *    or after a second. */
        struct epoll_event events[256];
        int ready = epoll_pwait(server.epoll_fd, events, 256, server.out_of_descriptors ? 1000 : -1,
                                while_waiting);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");

        /* 3. Serve the clients that are ready. */
        bool pending = ready >= 0 && server.out_of_descriptors;
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == server.listener)
                pending = true;
            else
                serve(fd);
        }

        /* 4. Accept new ones. (Last: they may get the descriptors of clients dropped above.) */
        if (pending)
            accept_pending(where);
    }
}

/* Watches the listener, or, when the server is out of descriptors, ignores it: it would be ready
 * all the time, accept() would fail, and the server would keep a core busy for nothing. */
static void watch_listener(bool on)
{
    server.out_of_descriptors = !on;
    if (!watch(server.listener, on ? INPUT : NOTHING))
        die("epoll_ctl of fd %d", server.listener);
}

/* The one place that changes what a socket is watched for: from now on INPUT, OUTPUT or NOTHING.
 * Returns false, with errno, when that fails. */
static bool watch(int fd, unsigned events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(server.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ||
           (errno == EEXIST && epoll_ctl(server.epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0);
}

/* Makes room for clients[fd]. Returns false, with errno, when there is no memory. */
static bool make_room(int fd)
{
    if (fd < server.room)
        return true;
    size_t old = (size_t)server.room, more = (size_t)fd + 256;
    struct client *c = realloc(server.clients, more * sizeof *c);
    if (c == NULL)
        return false;
    server.clients = c;
    memset(c + old, 0, (more - old) * sizeof *c);
    server.room = (int)more;
    return true;
}

/* How many there are: all the sockets of this server share one port. */
static void say_counts(void)
{
    size_t n = server.client_count;
    say("    %s, %s, 1 port\n", counted(n, "client").s, counted(n + 1, "socket").s);
}

/* Takes fd, which accept() returned, as the socket of a client. When that fails, only this client
 * is lost. */
static void add_client(int fd, const struct endpoint *peer)
{
    struct endpoint local = {.length = sizeof local.in6};
    if (!set_nonblocking(fd) || !make_room(fd) ||
        (!server.quiet && getsockname(fd, &local.sa, &local.length) < 0) || !watch(fd, INPUT)) {
        complain(errno, "client %s turned away", endpoint_text(peer).s);
        close(fd);
        return;
    }
    server.clients[fd] = (struct client){.peer = *peer};
    server.client_count++;
    if (server.quiet)
        return;
    say("accept: fd %d is %s, the client is %s\n", fd, endpoint_text(&local).s,
        endpoint_text(peer).s);
    say_counts();
}

/* Accepts clients that are pending; at most 64 in a row, because the others have to be served. */
static void accept_pending(const char *where)
{
    for (int i = 0; i < 64; i++) {
        struct endpoint peer = {.length = 0};
        socklen_t length = sizeof peer.in6;
        int fd = accept(server.listener, &peer.sa, &length);
        const char *lacking;
        peer.length = length;
        if (fd >= 0) {
            add_client(fd, &peer);
            continue;
        }
        switch (errno) {
        case EAGAIN: /* no more clients are pending */
            if (server.out_of_descriptors)
                watch_listener(true);
            return;
        case EINTR:
            return;
        case EMFILE:  /* this process may have no more descriptors, */
        case ENFILE:  /* or the whole machine has run out of them; */
        case ENOBUFS: /* or the kernel has no memory. Clients stay pending: they are connected, and
                       */
        case ENOMEM:  /* nothing is lost. Say it once, and go on with those that are accepted. */
            if (server.out_of_descriptors)
                return;
            lacking = errno == EMFILE || errno == ENFILE ? "descriptors" : "memory";
            complain(errno, "accept on %s", where);
            note("out of %s: new clients wait until another one leaves", lacking);
            watch_listener(false);
            return;
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EOPNOTSUPP:
        case EFAULT:
            die("accept on %s", where);
        default: /* ECONNABORTED, for example: this client has gone while it was pending */
            continue;
        }
    }
}

/* Receives what a client has sent, and sends it back. */
static void send_back(int fd)
{
    static char buf[16384];
    struct client *client = &server.clients[fd];

    /* 5. What has it sent? A reset ends one client, not the server. 0 bytes: it has
     *    finished, and everything has been sent back to it. */
    ssize_t n = recv(fd, buf, sizeof buf, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop_client(fd, n < 0 ? errno : 0);
        return;
    }

    /* 6. Send it back. When the client does not read, the send buffer is full: send() takes a part
     *    of the bytes, or nothing (EAGAIN). Keep the rest until there is room again. */
    ssize_t sent = send(fd, buf, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        drop_client(fd, errno);
        return;
    }
    if (sent < 0)
        sent = 0;
    if (sent == n)
        return;
    client->out_pos = 0;
    client->out_len = (size_t)(n - sent);
    client->out = malloc(client->out_len);
    if (client->out == NULL) {
        drop_client(fd, ENOMEM);
        return;
    }
    memcpy(client->out, buf + sent, client->out_len);
    if (!watch(fd, OUTPUT))
        drop_client(fd, errno);
}

/* Sends what is pending for a client. */
static void send_pending(int fd)
{
    struct client *client = &server.clients[fd];

    /* 7. There is room again: send the rest, or as much of it as there is room for. */
    ssize_t n =
        send(fd, client->out + client->out_pos, client->out_len - client->out_pos, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            drop_client(fd, errno);
        return;
    }
    client->out_pos += (size_t)n;
    if (client->out_pos < client->out_len)
        return;
    free(client->out);
    client->out = NULL;
    if (!watch(fd, INPUT))
        drop_client(fd, errno);
}

/* Serves a client whose socket is ready. A client is in one of two states:
 *
 *                     send() took only a part
 *     +-----------+ ---------------------------> +-----------+
 *     |  reading  |                              |  sending  |
 *     +-----------+ <--------------------------- +-----------+
 *     out == NULL         the rest is sent       out != NULL
 *     watched for INPUT                          watched for OUTPUT
 *
 * reading: it has sent bytes: send them back. It has finished, or it has gone: drop it.
 * sending: there is room: send more of the rest. It has gone: drop it. Nothing is received from it
 *          meanwhile: so the server keeps at most sizeof buf bytes for it; then the buffers of the
 *          kernel fill up, and the client's own send() waits. */
static void serve(int fd)
{
    if (server.clients[fd].out == NULL)
        send_back(fd);
    else
        send_pending(fd);
}

/* Closes the socket of a client. `error` says why it has gone; 0: it has finished, or the server
 * ends. */
static void drop_client(int fd, int error)
{
    struct text peer = endpoint_text(&server.clients[fd].peer);
    free(server.clients[fd].out);
    server.clients[fd] = (struct client){.peer.length = 0};
    server.client_count--;
    /* epoll forgets what is closed. (Not while a copy of the descriptor is open, made by dup() or
     * fork(): then it still reports fd, unless EPOLL_CTL_DEL comes before close().) */
    close(fd);
    if (server.quiet)
        return;
    if (error != 0)
        say("close: fd %d, the client %s has gone: %s (%s)\n", fd, peer.s, strerror(error),
            errno_name(error).s);
    else if (stop_requested())
        say("close: fd %d, disconnecting the client %s\n", fd, peer.s);
    else
        say("close: fd %d, the client %s has finished\n", fd, peer.s);
    say_counts();
}
