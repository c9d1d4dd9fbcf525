/* 05-exercise: on which ports from 6660 to 6670 does this machine answer?
 *
 * Run:       bin/06-accept-one        in one terminal
 *            bin/05-exercise          in a second one
 * Check:     make exercise-05         The task and three hints: README.md, under Make.
 *
 * It asks only its own machine. For any other machine you need its owner's permission. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_PORT = 6660, LAST_PORT = 6670 };

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
        /* --- your code: try the addresses in the list; print the endpoint where one answers --- */
        say("port %d: not tried yet\n", port);
        /* --- to here --- */
        freeaddrinfo(list);
    }
    return 0;
}
