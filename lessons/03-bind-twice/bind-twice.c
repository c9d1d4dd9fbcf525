/* 03-bind-twice: can two programs have the same port?
 *
 * Run:       bin/03-bind-twice      in two terminals
 *            bin/03-bind-twice --table
 * Look for:  what the second one is told; then, in the table, the pairs that the kernel allows.
 *
 * SO_REUSEPORT is not POSIX. Linux, the BSDs and macOS have it, with differences: this is Linux. */
#define _DEFAULT_SOURCE /* for SO_REUSEPORT */
#include "common.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void table(void);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--table"}, {.name = NULL}};
    const char *where = read_arguments(
        argc, argv,
        "Takes a port and holds it until Enter, end of input or ^C: try it in two terminals.\n"
        "--table asks the kernel about pairs of sockets, each on a port that it finds free. For\n"
        "some microseconds a few of these sockets listen on all addresses of the machine.",
        options, "HOST:PORT");
    if (options[0].given) {
        if (where != NULL)
            usage_error("--table chooses its endpoints itself: it takes no %s",
                        quoted(where, strlen(where)).s);
        table();
        return 0;
    }
    struct endpoint at = parse_endpoint(where);
    catch_stop_signals();

    int fd = socket(at.sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");

    /* The first program gets the port. The second one gets EADDRINUSE, and no port at all. */
    if (bind(fd, &at.sa, at.length) < 0)
        die("bind %s", endpoint_text(&at).s);
    at = local_endpoint(fd);
    say("bind: fd %d is %s\n", fd, endpoint_text(&at).s);
    say("The port is ours. Run the same in a second terminal; Enter ends this one.\n");
    wait_for_enter();
    close(fd);
    say("close: fd %d; %s is free again\n", fd, endpoint_text(&at).s);
    return 0;
}

/* ---- The table: pairs of sockets, and what the kernel says of the second one ---- */

/* How a socket is made before bind(). */
enum {
    REUSEADDR = 1,  /* "sharing my address is fine with me, as long as nobody listens there" */
    REUSEPORT = 2,  /* "I share my port, also for listening, with others who say the same" */
    V6ONLY = 4,     /* an IPv6 socket that leaves IPv4 alone */
    UDP = 8,        /* not a TCP socket at all */
    LISTENING = 16, /* (the first socket) it listens before the second one comes */
};

struct one {
    const char *host;
    int how;
};

static const struct one pairs[][2] = {
    {{"127.0.0.1", 0}, {"127.0.0.1", 0}},
    {{"127.0.0.1", 0}, {"127.0.0.2", 0}},
    {{"0.0.0.0", 0}, {"127.0.0.1", 0}},
    {{"127.0.0.1", 0}, {"0.0.0.0", 0}},
    {{"[::]", 0}, {"0.0.0.0", 0}},
    {{"0.0.0.0", 0}, {"[::]", 0}},
    {{"[::]", V6ONLY}, {"0.0.0.0", 0}},
    {{"0.0.0.0", 0}, {"[::]", V6ONLY}},
    {{"127.0.0.1", 0}, {"127.0.0.1", REUSEADDR}},
    {{"127.0.0.1", REUSEADDR}, {"127.0.0.1", REUSEADDR}},
    {{"127.0.0.1", REUSEADDR | LISTENING}, {"127.0.0.1", REUSEADDR}},
    {{"127.0.0.1", REUSEPORT}, {"127.0.0.1", 0}},
    {{"127.0.0.1", REUSEPORT | LISTENING}, {"127.0.0.1", REUSEADDR}},
    {{"127.0.0.1", REUSEPORT | LISTENING}, {"127.0.0.1", REUSEPORT}},
    {{"127.0.0.1", LISTENING}, {"127.0.0.1", UDP}},
};

/* A server that served one client, ended, and is started again. */
static const struct {
    bool server_closes_first;
    int old, new;
} restarts[] = {
    {true, 0, 0},  {true, 0, REUSEADDR}, {true, REUSEADDR, 0}, {true, REUSEADDR, REUSEADDR},
    {false, 0, 0},
};

static struct endpoint at_port(const char *host, uint16_t port)
{
    char text[64];
    snprintf(text, sizeof text, "%s:%d", host, port);
    return parse_endpoint(text);
}

