/* 05-connect: what does it take to reach a program on a machine?
 *
 * Run:       bin/05-connect HOST:PORT      HOST is an address, or a name such as localhost
 *            What you type goes to the peer, what the peer sends is shown. ^D: you have finished.
 * Look for:  the two endpoints of the connection, and which of them you did not choose.
 *
 * It is the client of all later lessons. In a pipe it carries any bytes as they are: the peer's go
 * to stdout, and its own messages go to stderr. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct endpoint endpoint_of(const struct addrinfo *answer);
static int connect_within(int fd, const struct endpoint *peer, int milliseconds);
static const char *meaning(int error);
static void carry(int fd, const char *peer);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--timeout SECONDS"}, {.name = NULL}};
    const char *where =
        read_arguments(argc, argv,
                       "Connects to HOST:PORT, sends what it reads and shows what it receives.\n"
                       "--timeout: how long to try each address (the kernel tries for minutes).",
                       options, "HOST:PORT");
    uint16_t port;
    char *host = split_endpoint(where != NULL ? where : DEFAULT_ENDPOINT, &port);
    int milliseconds = -1; /* as long as the kernel tries */
    if (options[0].given)
        milliseconds = 1000 * (int)parse_number(options[0].value, "time in seconds", 1, 3600);
    if (!isatty(STDOUT_FILENO))
        log_fd = STDERR_FILENO; /* stdout belongs to the peer's bytes */

    /* 1. From the name to addresses. A name can have several, IPv4 and IPv6. */
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
    char service[8];
    snprintf(service, sizeof service, "%d", port);
    int error = getaddrinfo(host, service, &hints, &list);
    if (error != 0) {
        if (error == EAI_SYSTEM)
            die("getaddrinfo %s", quoted(host, strlen(host)).s);
        /* All its other error codes are its own (EAI_...): errno says nothing here. */
        fprintf(stderr, "05-connect: getaddrinfo %s: %s (%s)\n", quoted(host, strlen(host)).s,
                gai_strerror(error),
                error == EAI_NONAME   ? "EAI_NONAME"
                : error == EAI_AGAIN  ? "EAI_AGAIN"
                : error == EAI_MEMORY ? "EAI_MEMORY"
                                      : "see man getaddrinfo");
        if (error == EAI_AGAIN)
            fprintf(stderr, "  No name server could answer: is this machine connected?\n");
        else if (error == EAI_NONAME)
            fprintf(stderr, "  No address was found for this name: is it spelled right?\n");
        free(host);
        return 1;
    }

    for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        struct endpoint peer = endpoint_of(a);
        if (where != NULL && strcmp(endpoint_text(&peer).s, where) != 0)
            say("getaddrinfo: %s is %s\n", quoted(host, strlen(host)).s, endpoint_text(&peer).s);
    }

    /* 2. Try them in turn. If the first address fails, the second one may still work. */
    int fd = -1;
    for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        struct endpoint peer = endpoint_of(a);
        struct text name = endpoint_text(&peer);
        fd = socket(a->ai_family, SOCK_STREAM, 0);
        if (fd < 0) {
            complain(errno, "socket for %s", name.s);
            continue;
        }
        error = connect_within(fd, &peer, milliseconds);
        if (error == 0)
            break;
        complain(error, "connect %s", name.s);
        if (meaning(error) != NULL)
            fprintf(stderr, "  %s\n", meaning(error));
        close(fd); /* after a failed connect() its state is unspecified: take a new socket */
        fd = -1;
    }
    freeaddrinfo(list);
    free(host);
    if (fd < 0)
        return 1;

    /* 3. Connected. We never called bind: the kernel has given us an address and a port. */
    struct endpoint local = local_endpoint(fd), peer = {.length = 0};
    socklen_t length = sizeof peer.in6;
    if (getpeername(fd, &peer.sa, &length) < 0)
        die("getpeername of fd %d", fd); /* the peer may have reset the connection already */
    peer.length = length;
    say("connect: %s -> %s\n", endpoint_text(&local).s, endpoint_text(&peer).s);

    carry(fd, endpoint_text(&peer).s);
    close(fd);
    return 0;
}

static struct endpoint endpoint_of(const struct addrinfo *answer)
{
    struct endpoint endpoint = {.length = answer->ai_addrlen};
    memcpy(&endpoint.sa, answer->ai_addr, answer->ai_addrlen); /* IPv4 or IPv6: it fits */
    return endpoint;
}

/* connect(), with a time limit. connect() itself does not take one. So we make the socket
 * non-blocking: connect() only starts, and poll() waits for the outcome. Returns 0, or the errno
 * value of the failure. */
