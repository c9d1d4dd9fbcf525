/* 03-exercise: wait until a port is free, then take it.
 *
 * Run:       bin/02-bind              in one terminal
 *            bin/03-exercise          in a second one; then press Enter in the first
 * Check:     make exercise-03         The task and three hints: README.md, under Make.
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

    /* --- your code: bind; as long as the port is in use, say so once, and try again --- */
    pause_a_moment();
    /* --- to here --- */

    at = local_endpoint(fd);
    say("bind: fd %d is %s\n", fd, endpoint_text(&at).s);
    wait_for_enter();
    close(fd);
    return 0;
}
