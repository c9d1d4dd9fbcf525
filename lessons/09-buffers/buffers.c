/* 09-buffers: where are the bytes that are sent, and not yet received?
 *
 * Run:       bin/09-buffers --reader      in one terminal: it reads only when you tell it to
 *            bin/09-buffers               in a second one: it writes until the kernel takes no more
 *            bin/09-buffers --stream      three sends, one recv; one send, three recvs
 * Look for:  both buffers filling; the writer that has to wait; how much you read to wake it.
 *
 * Linux only: SIOCOUTQ and SIOCINQ ask how many bytes are in the buffers (tcp(7)). */
#define _GNU_SOURCE /* for ppoll(), for ioctl() and the two requests */
#include "common.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void reader(const struct endpoint *at);
static void writer(const struct endpoint *at);
static void stream(const struct endpoint *at);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--reader"}, {.name = "--stream"}, {.name = NULL}};
    const char *where = read_arguments(
        argc, argv,
        "Connects, and writes as much as the kernel takes.\n"
        "--reader: the other side. It reads once for each Enter, or as many bytes as you\n"
        "type. --stream: shows that TCP carries bytes in order, not messages.",
        options, "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    if (options[0].given && options[1].given)
        usage_error("choose --reader or --stream, not both");
    catch_stop_signals();
    if (options[0].given)
        reader(&at);
    else if (options[1].given)
        stream(&at);
    else
        writer(&at);
    return 0;
}

/* ---- The two buffers ---- */

/* Asks for a buffer of that size (SO_SNDBUF: the send buffer, SO_RCVBUF: the receive buffer), and
 * says what the kernel made of it. It doubles the number: it needs room for its own data. */
static int set_buffer(int fd, int option, int size)
{
    int got = 0;
    socklen_t length = sizeof got;
    const char *name = option == SO_SNDBUF ? "SO_SNDBUF" : "SO_RCVBUF";
    if (setsockopt(fd, SOL_SOCKET, option, &size, sizeof size) < 0)
        die("setsockopt %s of fd %d", name, fd);
    if (getsockopt(fd, SOL_SOCKET, option, &got, &length) < 0)
        die("getsockopt %s of fd %d", name, fd);
    say("%s buffer: asked for %d bytes, the kernel made it %d\n",
        option == SO_SNDBUF ? "send" : "receive", size, got);
    return got;
}

/* How many bytes are in the send buffer (SIOCOUTQ): sent by the program, and not yet confirmed by
 * the peer's kernel. Or in the receive buffer (SIOCINQ): received, and not yet read. */
static int bytes_in(int fd, unsigned long request)
{
    int bytes = 0; /* (C libraries do not agree on a request's type: so give it as a constant.) */
    if (ioctl(fd, request == SIOCOUTQ ? SIOCOUTQ : SIOCINQ, &bytes) < 0)
        die("ioctl %s of fd %d", request == SIOCOUTQ ? "SIOCOUTQ" : "SIOCINQ", fd);
    return bytes;
}

/* Waits for this time, or until the user ends the program. */
static void pause_for(long milliseconds)
{
    const struct timespec moment = {.tv_nsec = milliseconds * 1000000};
    if (ppoll(NULL, 0, &moment, while_waiting) < 0 && errno != EINTR)
        die("poll");
}

enum { BAR = 32 };

static void say_bar(const char *name, int bytes, int size)
{
    int full = bytes >= size ? BAR : (int)((long long)bytes * BAR / size);
    say("%s [%.*s%.*s] %d of %d bytes\n", name, full, "################################",
        BAR - full, "................................", bytes, size);
}

/* ---- The writer ---- */

