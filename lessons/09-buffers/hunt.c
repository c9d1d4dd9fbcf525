/* 09-hunt: each line that a client sends is a message. With one mistake: some messages come as two.
 *
 * Run:       bin/09-hunt              in one terminal; the page shows the clients
 * Check:     make hunt-09             The task and three hints: README.md, under Hunt.
 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static void receive_messages(int fd);

int main(int argc, char **argv)
{
    struct endpoint at = parse_endpoint(read_arguments(
        argc, argv, "Shows each line that a client sends, with one mistake: make hunt-09.", NULL,
        "HOST:PORT"));
    catch_stop_signals();
    int listener = open_listener(&at, 5);
    at = local_endpoint(listener);
    say("listen: fd %d is %s, waiting for a client\n", listener, endpoint_text(&at).s);

    /* One client after the other, until ^C. */
    while (wait_for(listener, POLLIN)) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            die("accept on %s", endpoint_text(&at).s);
        receive_messages(fd);
        close(fd);
    }
    close(listener);
    return 0;
}

/* Receives lines until the client has finished, and shows each one without its newline. A line may
 * have up to 8191 bytes. */
static void receive_messages(int fd)
{
    char buf[8192];
    ssize_t n = 0;
    while (wait_for(fd, POLLIN) && (n = recv(fd, buf, sizeof buf, 0)) > 0) {
        /* There may be several lines. */
        char *next = buf, *end = buf + n;
        while (next < end) {
            char *newline = memchr(next, '\n', (size_t)(end - next));
            if (newline == NULL)
                newline = end; /* the last one */
            size_t length = (size_t)(newline - next);
            say("message: %zu bytes %s\n", length, quoted(next, length).s);
            next = newline + 1;
        }
    }
    if (n < 0)
        complain(errno, "recv from a client");
}
