/* 08-endpoints: what tells one connection from another?
 *
 * Run:       bin/08-endpoints         and, while it waits, `ss -tan` in a second terminal
 * Look for:  many sockets on port 6666, and no two with the same pair of endpoints. */
#include "common.h"

#include <stdlib.h>
#include <unistd.h>

static int connect_from(const struct endpoint *local, const struct endpoint *server);
static int accept_from(int listener, const struct endpoint *client);
static void say_row(int fd, const char *role, int number);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--clients N"}, {.name = NULL}};
    const char *where =
        read_arguments(argc, argv,
                       "Makes a listener and N clients of its own (3), accepts them, and shows\n"
                       "every socket; holds them until Enter, end of input or ^C.",
                       options, "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    int n = 3;
    if (options[0].given)
        n = (int)parse_number(options[0].value, "number of clients", 1, 1000000);
    catch_stop_signals();

    /* 1. A listener (lesson 06) and n clients (lesson 05), here in one process, so that it can
     *    show both sides of each connection. */
    int listener = open_listener(&at, SOMAXCONN);
    at = local_endpoint(listener);
    say("listen: fd %d is %s\n", listener, endpoint_text(&at).s);
    int *client = calloc((size_t)n, sizeof *client), *accepted = calloc((size_t)n, sizeof *client);
    if (client == NULL || accepted == NULL)
        die("calloc");
    for (int i = 0; i < n; i++) {
        client[i] = connect_from(NULL, &at);
        struct endpoint local = local_endpoint(client[i]);
        accepted[i] = accept_from(listener, &local);
    }

    /* 2. Every socket, as the kernel knows it: its own endpoint and its peer's. The listener has no
     *    peer; the accepted sockets have the listener's address and port. */
    say("\n%-4s %-14s %-22s %s\n", "fd", "socket", "local endpoint", "peer's endpoint");
    say_row(listener, "listener", 0);
    for (int i = 0; i < n; i++) {
        say_row(client[i], "client", i + 1);
        say_row(accepted[i], "accepted", i + 1);
    }

    /* 3. Count: how many of these use the listener's port as their own, how many listen? */
    int on_port = 0, listening = 0;
    for (int i = -1; i < 2 * n; i++) {
        int fd = i < 0 ? listener : i < n ? client[i] : accepted[i - n];
        struct endpoint local = local_endpoint(fd);
        int answer = 0;
        socklen_t length = sizeof answer;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &answer, &length) < 0)
            die("getsockopt SO_ACCEPTCONN of fd %d", fd);
        on_port += endpoint_port(&local) == endpoint_port(&at);
        listening += answer != 0;
    }
    say("\nsockets: %d; with local port %d: %d; listening: %d\n", 2 * n + 1, endpoint_port(&at),
        on_port, listening);

    /* 4. The two sides of a connection: the local endpoint of one is the peer of the other. */
    for (int i = 0; i < n; i++) {
        struct endpoint here = local_endpoint(client[i]), there = peer_endpoint(client[i]);
        struct endpoint local = local_endpoint(accepted[i]), peer = peer_endpoint(accepted[i]);
        bool mirrored = same_endpoint(&here, &peer) && same_endpoint(&there, &local);
        say("connection %d: the endpoints of fd %d and fd %d %s each other\n", i + 1, client[i],
            accepted[i], mirrored ? "mirror" : "DO NOT MIRROR");
    }

    /* 5. The other way round: one port of a client, two servers. The peers differ. */
    say("\nOne local port, two servers:\n");
    struct endpoint second = at, local = local_endpoint(client[0]);
    *(second.sa.sa_family == AF_INET ? &second.in.sin_port : &second.in6.sin6_port) = 0;
    *(local.sa.sa_family == AF_INET ? &local.in.sin_port : &local.in6.sin6_port) = 0;
    int listener2 = open_listener(&second, 1);
    second = local_endpoint(listener2);
    say("listen: fd %d is %s\n", listener2, endpoint_text(&second).s);
    int two[4];
    two[0] = connect_from(&local, &at);
    local = local_endpoint(two[0]); /* the port that the kernel has chosen is used again */
    two[1] = accept_from(listener, &local);
    two[2] = connect_from(&local, &second);
    two[3] = accept_from(listener2, &local);

    say("\nCompare with `ss -tan` in a second terminal. Enter ends this.\n");
    wait_for_enter();

    for (int i = 0; i < n; i++) {
        close(client[i]);
        close(accepted[i]);
    }
    for (int i = 0; i < 4; i++)
        close(two[i]);
    close(listener2);
    close(listener);
    free(client);
    free(accepted);
    return 0;
}

/* Returns a socket connected to `server`. With `local`, it is bound to that endpoint first: a
 * client can do that, but hardly ever has a reason to. */
static int connect_from(const struct endpoint *local, const struct endpoint *server)
{
    int on = 1, fd = socket(server->sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket for a client");
    if (local != NULL) {
        /* SO_REUSEADDR: two sockets may have this endpoint, as neither listens (lesson 03). */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
            die("setsockopt SO_REUSEADDR of fd %d", fd);
        if (bind(fd, &local->sa, local->length) < 0)
            die("bind %s", endpoint_text(local).s);
    }
    if (connect_to(fd, server) < 0)
        stop_or_die("connect %s", endpoint_text(server).s);
    struct endpoint here = local_endpoint(fd), there = peer_endpoint(fd);
    say("connect: fd %d is %s, its peer is %s\n", fd, endpoint_text(&here).s,
        endpoint_text(&there).s);
    return fd;
}

/* Accepts clients until the one with the endpoint `client` comes: any program may connect. */
static int accept_from(int listener, const struct endpoint *client)
{
    for (;;) {
        int fd = accept_next(listener);
        struct endpoint here = local_endpoint(fd), there = peer_endpoint(fd);
        say("accept: fd %d is %s, its peer is %s\n", fd, endpoint_text(&here).s,
            endpoint_text(&there).s);
        if (same_endpoint(&there, client))
            return fd;
        close(fd);
        say("close: fd %d, that was not one of ours\n", fd);
    }
}

static void say_row(int fd, const char *role, int number)
{
    struct endpoint local = local_endpoint(fd), peer = peer_endpoint(fd);
    say("%-4d %-8s %-5.0d %-22s %s\n", fd, role, number, endpoint_text(&local).s,
        endpoint_text(&peer).s);
}
