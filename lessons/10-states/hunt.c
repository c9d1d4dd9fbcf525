/* 10-hunt: a server with a process for each client. With one mistake: its clients never get the
 * end.
 *
 * Run:       bin/10-hunt              in one terminal; the page shows the clients
 * Check:     make hunt-10             The task and three hints: README.md, under Hunt.
 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void serve(int fd);

int main(int argc, char **argv)
{
    struct endpoint at = parse_endpoint(read_arguments(
        argc, argv, "Counts what each client sends, and answers. With one mistake: make hunt-10.",
        NULL, "HOST:PORT"));
    catch_stop_signals();
    signal(SIGCHLD, SIG_IGN); /* the kernel removes a child that has ended */
    int listener = open_listener(&at, SOMAXCONN);
    at = local_endpoint(listener);
    say("listen: fd %d is %s, waiting for clients\n", listener, endpoint_text(&at).s);

    while (wait_for(listener, POLLIN)) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            die("accept on %s", endpoint_text(&at).s);

        /* The child serves this client. Meanwhile this process waits for the next one. */
        pid_t child = fork();
        if (child < 0) {
            complain(errno, "fork: a client turned away");
            close(fd);
        }
        if (child == 0) {
            close(listener);
            serve(fd);
            close(fd);
            exit(0);
        }
    }
    close(listener);
    return 0;
}

/* Receives until the client has finished, and sends the number of bytes as a line of text. */
static void serve(int fd)
{
    char buf[16384];
    long long size = 0;
    ssize_t n;
    while (wait_for(fd, POLLIN) && (n = recv(fd, buf, sizeof buf, 0)) != 0) {
        if (n < 0) {
            complain(errno, "recv from a client");
            return;
        }
        size += n;
    }
    int length = snprintf(buf, sizeof buf, "%lld\n", size);
    if (send(fd, buf, (size_t)length, MSG_NOSIGNAL) < 0)
        complain(errno, "send to a client");
}