static int connect_within(int fd, const struct endpoint *peer, int milliseconds)
{
    int flags = fcntl(fd, F_GETFL); /* F_SETFL sets all flags: keep those that are set */
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        die("fcntl O_NONBLOCK of fd %d", fd);
    if (connect(fd, &peer->sa, peer->length) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EINTR) /* EINTR: it goes on in the kernel */
        return errno;

    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int ready;
    do
        ready = poll(&wait, 1, milliseconds);
    while (ready < 0 && errno == EINTR); /* a signal handler has run: wait again */
    if (ready < 0)
        die("poll");
    if (ready == 0)
        return ETIMEDOUT;

    int error = 0; /* the socket has kept it for us */
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        die("getsockopt SO_ERROR of fd %d", fd);
    return error;
}

/* What an error of connect() means, whatever its reason is: tests/course/hints.bats tries them. */
static const char *meaning(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "No program listens on this address and port. Or a firewall refuses.";
    case ETIMEDOUT:
        return "No answer. Is the machine on, the server busy? Does a firewall drop packets?";
    case EHOSTUNREACH:
        return "Not reached: is the machine on, is the address right? Or a firewall refuses.";
    case ENETUNREACH:
        return "No route leads there. Is this machine connected, is the address right?";
    case EACCES:
    case EPERM:
        return "A rule on this machine forbids it (a firewall, or a prohibited route).";
    case EADDRNOTAVAIL:
        return "No address of this machine fits (no IPv6?), or no ephemeral port is left.";
    case EINVAL:
        return "If the address begins with fe80, it lacks its interface: [fe80::1%eth0]:6666.";
    default:
        return NULL;
    }
}

/* 4. Carry bytes both ways until both sides have finished. Either direction can wait while the
 * other one moves: so ask poll() what is ready, and never wait in read, recv or send. */
static void carry(int fd, const char *peer)
{
    static char outgoing[65536], incoming[65536];
    size_t begin = 0, end = 0; /* outgoing[begin..end-1] is read, and not yet sent */
    bool we_read = true, we_finished = false, peer_finished = false;

    while (!we_finished || !peer_finished) {
        struct pollfd wait[2] = {{.fd = we_read && begin == end ? STDIN_FILENO : -1,
                                  .events = POLLIN}, /* -1: not now; nothing piles up in memory */
                                 {.fd = fd}};
        if (!peer_finished)
            wait[1].events |= POLLIN;
        if (begin < end)
            wait[1].events |= POLLOUT;
        if (poll(wait, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            die("poll");
        }

        /* stdin -> outgoing */
        if (wait[0].revents != 0) {
            ssize_t n = read(STDIN_FILENO, outgoing, sizeof outgoing);
            if (n < 0 && errno != EINTR && errno != EAGAIN)
                die("read stdin");
            if (n == 0)
                we_read = false;
            begin = 0;
            end = n > 0 ? (size_t)n : 0;
        }

        /* outgoing -> socket. send() takes what fits into the kernel's buffer: it may be a part.
         * If the peer has gone, it fails with EPIPE, and the signal SIGPIPE would end the program;
         * MSG_NOSIGNAL keeps the signal away. */
        if (begin < end) {
            ssize_t n = send(fd, outgoing + begin, end - begin, MSG_NOSIGNAL);
            if (n < 0 && errno != EINTR && errno != EAGAIN)
                die("send to %s", peer);
            if (n > 0) {
                begin += (size_t)n;
                if (log_fd == STDOUT_FILENO)
                    say("send: %s\n", counted((size_t)n, "byte").s);
            }
        }

        /* Half-close: we have finished, and the recv() of the peer returns 0. We can still receive.
         * (ENOTCONN: the peer has reset the connection; recv() below reports it.) */
        if (!we_read && begin == end && !we_finished) {
            if (shutdown(fd, SHUT_WR) < 0 && errno != ENOTCONN)
                die("shutdown of fd %d", fd);
            we_finished = true;
            say("shutdown: we have finished; the peer may still send\n");
        }

        /* socket -> stdout */
        if (!peer_finished && wait[1].revents != 0) {
            ssize_t n = recv(fd, incoming, sizeof incoming, 0);
            if (n < 0 && errno != EINTR && errno != EAGAIN)
                die("recv from %s", peer);
            if (n == 0) {
                peer_finished = true;
                say("recv: 0 bytes, the peer has finished\n");
            }
            if (n > 0 && log_fd == STDOUT_FILENO)
                say("recv: %s %s\n", counted((size_t)n, "byte").s, quoted(incoming, (size_t)n).s);
            else if (n > 0 && write_all(STDOUT_FILENO, incoming, (size_t)n) < 0)
                die("write to stdout");
        } else if (peer_finished && (wait[1].revents & (POLLERR | POLLHUP)) != 0 && !we_finished) {
            /* It had finished sending; now it has ended the connection as well. */
            int error = 0;
            socklen_t length = sizeof error;
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
            errno = error != 0 ? error : ECONNRESET;
            die("connection to %s", peer);
        }
    }
}
