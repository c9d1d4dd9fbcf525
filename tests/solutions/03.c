/* 03-exercise: wait until a port is free, then take it.
 *
 * Run:       bin/02-bind              in one terminal
 *            bin/03-exercise          in a second one; then press Enter in the first
 */
#include "common.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

/* Sleeps for a tenth of a second, or until a signal comes. */
static void pause_a_moment(void)
{
    struct timespec moment = {.tv_nsec = 100000000L};
    nanosleep(&moment, NULL);
}

int main(int argc, char **argv)
{
    const char *where = read_arguments(
        argc, argv, "Waits until a port is free, takes it, and holds it until Enter or ^C.", NULL,
        "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    end_on_signals(); /* ^C sets `ending` */

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
        if (ending)
            return 0;
    }

    at = local_endpoint(fd);
    say("bind: fd %d is %s\n", fd, endpoint_text(&at).s);
    wait_for_enter();
    close(fd);
    return 0;
}
