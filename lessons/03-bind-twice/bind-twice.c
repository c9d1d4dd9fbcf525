/* 03-bind-twice: can two programs have the same port?
 *
 * Run:       bin/03-bind-twice      in two terminals
 *            bin/03-bind-twice --table
 * Look for:  the error that the second one gets; then, in the table, the pairs that the kernel
 *            allows.
 *
 * SO_REUSEPORT is not POSIX. Linux, the BSDs and macOS have it, with differences: this is Linux. */
#define _DEFAULT_SOURCE /* for SO_REUSEPORT */
#include "common.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_pairs(void);
static void print_restarts(void);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--table"}, {.name = NULL}};
    const char *where = read_arguments(
        argc, argv,
        "Takes a port and holds it until Enter, end of input or ^C. Try it in two\n"
        "terminals. --table: asks the kernel about pairs of sockets, each on a port that\n"
        "is free. A few of them listen on all addresses of the machine for a moment.",
        options, "HOST:PORT");
    if (options[0].given) {
        if (where != NULL)
            usage_error("--table chooses its own endpoints, it does not take %s",
                        quoted(where, strlen(where)).s);
        print_pairs();
        say("\n");
        print_restarts();
        return 0;
    }
    struct endpoint at = parse_endpoint(where);
    catch_stop_signals();

    int fd = socket(at.sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");

    /* The first program gets the port. For the second one bind() fails with EADDRINUSE. */
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

/* ---- The tables ---- */

/* How a socket is made, and whether it listens. */
enum {
    REUSEADDR = 1,  /* "I share my address, as long as nobody listens there" */
    REUSEPORT = 2,  /* "I share my port, even for listening, with sockets that set this as well" */
    V6ONLY = 4,     /* an IPv6 socket that does not include IPv4 */
    UDP = 8,        /* a UDP socket, all others are TCP sockets */
    LISTENING = 16, /* the first socket: it listens before the second one comes */
};

struct spec {
    const char *host;
    int flags;
};

static const struct spec pairs[][2] = {
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

/* A server that served one client, ended, and is started again: the flags of its two listeners. */
static const struct {
    bool server_closes_first;
    int old_flags, new_flags;
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

/* Returns a socket, made as the flags say, or -1 with errno. */
static int make_socket(int family, int flags)
{
    int on = 1, fd = socket(family, flags & UDP ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    if ((flags & REUSEADDR && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) ||
        (flags & REUSEPORT && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        (flags & V6ONLY && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0))
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

/* "ok", or the name of the error, for what a call returned. */
static const char *answer(int result)
{
    static struct text name;
    name = errno_name(errno);
    return result < 0 ? name.s : "ok";
}

/* Asks bind() and listen() for the second socket, and ends the line of the table with what they
 * return. `first` is the first socket, if it has to listen in between, or -1. */
static void ask(int second, const struct endpoint *at, int first)
{
    if (second < 0) {
        say("%-10s -\n", answer(second));
        return;
    }
    int result = bind(second, &at->sa, at->length);
    say("%-10s ", answer(result));
    if (result < 0) {
        say("-\n");
        return;
    }
    if (first >= 0 && listen(first, 1) < 0)
        die("listen %s, with the first socket", endpoint_text(at).s);
    say("%s\n", answer(listen(second, 1)));
}

static const char *option_name(int flags)
{
    return flags & REUSEADDR   ? "SO_REUSEADDR"
           : flags & REUSEPORT ? "SO_REUSEPORT"
           : flags & V6ONLY    ? "IPV6_V6ONLY"
           : flags & UDP       ? "UDP"
                               : "";
}

/* One line of the first table: two sockets at the same port. */
static void print_pair(const struct spec *one, const struct spec *two, uint16_t port)
{
    struct endpoint at1 = at_port(one->host, port), at2 = at_port(two->host, port);
    say("%-9s %-12s %-9s  %-9s %-12s  ", one->host, option_name(one->flags),
        one->flags & LISTENING ? "listening" : "bound", two->host, option_name(two->flags));
    int first = make_socket(at1.sa.sa_family, one->flags);
    if (first < 0) {
        say("first: %s\n", answer(first));
        return;
    }
    if (bind(first, &at1.sa, at1.length) < 0)
        die("bind %s, the first socket", endpoint_text(&at1).s);
    if (one->flags & LISTENING && listen(first, 1) < 0)
        die("listen %s, the first socket", endpoint_text(&at1).s);
    int second = make_socket(at2.sa.sa_family, two->flags);
    ask(second, &at2, one->flags & LISTENING ? -1 : first);
    if (second >= 0)
        close(second);
    close(first);
}

static void print_pairs(void)
{
    uint16_t port = free_port();
    say("All on port %d, which was free.\n\n", port);
    say("%-32s  %-22s  %-10s %s\n", "first socket", "second socket", "its bind", "its listen");
    for (size_t p = 0; p < sizeof pairs / sizeof pairs[0]; p++)
        print_pair(&pairs[p][0], &pairs[p][1], port);
}

/* The life of the old server: it listens, a client connects, the server accepts. One side closes.
 * The other one sees it (recv returns 0) and closes. The kernel keeps the side that
 * closed first for a minute, in the state TIME_WAIT. */
static void serve_one_client(const struct endpoint *at, int flags, bool server_closes_first)
{
    int listener = make_socket(AF_INET, flags);
    int client = make_socket(AF_INET, 0);
    if (listener < 0 || client < 0)
        die("socket");
    if (bind(listener, &at->sa, at->length) < 0)
        die("bind %s", endpoint_text(at).s);
    if (listen(listener, 1) < 0)
        die("listen %s", endpoint_text(at).s);
    if (connect_to(client, at) < 0)
        die("connect %s", endpoint_text(at).s);
    int connected = accept_next(listener);

    int closes_first = server_closes_first ? connected : client;
    int closes_second = server_closes_first ? client : connected;
    struct endpoint peer = peer_endpoint(closes_second);
    close(closes_first);
    char byte;
    ssize_t n;
    do
        n = recv(closes_second, &byte, 1, 0);
    while (was_interrupted(n));
    if (n < 0)
        die("recv from %s", endpoint_text(&peer).s);
    close(closes_second);
    close(listener);
}

static void print_restarts(void)
{
    say("A server is started again after it has served a client, on a port of its own.\n\n");
    say("%-29s  %-12s %-12s  %-10s %s\n", "closed first, so in TIME_WAIT", "old server",
        "new server", "its bind", "its listen");
    for (size_t r = 0; r < sizeof restarts / sizeof restarts[0]; r++) {
        bool server_closes_first = restarts[r].server_closes_first;
        int old_flags = restarts[r].old_flags, new_flags = restarts[r].new_flags;
        struct endpoint at = at_port("127.0.0.1", free_port());
        serve_one_client(&at, old_flags, server_closes_first);

        say("%-29s  %-12s %-12s  ", server_closes_first ? "the server" : "the client",
            old_flags ? option_name(old_flags) : "-", new_flags ? option_name(new_flags) : "-");
        int again = make_socket(AF_INET, new_flags);
        ask(again, &at, -1);
        if (again >= 0)
            close(again);
    }
}
