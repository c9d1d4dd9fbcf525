/* 06-exercise: a server that sends the time of day to each client.
 *
 * Run:       bin/06-exercise          in one terminal
 *            bin/05-connect           in a second one, several times
 * Check:     make exercise-06         The task and three hints: README.md, under Make.
 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Returns the time of day as a line of text: "2026-03-01 14:05:09\n". */
static struct text time_line(void)
{
    struct text line = {""};
    time_t now = time(NULL);
    struct tm parts;
    if (localtime_r(&now, &parts) != NULL)
        strftime(line.s, sizeof line.s, "%Y-%m-%d %H:%M:%S\n", &parts);
    return line;
}

int main(int argc, char **argv)
{
    struct endpoint at = parse_endpoint(read_arguments(
        argc, argv, "Sends the time of day to each client, and closes the connection.", NULL,
        "HOST:PORT"));
    catch_stop_signals(); /* from now on ^C ends wait_for(), and not the program */
    log_waits = false;    /* a server goes on, even if nobody reads what it prints */

    /* --- your code: a listener at this endpoint; then, until ^C, client after client. (Wait for
     * each with wait_for(listener, POLLIN): it returns false after ^C.) --- */
    say("at %s clients will be sent: %s", endpoint_text(&at).s, time_line().s);
    return 0;
    /* --- to here --- */
}
