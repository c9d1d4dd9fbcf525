/* 10-exercise: send a file, say that this was all, and get its size back.
 *
 * Run:       bin/10-exercise --server       in one terminal
 *            bin/10-exercise <README.md     in a second one; compare with `wc -c README.md`
 * Check:     make exercise-10               The task and three hints: README.md, under Make.
 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool serve(int fd);
static void send_file(int fd);
static void say_answer(int fd);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--server"}, {.name = NULL}};
    struct endpoint at = parse_endpoint(read_arguments(
        argc, argv,
        "Sends stdin, and prints the size that the server has counted.\n"
        "--server: counts what each client sends until it has finished, and sends the number.",
        options, "HOST:PORT"));

    if (options[0].given) {
        catch_stop_signals();
        log_waits = false; /* a server does not wait until somebody reads what it prints */
        int listener = open_listener(&at, 5);
        at = local_endpoint(listener); /* the kernel chooses the port if it is 0 */
        say("listen: fd %d is %s\n", listener, endpoint_text(&at).s);
        while (wait_for(listener, POLLIN)) {
            int fd = accept(listener, NULL, NULL);
            if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
                continue;
            if (fd < 0)
                die("accept on %s", endpoint_text(&at).s);
            if (!serve(fd) && !stop_requested())
                complain(errno, "connection to a client");
            close(fd);
        }
        close(listener);
    } else {
        int fd = socket(at.sa.sa_family, SOCK_STREAM, 0);
        if (fd < 0)
            die("socket");
        if (connect(fd, &at.sa, at.length) < 0)
            die("connect %s", endpoint_text(&at).s);
        send_file(fd);
        say_answer(fd);
        close(fd);
    }
    return 0;
}

/* The server: receives until the client has finished, then sends the number of bytes as a line of
 * text, "12345\n". Returns false, with errno, if receiving or sending fails: that ends this
 * client, not the server. */
static bool serve(int fd)
{
    /* --- your code --- */
    return send(fd, "0\n", 2, MSG_NOSIGNAL) == 2;
    /* --- to here --- */
}

/* The client: sends all that stdin has, and says that this was all. Call die() if that fails. */
static void send_file(int fd)
{
    /* --- your code --- */
    if (send(fd, "", 0, MSG_NOSIGNAL) < 0)
        die("send");
    /* --- to here --- */
}

/* The client: receives a line, and prints it on stdout. The program ends with a message on stderr
 * and exit status 1 if the connection ends before the line does. */
static void say_answer(int fd)
{
    /* --- your code --- */
    say("no answer from fd %d yet\n", fd);
    /* --- to here --- */
}
