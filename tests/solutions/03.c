/* 03-exercise: wait until a port is free, then take it.
 *
 * Run:       bin/02-bind              in one terminal
 *            bin/03-exercise          in a second one; then press Enter in the first
 */
#define _GNU_SOURCE /* for ppoll(), which is in POSIX since 2024 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* Waits for a tenth of a second, or until ^C. */
static void pause_a_moment(void)
{
    struct timespec moment = {.tv_nsec = 100000000L};
    ppoll(NULL, 0, &moment, while_waiting);
}

int main(int argc, char **argv)
{
    const char *where = read_arguments(
        argc, argv, "Waits until a port is free, takes it, and holds it until Enter or ^C.", NULL,
        "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    catch_stop_signals(); /* ^C sets `stop_requested()` */

    int fd = socket(at.sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");

    /* No SO_REUSEADDR: it would let us share the port with an owner who has set it, too. */
    bool told = false;
    while (bind(fd, &at.sa, at.length) < 0) {
        if (errno != EADDRINUSE)
            die("bind %s", endpoint_text(&at).s);
        if (!told)
            say("waiting: %s is in use\n", endpoint_text(&at).s);
        told = true;
        pause_a_moment();
        if (stop_requested())
            return 0;
    }

    at = local_endpoint(fd);
    say("bind: fd %d is %s\n", fd, endpoint_text(&at).s);
    wait_for_enter();
    close(fd);
    return 0;
}