/* Returns a socket, made as `how` says, or -1 with errno. */
static int make_socket(int family, int how)
{
    int on = 1, fd = socket(family, how & UDP ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    if ((how & REUSEADDR && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) ||
        (how & REUSEPORT && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        (how & V6ONLY && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0))
        die("setsockopt of fd %d", fd);
    return fd;
}

/* Returns a port that is free on every address: the kernel found one for [::], which means all. */
static uint16_t free_port(void)
{
    struct endpoint any = at_port("[::]", 0);
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0) { /* a machine without IPv6 */
        any = at_port("0.0.0.0", 0);
        fd = socket(AF_INET, SOCK_STREAM, 0);
    }
    if (fd < 0)
        die("socket");
    if (bind(fd, &any.sa, any.length) < 0)
        die("bind %s", endpoint_text(&any).s);
    any = local_endpoint(fd);
    close(fd); /* it never listened nor connected: the port is free at once */
    return endpoint_port(&any);
}

static const char *answer(int result)
{
    static struct text name;
    name = errno_name(errno);
    return result < 0 ? name.s : "ok";
}

/* Asks bind() and listen() for `fd`, and ends the line of the table with what they said. With
 * `first`, a socket that does not listen yet, that one listens before. */
static void ask(int fd, const struct endpoint *at, int first)
{
    if (fd < 0) {
        say("%-11s -\n", answer(fd));
        return;
    }
    int result = bind(fd, &at->sa, at->length);
    say("%-11s ", answer(result));
    if (result < 0) {
        say("-\n");
        return;
    }
    if (first >= 0 && listen(first, 1) < 0)
        die("listen %s, with the first socket", endpoint_text(at).s);
    say("%s\n", answer(listen(fd, 1)));
}

static const char *options_of(int how)
{
    return how & REUSEADDR   ? "SO_REUSEADDR"
           : how & REUSEPORT ? "SO_REUSEPORT"
           : how & V6ONLY    ? "IPV6_V6ONLY"
           : how & UDP       ? "UDP"
                             : "";
}

static void table(void)
{
    uint16_t port = free_port();
    say("All on port %d, which was free.\n\n", port);
    say("%-35s %-25s %-11s %s\n", "first socket", "second socket", "its bind", "its listen");
    for (size_t p = 0; p < sizeof pairs / sizeof pairs[0]; p++) {
        const struct one *one = &pairs[p][0], *two = &pairs[p][1];
        struct endpoint at1 = at_port(one->host, port), at2 = at_port(two->host, port);
        say("%-9s %-12s %-12s %-9s %-15s ", one->host, options_of(one->how),
            one->how & LISTENING ? "listening" : "bound", two->host, options_of(two->how));
        int first = make_socket(at1.sa.sa_family, one->how);
        if (first < 0) {
            say("(the first: %s)\n", answer(first));
            continue;
        }
        if (bind(first, &at1.sa, at1.length) < 0)
            die("bind %s, the first socket", endpoint_text(&at1).s);
        if (one->how & LISTENING && listen(first, 1) < 0)
            die("listen %s, the first socket", endpoint_text(&at1).s);
        int second = make_socket(at2.sa.sa_family, two->how);
        ask(second, &at2, one->how & LISTENING ? -1 : first);
        if (second >= 0)
            close(second);
        close(first);
    }

    say("\nA server starts again after a client; each on a port of its own.\n\n");
    say("%-35s %-25s %-11s %s\n", "closed first, and so in TIME_WAIT", "old and new server",
        "its bind", "its listen");
    for (size_t r = 0; r < sizeof restarts / sizeof restarts[0]; r++) {
        /* The old server: it listens, a client connects, the server accepts. */
        struct endpoint at = at_port("127.0.0.1", free_port());
        int listener = make_socket(AF_INET, restarts[r].old);
        int client = make_socket(AF_INET, 0);
        if (listener < 0 || client < 0)
            die("socket");
        if (bind(listener, &at.sa, at.length) < 0)
            die("bind %s", endpoint_text(&at).s);
        if (listen(listener, 1) < 0)
            die("listen %s", endpoint_text(&at).s);
        if (connect_to(client, &at) < 0)
            die("connect %s", endpoint_text(&at).s);
        int connected = accept_next(listener);

        /* One end closes. The other one sees it (recv returns 0) and closes, too. The end that
         * closed first stays behind in the kernel, in the state TIME_WAIT, for a minute. */
        char byte;
        int closes_first = restarts[r].server_closes_first ? connected : client;
        int closes_second = restarts[r].server_closes_first ? client : connected;
        struct endpoint peer = peer_endpoint(closes_second);
        close(closes_first);
        ssize_t n;
        do
            n = recv(closes_second, &byte, 1, 0);
        while (was_interrupted(n));
        if (n < 0)
            die("recv from %s", endpoint_text(&peer).s);
        close(closes_second);
        close(listener);

        /* The new server. */
        say("%-35s %-12s %-12s ", restarts[r].server_closes_first ? "the server" : "the client",
            restarts[r].old ? "SO_REUSEADDR" : "-", restarts[r].new ? "SO_REUSEADDR" : "-");
        int again = make_socket(AF_INET, restarts[r].new);
        ask(again, &at, -1);
        if (again >= 0)
            close(again);
    }
}
