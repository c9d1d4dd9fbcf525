/* 02-exercise: which is the first free port, from this one on?
 *
 * Run:       bin/02-exercise 127.0.0.1:6000
 * Look for:  a port that bin/02-bind holds in a second terminal is left out.
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

    /* `port` is a long: a uint16_t would begin again at 0 after 65535. */
    for (long port = endpoint_port(&at); port <= 65535; port++) {
        set_port(&at, (uint16_t)port);
        int fd = socket(at.sa.sa_family, SOCK_STREAM, 0);
        if (fd < 0)
            die("socket");
        if (bind(fd, &at.sa, at.length) == 0) {
            at = local_endpoint(fd); /* for port 0 the kernel has chosen another one */
            say("%s\n", endpoint_text(&at).s);
            close(fd);
            return 0;
        }
        /* Any other error would come again with every port. */
        if (errno != EADDRINUSE)
            die("bind %s", endpoint_text(&at).s);
        close(fd);
    }
    errno = EADDRINUSE;
    die("bind %s, the last port", endpoint_text(&at).s);
}
