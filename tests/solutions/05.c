/* 05-exercise: on which ports from 6660 to 6670 does this machine answer?
 *
 * Run:       bin/06-accept-one        in one terminal
 *            bin/05-exercise          in a second one
 *
 * It asks its own machine, and no other: a stranger's machine you ask only with permission. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_PORT = 6660, LAST_PORT = 6670 };

static bool answers(const struct endpoint *peer);
static int connect_within(int fd, const struct endpoint *peer, int milliseconds);

int main(int argc, char **argv)
{
    read_arguments(argc, argv,
                   "Prints the endpoints of this machine, from port 6660 to port 6670 at its\n"
                   "loopback addresses, IPv4 and IPv6, that a client can connect to.",
                   NULL, NULL);

    for (int port = FIRST_PORT; port <= LAST_PORT; port++) {
        /* Without a host (NULL) getaddrinfo() returns the loopback addresses of this machine. */
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
        char service[8];
        snprintf(service, sizeof service, "%d", port);
        int error = getaddrinfo(NULL, service, &hints, &list);
        if (error != 0) {
            fprintf(stderr, "05-exercise: getaddrinfo: %s\n", gai_strerror(error));
            return 1;
        }
        /* Both addresses: that nobody is at the first one says nothing about the second. */
        for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
            struct endpoint peer = {.length = a->ai_addrlen};
            memcpy(&peer.sa, a->ai_addr, a->ai_addrlen);
            if (answers(&peer))
                say("%s\n", endpoint_text(&peer).s);
        }
        freeaddrinfo(list);
    }
    return 0;
}

/* Can a client connect there? */
static bool answers(const struct endpoint *peer)
{
    int fd = socket(peer->sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        return false; /* this machine has no IPv6, for example */

    /* With a limit: where a queue is full, connect() would wait for minutes. */
    bool yes = connect_within(fd, peer, 500) == 0;
    close(fd);
    return yes;
}

/* connect(), with a time limit, as in connect.c. Returns 0, or the errno value of what failed. */
static int connect_within(int fd, const struct endpoint *peer, int milliseconds)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return errno;
    if (connect(fd, &peer->sa, peer->length) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;

    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int ready;
    do
        ready = poll(&wait, 1, milliseconds);
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return errno;
    if (ready == 0)
        return ETIMEDOUT;

    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return errno;
    return error;
}
