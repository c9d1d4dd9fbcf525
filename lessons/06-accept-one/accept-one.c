/* 06-accept-one: what does a server do until it can talk to its first client?
 *
 * Run:       bin/06-accept-one        in one terminal
 *            bin/05-connect           in a second one, and type; then in a third one as well
 * Look for:  two sockets with the same local address; they differ in the peer. */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

static int accept_one(int listener, struct endpoint *peer);
static void show(int fd);
static void serve(int fd, const char *client);

/* The calls of a server for one client, and what each of them returns:
 *
 *     listener = socket(...)                      a descriptor
 *     bind(listener, &at, ...)                    0: the socket has this local address
 *     listen(listener, backlog)                   0: the kernel makes connections
 *     connected = accept(listener, &peer, ...)    a new descriptor, and the client's address
 *     n = recv(connected, buf, sizeof buf, 0)     how many bytes came; 0: the client has finished
 *     m = send(connected, buf, n, ...)            how many bytes the kernel took, perhaps fewer
 *     close(connected)                            0
 *     close(listener)                             0
 *
 * Each returns -1 when it fails, and errno says why. */
int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--backlog N"}, {.name = NULL}};
    const char *where =
        read_arguments(argc, argv,
                       "Serves one client, by sending back what it receives, and ends.\n"
                       "--backlog: how many connections may be pending (5); Linux allows one more.",
                       options, "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    int backlog = 5;
    if (options[0].given)
        backlog = (int)parse_number(options[0].value, "backlog", 0, 65535);
    catch_stop_signals();
    log_waits = false; /* a terminal or pipe that takes no more lines does not stop the server */

    /* 1. A socket. It is not connected to anything, and does not have an address yet. */
    int listener = socket(at.sa.sa_family, SOCK_STREAM, 0);
    if (listener < 0)
        die("socket");
    say("socket: fd %d\n", listener);

    /* 2. The address at which clients find the server. SO_REUSEADDR: even if an earlier run has
     *    left a connection in TIME_WAIT there (lesson 03). */
    int on = 1;
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        die("setsockopt SO_REUSEADDR of fd %d", listener);
    if (bind(listener, &at.sa, at.length) < 0)
        die("bind %s", endpoint_text(&at).s);
    at = local_endpoint(listener);
    say("bind: fd %d is %s\n", listener, endpoint_text(&at).s);

    /* 3. Listen: from now on the kernel makes connections with clients, whether the program calls
     *    accept() or not. Connections that it has not accepted yet are pending, in the backlog. */
    if (listen(listener, backlog) < 0)
        die("listen %s", endpoint_text(&at).s);
    say("listen: fd %d is %s, waiting for a client\n", listener, endpoint_text(&at).s);

    struct endpoint peer;
    int connected = accept_one(listener, &peer);
    if (connected >= 0) {
        struct endpoint local = local_endpoint(connected);
        struct text client = endpoint_text(&peer);
        say("accept: fd %d is %s, the client is %s\n", connected, endpoint_text(&local).s,
            client.s);
        show(listener);
        show(connected);
        serve(connected, client.s);

        /* 6. Two sockets, two descriptors to close. */
        if (close(connected) < 0)
            die("close fd %d", connected);
        say("close: fd %d, the connected socket\n", connected);
    }
    if (close(listener) < 0)
        die("close fd %d", listener);
    say("close: fd %d, the listener\n", listener);
    return 0;
}

/* 4. Accept: get a new socket for a pending connection; the listener goes on listening.
 *    wait_for() waits until one is pending: accept() would wait as well, but a signal that comes
 *    just before it would not end that wait (lesson 07). Returns -1 when the user ends the server.
 *    A client may have given up while it was pending (ECONNABORTED), and a signal that does not end
 *    the server may interrupt accept() (EINTR): then wait for the next one. */
static int accept_one(int listener, struct endpoint *peer)
{
    while (wait_for(listener, POLLIN)) {
        socklen_t length = sizeof peer->in6;
        int fd = accept(listener, &peer->sa, &length);
        peer->length = length;
        if (fd >= 0)
            return fd;
        if (errno != EINTR && errno != ECONNABORTED) {
            int error = errno; /* local_endpoint() may change it */
            struct endpoint at = local_endpoint(listener);
            errno = error;
            die("accept on %s", endpoint_text(&at).s);
        }
    }
    return -1;
}

/* Shows a socket as the kernel knows it. SO_ACCEPTCONN: does it listen? */
static void show(int fd)
{
    struct endpoint local = local_endpoint(fd), peer = peer_endpoint(fd);
    int listens = 0;
    socklen_t length = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) < 0)
        die("getsockopt SO_ACCEPTCONN of fd %d", fd);
    say("    fd %d: local %s, peer %s, %s\n", fd, endpoint_text(&local).s, endpoint_text(&peer).s,
        listens ? "listening" : "connected");
}

/* Sends all bytes to the client, unless the user ends the program. send() may take only a part of
 * them: go on with the rest. MSG_NOSIGNAL: if the client has gone, that is an error (EPIPE);
 * without the flag, a signal, SIGPIPE, would end the program. MSG_DONTWAIT: wait_for() waits,
 * send() does not. */
static void send_all(int fd, const char *data, size_t length, const char *client)
{
    while (length > 0 && wait_for(fd, POLLOUT)) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n < 0)
            die("send to %s", client);
        say("send: %s\n", counted((size_t)n, "byte").s);
        data += n;
        length -= (size_t)n;
    }
}

/* 5. Serve: send back what the client sends. recv() returns as soon as there is something, and as
 *    much as there is. It returns 0 when the client has finished, not when it is idle. */
static void serve(int fd, const char *client)
{
    char buf[4096];
    while (wait_for(fd, POLLIN)) {
        ssize_t n = recv(fd, buf, sizeof buf, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("recv from %s", client);
        if (n == 0) {
            say("recv: 0 bytes, the client has finished\n");
            return;
        }
        /* These are n bytes, not a string: no NUL ends them. */
        say("recv: %s %s\n", counted((size_t)n, "byte").s, quoted(buf, (size_t)n).s);
        send_all(fd, buf, (size_t)n, client);
    }
}
