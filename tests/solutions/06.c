/* 06-exercise: a server that sends the time of day to whoever connects.
 *
 * Run:       bin/06-exercise          in one terminal
 *            bin/05-connect           in a second one, several times
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
    log_waits = false;    /* a server does not wait until somebody reads what it prints */

    /* SO_REUSEADDR: we close each connection first, so it is in TIME_WAIT here for a minute. */
    int on = 1, listener = socket(at.sa.sa_family, SOCK_STREAM, 0);
    if (listener < 0)
        die("socket");
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        die("setsockopt SO_REUSEADDR of fd %d", listener);
    if (bind(listener, &at.sa, at.length) < 0)
        die("bind %s", endpoint_text(&at).s);
    if (listen(listener, 5) < 0)
        die("listen %s", endpoint_text(&at).s);
    say("listen: fd %d is %s\n", listener, endpoint_text(&at).s);

    while (wait_for(listener, POLLIN)) {
        int connected = accept(listener, NULL, NULL);
        if (connected < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue; /* a signal, or a client that has given up */
        if (connected < 0)
            die("accept on %s", endpoint_text(&at).s);

        /* 20 bytes: in the output buffer of a new connection there is room for them. A client that
         * has gone already is no reason to end; MSG_NOSIGNAL: no signal ends us either. */
        struct text line = time_line();
        if (send(connected, line.s, strlen(line.s), MSG_NOSIGNAL) < 0)
            complain(errno, "send to a client");
        close(connected);
    }
    close(listener);
    return 0;
}
