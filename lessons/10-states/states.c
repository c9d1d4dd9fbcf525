/* 10-states: how does a connection begin, and how can it end?
 *
 * Run:       bin/10-states                    both sides in one program
 *            bin/04-ports-in-use --watch      beside it, in a second terminal
 * Look for:  the two sides of a connection in different states; which side has TIME_WAIT.
 *
 * Linux only: the option TCP_INFO and the table /proc/net/tcp have the state of a socket. */
#define _GNU_SOURCE /* for struct tcp_info */
#include "common.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One side of a connection: its descriptor, -1 when it is closed, and its endpoints. */
struct end {
    int fd;
    struct endpoint local, peer;
};

static struct end client, server;
static int listener;
static struct endpoint at;

static void life(void);
static void close_and_shutdown(void);
static void reset_by_unread_data(void);
static void reset_by_linger(void);
static void killed_by_sigpipe(void);
static void held_by_a_child(void);
static void side_in_time_wait(void);

int main(int argc, char **argv)
{
    at =
        parse_endpoint(read_arguments(argc, argv,
                                      "Makes connections, ends them in several ways, and asks the\n"
                                      "kernel for the states of both sides.",
                                      NULL, "HOST:PORT"));
    /* The program may have been started with signals ignored (`trap '' PIPE` in a shell). Part 6
     * shows SIGPIPE; and a program that ignores SIGCHLD cannot wait for a child (parts 6 and 7).
     */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    life();
    close_and_shutdown();
    reset_by_unread_data();
    reset_by_linger();
    killed_by_sigpipe();
    held_by_a_child();
    side_in_time_wait();
    return 0;
}

/* ---- Asking for a state ---- */

/* Looks for a socket in the kernel's table (lesson 04). It is there even when no program has it any
 * more. Returns its state, or 0 if it is not in the table. */
static unsigned state_in_table(const struct end *end)
{
    struct sockets sockets;
    unsigned state = 0;
    if (read_sockets("/proc/net", &sockets) < 0)
        die("%s", sockets.problem);
    for (size_t i = 0; i < sockets.count; i++)
        if (is_endpoint_in_row(&end->local, &sockets.rows[i].local) &&
            is_endpoint_in_row(&end->peer, &sockets.rows[i].peer))
            state = sockets.rows[i].state;
    free_sockets(&sockets);
    return state;
}

/* As long as there is a descriptor, TCP_INFO has the state. "CLOSE" means that the connection is
 * gone: what may be left of it is in the table. */
