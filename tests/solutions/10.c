/* 10-exercise: send a file, say that this was all, and get its size back.
 *
 * Run:       bin/10-exercise --server       in one terminal
 *            bin/10-exercise <README.md     in a second one; compare with `wc -c README.md`
 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
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
    static char bytes[65536];
    long long size = 0;
    for (;;) {
        if (!wait_for(fd, POLLIN))
            return false; /* ^C */
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            break; /* the client has finished; it can still receive */
        size += n;
    }
    char line[32];
    int length = snprintf(line, sizeof line, "%lld\n", size);
    return send(fd, line, (size_t)length, MSG_NOSIGNAL) == length;
}

/* The client: sends all that stdin has, and says that this was all. Call die() if that fails. */
static void send_file(int fd)
{
    static char bytes[65536];
    ssize_t n;
    while ((n = read(STDIN_FILENO, bytes, sizeof bytes)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("read stdin");
        for (ssize_t sent = 0; sent < n;) {
            ssize_t m = send(fd, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL);
            if (m < 0 && errno == EINTR)
                continue;
            if (m < 0)
                die("send");
            sent += m;
        }
    }
    /* This ends one direction. close() would end both, and the answer would be lost. */
    if (shutdown(fd, SHUT_WR) < 0)
        die("shutdown of fd %d", fd);
}

/* The client: receives a line, and prints it on stdout. The program ends with a message on stderr
 * and exit status 1 if the connection ends before the line does. */
static void say_answer(int fd)
{
    char line[32] = "";
    size_t got = 0;
    while (got == 0 || line[got - 1] != '\n') {
        ssize_t n = got < sizeof line ? recv(fd, line + got, sizeof line - got, 0) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("recv");
        if (n == 0) {
            fprintf(stderr, "10-exercise: no answer: the server has ended the connection\n");
            exit(1);
        }
        got += (size_t)n;
    }
    say("%.*s", (int)got, line);
}
