/* 07-hunt: a server that sends back what it receives, with one mistake: it loses bytes now and
 * then.
 *
 * Run:       bin/07-hunt              in one terminal; the page shows the clients
 * Check:     make hunt-07             The task and three hints: README.md, under Hunt.
 *
 * This is the server of the lesson in a shorter form: it has places for 999 clients. */
#define _GNU_SOURCE /* for ppoll(), which is in POSIX since 2024 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 1000 }; /* the listener and 999 clients */

/* polled[0] is the listener; polled[i] and clients[i] are a client, for 1 <= i < count. */
static struct pollfd polled[MOST];
static size_t count;

/* out[pos..len-1] has been received from this client, and is still to be sent back to it. */
static struct client {
    char out[16384];
    size_t pos, len;
} clients[MOST];

static void accept_client(void);
static void serve(size_t i);

int main(int argc, char **argv)
{
    struct endpoint at = parse_endpoint(
        read_arguments(argc, argv, "Sends back what it receives, with one mistake: make hunt-07.",
                       NULL, "HOST:PORT"));
    catch_stop_signals();
    log_waits = false; /* a server does not wait until somebody reads what it prints */
    int listener = open_listener(&at, SOMAXCONN);
    if (!set_nonblocking(listener))
        die("fcntl O_NONBLOCK of fd %d", listener);

    /* Each connected socket gets the listener's sizes: a client that does not read costs little. */
    int size = 16384;
    if (setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0)
        die("setsockopt SO_SNDBUF of fd %d", listener);
    polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    count = 1;
    at = local_endpoint(listener);
    say("listen: fd %d is %s, waiting for clients\n", listener, endpoint_text(&at).s);

    while (!stop_requested()) {
        int ready = ppoll(polled, (nfds_t)count, NULL, while_waiting);
        if (ready < 0 && errno != EINTR)
            die("poll");
        if (ready < 0)
            continue;
        /* Backwards: when a client leaves, the last one moves to its place, and that one has been
         * served by then. */
        for (size_t i = count - 1; i > 0; i--)
            if (polled[i].revents != 0)
                serve(i);
        if (polled[0].revents != 0)
            accept_client();
    }
    for (size_t i = 0; i < count; i++)
        close(polled[i].fd);
    return 0;
}

static void accept_client(void)
{
    int fd = accept(polled[0].fd, NULL, NULL);
    if (fd < 0) {
        /* Out of descriptors, the client stays pending: ignore the listener until another one
         * leaves. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            polled[0].events = 0;
        return;
    }
    if (count == MOST || !set_nonblocking(fd)) {
        close(fd);
        return;
    }
    polled[count] = (struct pollfd){.fd = fd, .events = POLLIN};
    clients[count].pos = clients[count].len = 0;
    count++;
    say("accept: fd %d\n", fd);
}

static void drop_client(size_t i)
{
    int fd = polled[i].fd;
    close(fd);
    count--;
    polled[i] = polled[count];
    clients[i] = clients[count];
    polled[0].events = POLLIN;
    say("close: fd %d\n", fd);
}

/* Receives what client i has sent, and sends it back. Returns false when the client has finished,
 * or has gone. */
static bool send_back(size_t i)
{
    struct client *client = &clients[i];
    ssize_t n = recv(polled[i].fd, client->out, sizeof client->out, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;

    ssize_t sent = send(polled[i].fd, client->out, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return false;
        /* The send buffer is full: wait until there is room again. */
        client->pos = 0;
        client->len = (size_t)n;
        polled[i].events = POLLOUT;
    }
    return true;
}

/* There is room in the send buffer: sends what is pending for client i. Returns false when the
 * client has gone. */
static bool send_pending(size_t i)
{
    struct client *client = &clients[i];
    ssize_t sent =
        send(polled[i].fd, client->out + client->pos, client->len - client->pos, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    client->pos += (size_t)sent;
    if (client->pos == client->len) {
        client->pos = client->len = 0;
        polled[i].events = POLLIN;
    }
    return true;
}

/* While output is pending for a client, nothing more is received from it. */
static void serve(size_t i)
{
    if (!(clients[i].len == 0 ? send_back(i) : send_pending(i)))
        drop_client(i);
}