static const char *state_of(const struct end *end)
{
    struct tcp_info info = {.tcpi_state = 0};
    socklen_t length = sizeof info;
    if (end->fd >= 0 && getsockopt(end->fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
        die("getsockopt TCP_INFO of fd %d", end->fd);
    if (info.tcpi_state != 0 && info.tcpi_state != TCP_CLOSE)
        return tcp_state_name(info.tcpi_state);
    unsigned state = end->peer.length != 0 ? state_in_table(end) : 0;
    return state != 0 ? tcp_state_name(state) : end->peer.length != 0 ? "closed" : "-";
}

/* One line: what was done, and the states of both sides after it. The kernel needs a moment to take
 * a packet from one side to the other. So this waits for the usual states, for about three seconds
 * at most, and then shows those that it sees. */
static void show(const char *what, const char *client_usual, const char *server_usual)
{
    time_t until = time(NULL) + 3;
    while ((strcmp(state_of(&client), client_usual) != 0 ||
            strcmp(state_of(&server), server_usual) != 0) &&
           time(NULL) <= until)
        poll(NULL, 0, 1);
    say("    %-12s %-12s %s\n", state_of(&client), state_of(&server), what);
}

static void title(const char *text)
{
    say("\n%s\n    client       server\n", text);
}

/* ---- Both sides of a connection ---- */

static int new_socket(void)
{
    int fd = socket(at.sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    return fd;
}

static void close_end(struct end *end)
{
    if (close(end->fd) < 0)
        die("close fd %d", end->fd);
    end->fd = -1;
}

static void know_endpoints(struct end *end)
{
    end->local = local_endpoint(end->fd);
    end->peer = peer_endpoint(end->fd);
}

static void accept_client(void)
{
    server.fd = accept_next(listener);
    know_endpoints(&server);
    while (!same_endpoint(&server.peer, &client.local)) { /* a stranger: any program may connect */
        close(server.fd);
        server.fd = accept_next(listener);
        know_endpoints(&server);
    }
}

/* A connection as in lesson 08: both sides are ours. */
static void connect_both(void)
{
    listener = open_listener(&at, 5);
    struct endpoint here = local_endpoint(listener);
    client.fd = new_socket();
    if (connect_to(client.fd, &here) < 0)
        die("connect %s", endpoint_text(&here).s);
    know_endpoints(&client);
    accept_client();
    close(listener);
    show("connect() and accept()", "ESTABLISHED", "ESTABLISHED");
}

/* Sends, or receives, and prints the result. */
static void try_send(struct end *end, const char *name, const char *text)
{
    ssize_t n;
    do
        n = send(end->fd, text, strlen(text), MSG_NOSIGNAL);
    while (was_interrupted(n));
    if (n < 0)
        say("    %s: send: %s (%s)\n", name, strerror(errno), errno_name(errno).s);
    else
        say("    %s: send: %s %s\n", name, counted((size_t)n, "byte").s, quoted(text, (size_t)n).s);
}

static void try_recv(struct end *end, const char *name, int flags)
{
    char bytes[64];
    ssize_t n;
    do
        n = recv(end->fd, bytes, sizeof bytes, flags);
    while (was_interrupted(n));
    if (n < 0)
        say("    %s: recv: %s (%s)\n", name, strerror(errno), errno_name(errno).s);
    else
        say("    %s: recv: %s %s\n", name, counted((size_t)n, "byte").s,
            quoted(bytes, (size_t)n).s);
}

/* ---- 1. From the beginning to the end ---- */

/* The server listens, with a queue for one, and another client is in it. So our client asks for a
 * connection (SYN) and gets no answer. It asks again, after a second. */
static void connect_slowly(void)
{
    listener = open_listener(&at, 0);
    at = local_endpoint(listener);
    client = server = (struct end){.fd = -1};
    server.fd = listener;
    show("server: socket(), bind(), listen()", "-", "LISTEN");
    int other = new_socket();
    if (connect_to(other, &at) < 0)
        die("connect %s", endpoint_text(&at).s);

    client.fd = new_socket();
    if (!set_nonblocking(client.fd))
        die("fcntl O_NONBLOCK of fd %d", client.fd);
    if (connect(client.fd, &at.sa, at.length) < 0 && errno != EINPROGRESS && errno != EINTR)
        die("connect %s", endpoint_text(&at).s);
    show("client: connect(), but the server's queue is full", "SYN_SENT", "LISTEN");
    int first = accept_next(listener);
    close(other);
    close(first);
    show("server: accept() of another client makes room", "ESTABLISHED", "LISTEN");

    know_endpoints(&client);
    accept_client();
    show("server: accept()", "ESTABLISHED", "ESTABLISHED");
    close(listener);
}

/* The client has finished, and says so (FIN). It can still receive. The server sends more than the
 * client's receive buffer takes, and closes: its own FIN has to wait behind these bytes, but the
 * server's program does not have to wait. */
static void finish_slowly(void)
{
    if (shutdown(client.fd, SHUT_WR) < 0)
        die("shutdown of fd %d", client.fd);
    show("client: shutdown(SHUT_WR)", "FIN_WAIT2", "CLOSE_WAIT");

    if (!set_nonblocking(server.fd))
        die("fcntl O_NONBLOCK of fd %d", server.fd);
    static char bytes[65536];
    ssize_t n;
    do
        n = send(server.fd, bytes, sizeof bytes, MSG_NOSIGNAL);
    while (n > 0 || was_interrupted(n));
    if (errno != EAGAIN)
        die("send to %s", endpoint_text(&server.peer).s);
    close_end(&server);
    show("server: send() until all buffers are full, close()", "FIN_WAIT2", "LAST_ACK");

    /* The client reads all of it, to the end. */
    while ((n = recv(client.fd, bytes, sizeof bytes, 0)) > 0 || was_interrupted(n) ||
           (n < 0 && errno == EAGAIN))
        if (n < 0)
            poll(NULL, 0, 1);
    if (n < 0)
        die("recv from %s", endpoint_text(&client.peer).s);
    show("client: recv() of all that, until it returns 0", "TIME_WAIT", "closed");
    close_end(&client);
    show("client: close()", "TIME_WAIT", "closed");
}

static void life(void)
{
    title("1. A connection, from the beginning to the end");
    connect_slowly();
    finish_slowly();
}

/* ---- 2. The ways to end ---- */

static void close_and_shutdown(void)
{
    title("2. shutdown() ends one direction, close() both");
    connect_both();
    if (shutdown(client.fd, SHUT_WR) < 0)
        die("shutdown of fd %d", client.fd);
    show("client: shutdown(SHUT_WR)", "FIN_WAIT2", "CLOSE_WAIT");
    try_recv(&server, "server", 0);
    try_send(&server, "server", "answer");
    try_recv(&client, "client", 0);
    close_end(&server);
    close_end(&client);
    show("both: close()", "TIME_WAIT", "closed");

    title("3. close() looks the same to the server, but what the server sends is lost");
    connect_both();
    close_end(&client);
    show("client: close()", "FIN_WAIT2", "CLOSE_WAIT");
    try_recv(&server, "server", 0);
    try_send(&server, "server", "answer");
    show("(the client's kernel has answered with a reset)", "closed", "closed");
    try_send(&server, "server", "more");
    close_end(&server);
}

static void reset_by_unread_data(void)
{
    title("4. close() with unread bytes is a reset");
    connect_both();
    try_send(&client, "client", "question");
    struct pollfd pfd = {.fd = server.fd, .events = POLLIN};
    int ready;
    do
        ready = poll(&pfd, 1, 3000); /* it arrives, and the server does not read it */
    while (was_interrupted(ready));
    if (ready < 0)
        die("poll");
    close_end(&server);
    show("server: close() with unread bytes", "closed", "closed");
    try_recv(&client, "client", 0);
    try_send(&client, "client", "more");
    close_end(&client);
}

static void reset_by_linger(void)
{
    title("5. close() with SO_LINGER and 0 seconds is a reset as well");
    connect_both();
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    if (setsockopt(server.fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) < 0)
        die("setsockopt SO_LINGER of fd %d", server.fd);
    close_end(&server);
    show("server: close()", "closed", "closed");
    try_recv(&client, "client", 0);
    close_end(&client);
}

static int status_of_child(pid_t child)
{
    int status;
    pid_t ended;
    do
        ended = waitpid(child, &status, 0);
    while (was_interrupted(ended));
    if (ended < 0)
        die("waitpid");
    return status;
}

static void killed_by_sigpipe(void)
{
    title("6. send() without MSG_NOSIGNAL, to a peer that has gone");
    connect_both();
    close_end(&client);
    show("client: close()", "FIN_WAIT2", "CLOSE_WAIT");
    try_send(&server, "server", "answer");
    show("(the reset)", "closed", "closed");
    pid_t child = fork(); /* let a copy of this program make the experiment */
    if (child < 0)
        die("fork");
    if (child == 0) {
        while (was_interrupted(send(server.fd, "more", 4, 0)))
            ;
        _exit(0);
    }
    int status = status_of_child(child);
    if (WIFSIGNALED(status))
        say("    server: send: killed by signal %d%s; a shell calls that status %d\n",
            WTERMSIG(status), WTERMSIG(status) == SIGPIPE ? " (SIGPIPE)" : "",
            128 + WTERMSIG(status));
    else
        say("    server: send: not killed\n");
    close_end(&server);
}

static void held_by_a_child(void)
{
    title("7. close() in one program, while its child still has the socket");
    int hold[2];
    if (pipe(hold) < 0)
        die("pipe");
    connect_both();
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        char byte;
        close(hold[1]);
        close(client.fd);
        while (read(hold[0], &byte, 1) < 0 && errno == EINTR)
            ; /* does nothing, and has a copy of server.fd */
        _exit(0);
    }
    close(hold[0]);
    close_end(&server);
    show("server: fork(), close()", "ESTABLISHED", "ESTABLISHED");
    try_recv(&client, "client", MSG_DONTWAIT);
    close(hold[1]);
    status_of_child(child);
    show("the child has ended", "CLOSE_WAIT", "FIN_WAIT2");
    try_recv(&client, "client", 0);
    close_end(&client);
    show("client: close()", "closed", "TIME_WAIT");
}

static void side_in_time_wait(void)
{
    title("8. The side that closes first goes into TIME_WAIT");
    for (int i = 0; i < 2; i++) {
        connect_both();
        close_end(i == 0 ? &client : &server);
        show(i == 0 ? "client: close()" : "server: close()", i == 0 ? "FIN_WAIT2" : "CLOSE_WAIT",
             i == 0 ? "CLOSE_WAIT" : "FIN_WAIT2");
        close_end(i == 0 ? &server : &client);
        show(i == 0 ? "server: close()" : "client: close()", i == 0 ? "TIME_WAIT" : "closed",
             i == 0 ? "closed" : "TIME_WAIT");
    }
}
