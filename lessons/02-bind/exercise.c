/* 02-exercise: which is the first free port, from this one on?
 *
 * Run:       bin/02-exercise 127.0.0.1:6000
 * Check:     make exercise-02         The task and three hints: README.md, under Make.
 */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

/* Puts another port, in host byte order, into an endpoint. */
static void set_port(struct endpoint *endpoint, uint16_t port)
{
    if (endpoint->sa.sa_family == AF_INET)
        endpoint->in.sin_port = htons(port);
    else
        endpoint->in6.sin6_port = htons(port);
}

int main(int argc, char **argv)
{
    const char *where = read_arguments(
        argc, argv, "Prints the first endpoint, from this port on, that can be bound.", NULL,
        "HOST:PORT");
    struct endpoint at = parse_endpoint(where);

    /* --- your code: try to bind this port, the next one, the one after that ... --- */
    set_port(&at, endpoint_port(&at));
    say("first port to try: %s\n", endpoint_text(&at).s);
    return 0;
    /* --- to here --- */
}
