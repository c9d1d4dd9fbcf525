/* 06-accept-one: what does a server do until it can talk to its first client?
 *
 * Run:       bin/06-accept-one        in one terminal
 *            bin/05-connect           in a second one, and type; and in a third one meanwhile
 * Look for:  two sockets with the same local address, told apart by the peer. */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

static bool listens(int fd);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--backlog N"}, {.name = NULL}};
    const char *where =
        read_arguments(argc, argv,
                       "Serves one client, by sending back what it receives, and ends.\n"
                       "--backlog: how many clients more than one may wait to be accepted; 5.",
                       options, "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    int backlog = 5;
    if (options[0].given)
        backlog = (int)parse_number(options[0].value, "backlog", 0, 65535);
    catch_stop_signals();
    log_waits = false; /* who does not read what we say, does not stop us */

    /* 1. A socket. It is not connected to anything, and has no address. */
    int listener = socket(at.sa.sa_family, SOCK_STREAM, 0);
    if (listener < 0)
        die("socket");
    say("socket: fd %d\n", listener);

    /* 2. The address at which clients will find us. SO_REUSEADDR: also when an earlier run of this
     *    server has left a connection in TIME_WAIT there (lesson 03). */
    int on = 1;
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        die("setsockopt SO_REUSEADDR of fd %d", listener);
    if (bind(listener, &at.sa, at.length) < 0)
        die("bind %s", endpoint_text(&at).s);
    at = local_endpoint(listener);
    say("bind: fd %d is %s\n", listener, endpoint_text(&at).s);

    /* 3. Listen: from now on the kernel answers clients for us, whether we are waiting in accept()
     *    or not. Those that we have not accepted yet wait in a queue, the backlog. */
    if (listen(listener, backlog) < 0)
        die("listen %s", endpoint_text(&at).s);
    say("listen: fd %d is %s, waiting for a client\n", listener, endpoint_text(&at).s);

    /* 4. Accept: wait for a connection in that queue and get a socket for it, a new one. The
     *    listener stays what it was. A signal interrupts the wait (EINTR); a client can give up
     *    while it is still in the queue (ECONNABORTED). Neither is a reason to give up. */
    struct endpoint peer = {.length = 0};
    socklen_t length = sizeof peer.in6;
    int connected;
    do
        connected = wait_for(listener, POLLIN) ? accept(listener, &peer.sa, &length) : -1;
    while (connected < 0 && !stop_requested && (errno == EINTR || errno == ECONNABORTED));
    if (connected < 0 && !stop_requested)
        die("accept on %s", endpoint_text(&at).s);

    if (connected >= 0) {
        peer.length = length;
        struct text client = endpoint_text(&peer);
        struct endpoint local = local_endpoint(connected);
        say("accept: fd %d is %s, the client is %s\n", connected, endpoint_text(&local).s,
            client.s);

        /* Side by side, as the kernel knows them. */
        int both[] = {listener, connected};
        for (int i = 0; i < 2; i++) {
            struct endpoint here = local_endpoint(both[i]), there = peer_endpoint(both[i]);
            say("    fd %d: local %s, peer %s, %s\n", both[i], endpoint_text(&here).s,
                endpoint_text(&there).s, listens(both[i]) ? "listening" : "connected");
        }

        /* 5. Serve: say back what we hear. recv() returns as soon as there is something, and as
         *    much as there is. It returns 0 when the client has finished, not when it is silent. */
        char heard[4096];
        while (wait_for(connected, POLLIN)) {
            ssize_t n = recv(connected, heard, sizeof heard, 0);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                die("recv from %s", client.s);
            if (n == 0) {
                say("recv: 0 bytes, the client has finished\n");
                break;
            }
            /* These are n bytes, not a string: no NUL ends them. */
            say("recv: %zd bytes %s\n", n, quoted(heard, (size_t)n).s);

            /* send() may take fewer bytes than we give it: go on with the rest. When the client
             * has gone, it fails; without MSG_NOSIGNAL a signal, SIGPIPE, would end us before. */
            for (ssize_t sent = 0; sent < n && wait_for(connected, POLLOUT);) {
                ssize_t m =
                    send(connected, heard + sent, (size_t)(n - sent), MSG_NOSIGNAL | MSG_DONTWAIT);
                if (m < 0 && (errno == EINTR || errno == EAGAIN))
                    continue;
                if (m < 0)
                    die("send to %s", client.s);
                say("send: %zd bytes\n", m);
                sent += m;
            }
        }

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

/* The kernel knows whether somebody has called listen() for a socket. */
static bool listens(int fd)
{
    int answer = 0;
    socklen_t length = sizeof answer;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &answer, &length) < 0)
        die("getsockopt SO_ACCEPTCONN of fd %d", fd);
    return answer != 0;
}