static void writer(const struct endpoint *at)
{
    /* 1. Connect, with a send buffer that is small enough to be filled before your eyes. */
    int fd = socket(at->sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    int size = set_buffer(fd, SO_SNDBUF, 16384);
    if (connect_to(fd, at) < 0)
        stop_or_die("connect %s", endpoint_text(at).s);
    struct endpoint local = local_endpoint(fd), peer = peer_endpoint(fd);
    say("connect: %s -> %s\n", endpoint_text(&local).s, endpoint_text(&peer).s);

    /* 2. Non-blocking, so that send() says EAGAIN instead of waiting where we cannot see it. */
    if (!set_nonblocking(fd))
        die("fcntl O_NONBLOCK of fd %d", fd);
    static char bytes[2048];
    size_t total = 0;
    int shown = -1;
    while (!stop_requested()) {
        ssize_t n = send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            die("send to %s", endpoint_text(&peer).s);
        if (n >= 0) {
            total += (size_t)n;
            int now = bytes_in(fd, SIOCOUTQ);
            if (now * 8 / size != shown)
                say_bar("send buffer", now, size);
            shown = now * 8 / size;
            pause_for(10); /* slowly, so that you can watch */
            continue;
        }

        /* 3. Full. A send() that may wait would wait here, until the reader reads. */
        say_bar("send buffer", bytes_in(fd, SIOCOUTQ), size);
        say("send: Resource temporarily unavailable (EAGAIN), after %s: waiting\n",
            counted(total, "byte").s);
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};
        while (ppoll(&pfd, 1, NULL, while_waiting) < 0 && !stop_requested())
            if (errno != EINTR)
                die("poll");
        if (!stop_requested() && (pfd.revents & POLLERR) == 0) /* or send() reports the error */
            say("poll: there is room again\n");
    }
    close(fd);
    say("close: fd %d, after %s\n", fd, counted(total, "byte").s);
}

/* ---- The reader ---- */

static void reader(const struct endpoint *at)
{
    log_waits = false; /* a terminal or pipe that takes no more lines does not stop the reader */

    /* 4. The receive buffer's size is set at the listener: the sockets that it accepts have the
     * same, and it has to be known before the connection begins. */
    int listener = open_listener(at, 1);
    int size = set_buffer(listener, SO_RCVBUF, 16384);
    struct endpoint local = local_endpoint(listener);
    say("listen: fd %d is %s, waiting for the writer\n", listener, endpoint_text(&local).s);
    int fd = accept_next(listener);
    struct endpoint peer = peer_endpoint(fd);
    say("accept: fd %d, the writer is %s\n", fd, endpoint_text(&peer).s);
    say("Enter reads what there is; a number and Enter, at most that many bytes; ^D ends.\n");

    /* 5. Watch the receive buffer, and read only when somebody says so. */
    char line[64], byte, *room = malloc(1 << 20);
    size_t length = 0;
    int shown = -1;
    if (room == NULL)
        die("malloc");
    while (!stop_requested()) {
        int now = bytes_in(fd, SIOCINQ);
        if (now * 8 / size != shown)
            say_bar("receive buffer", now, size);
        shown = now * 8 / size;
        struct pollfd pfd = {.fd = STDIN_FILENO, .events = POLLIN};
        const struct timespec moment = {.tv_nsec = 20000000};
        int ready = ppoll(&pfd, 1, &moment, while_waiting);
        if (ready < 0 && errno != EINTR)
            die("poll");
        if (ready <= 0)
            continue;

        /*    Byte by byte: getline() would wait for the rest of a line, and the bar would freeze.
         */
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            die("read stdin");
        if (n == 0 && length == 0)
            break; /* ^D */
        if (n == 1 && byte != '\n' && length < sizeof line - 1)
            line[length++] = byte;
        if (n < 0 || (n == 1 && byte != '\n'))
            continue;
        line[length] = '\0';
        length = 0;
        const long most = 1 << 20;
        long want = line[0] == '\0' ? most : strtol(line, NULL, 10);
        if (line[strspn(line, "0123456789")] != '\0' || want < 1 || want > most) {
            say("%s is not a number of bytes from 1 to %ld\n", quoted(line, strlen(line)).s, most);
            continue;
        }
        do
            n = recv(fd, room, (size_t)want, MSG_DONTWAIT);
        while (was_interrupted(n));
        if (n < 0 && errno == EAGAIN) {
            say("recv: nothing there\n");
            continue;
        }
        if (n < 0)
            die("recv from %s", endpoint_text(&peer).s);
        say("recv: %s\n", counted((size_t)n, "byte").s);
        if (n == 0)
            break;
        shown = -1; /* and show the bar again */
    }
    free(room);
    close(fd);
    close(listener);
    say("close: fd %d and fd %d\n", fd, listener);
}

/* ---- The stream ---- */

static void wait_until_received(int fd, int bytes)
{
    while (bytes_in(fd, SIOCINQ) < bytes && !stop_requested())
        pause_for(1);
}

static void send_all(int fd, const char *to, const char *data, size_t length)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t n = send(fd, data + sent, length - sent, MSG_NOSIGNAL);
        if (was_interrupted(n))
            continue;
        if (n < 0)
            die("send to %s", to);
        sent += (size_t)n;
    }
}

static size_t receive(int fd, const char *from, char *bytes, size_t room)
{
    ssize_t n;
    do
        n = recv(fd, bytes, room, 0);
    while (was_interrupted(n));
    if (n < 0)
        die("recv from %s", from);
    return (size_t)n;
}

static void stream(const struct endpoint *at)
{
    /* 6. Both sides of one connection, in one program. */
    int listener = open_listener(at, 1), size = 200000; /* room for all that is sent below */
    if (setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) < 0)
        die("setsockopt SO_RCVBUF of fd %d", listener);
    struct endpoint local = local_endpoint(listener);
    int client = socket(at->sa.sa_family, SOCK_STREAM, 0);
    if (client < 0)
        die("socket");
    if (connect_to(client, &local) < 0)
        stop_or_die("connect %s", endpoint_text(&local).s);
    int server = accept_next(listener);
    struct endpoint peer = peer_endpoint(server);
    struct text to = endpoint_text(&local), from = endpoint_text(&peer);
    char received[32768];

    /* 7. Three sends; when all has arrived, one recv. Nothing shows where one word ended. */
    static const char *const words[] = {"one", "two", "three"};
    int bytes = 0;
    for (int i = 0; i < 3; i++) {
        send_all(client, to.s, words[i], strlen(words[i]));
        bytes += (int)strlen(words[i]);
        say("send: %s\n", quoted(words[i], strlen(words[i])).s);
    }
    wait_until_received(server, bytes);
    size_t n = receive(server, from.s, received, sizeof received);
    say("recv: %s %s\n", counted(n, "byte").s, quoted(received, n).s);

    /* 8. One send; the receiver takes what its own array has room for, three times. */
    static char much[80000];
    memset(much, 'x', sizeof much);
    send_all(client, to.s, much, sizeof much);
    say("send: 80000 bytes\n");
    wait_until_received(server, 80000);
    for (size_t got = 0; got < sizeof much; got += n) {
        n = receive(server, from.s, received, sizeof received);
        say("recv: %s\n", counted(n, "byte").s);
    }

    /* 9. So the sender has to say where a message ends: with a delimiter that is not in the
     *    message, here the end of the line, or with its length, sent first. */
    static const char *const lines = "one\ntwo\nthree\n";
    send_all(client, to.s, lines, strlen(lines));
    say("send: %s\n", quoted(lines, strlen(lines)).s);
    wait_until_received(server, (int)strlen(lines));
    n = receive(server, from.s, received, sizeof received - 1);
    received[n] = '\0'; /* now it is a string */
    for (char *line = strtok(received, "\n"); line != NULL; line = strtok(NULL, "\n"))
        say("message: %s\n", quoted(line, strlen(line)).s);
    close(client);
    close(server);
    close(listener);
}
