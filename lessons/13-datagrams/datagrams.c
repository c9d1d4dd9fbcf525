/* 13-datagrams: what is left of a conversation when there is no connection?
 *
 * Run:       bin/13-datagrams --receiver     in one terminal: it sends back what it receives
 *            bin/13-datagrams                in a second one: each line that you type is a message
 *            bin/13-datagrams --overfill     1000 messages for a buffer that has room for a few
 * Look for:  one socket for all peers; messages that keep their boundaries, or are lost in silence.
 *
 * The calls are POSIX. Linux only: MSG_TRUNC as recvfrom() takes it here, and --overfill, which
 * reads the kernel's count of lost messages. */
#define _GNU_SOURCE /* for ppoll(), which is in POSIX since 2024 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST = 65535 }; /* no datagram has more bytes than its length field can count */

/* What recvfrom() has found: it fetches one datagram, never a part of two. */
struct datagram {
    char data[LONGEST];
    size_t length; /* how long it was when it was sent */
    size_t kept;   /* how much of it is in `data`: no more than there was room for */
    struct endpoint from;
};

static void receiver(const struct endpoint *at, size_t room);
static void sender(const struct endpoint *to, bool connected, bool broadcast);
static void overfill(const struct endpoint *at);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--receiver"}, {.name = "--room BYTES"},
                                       {.name = "--connect"},  {.name = "--broadcast"},
                                       {.name = "--overfill"}, {.name = NULL}};
    const char *where = read_arguments(
        argc, argv,
        "Sends each line of its input as a datagram, and shows those that come back.\n"
        "--receiver: shows each datagram, and sends it back. --room: keeps that much.\n"
        "--connect: fixes the peer, so that errors come back. --broadcast: sets\n"
        "SO_BROADCAST. --overfill: sends itself more than its receive buffer holds.",
        options, "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    long room = LONGEST;
    if (options[1].given)
        room = parse_number(options[1].value, "room", 0, LONGEST);
    bool is_receiver = options[0].given, is_overfill = options[4].given;
    if (is_receiver + is_overfill + (options[2].given || options[3].given) > 1)
        usage_error("--receiver, --overfill, or the options of a sender");
    if (options[1].given && !is_receiver)
        usage_error("--room is for --receiver");
    catch_stop_signals();

    if (is_receiver)
        receiver(&at, (size_t)room);
    else if (is_overfill)
        overfill(&at);
    else
        sender(&at, options[2].given, options[3].given);
    return 0;
}

/* ---- One datagram ---- */

/* Fetches a datagram, if there is one, and at most `room` bytes of it: the kernel throws the rest
 * away. Returns true; or false, with errno: EAGAIN when there is nothing, which may be even when
 * poll() has just reported something (see BUGS in select(2)).
 *
 * MSG_DONTWAIT: wait_for() waits, recvfrom() does not (lesson 06). MSG_TRUNC asks for the whole
 * length of the datagram, even where it is cut. (What POSIX has is recvmsg(), which sets this flag
 * in its result when it has cut one.) */
static bool receive(int fd, size_t room, struct datagram *datagram)
{
    socklen_t length = sizeof datagram->from.in6;
    ssize_t n =
        recvfrom(fd, datagram->data, room, MSG_TRUNC | MSG_DONTWAIT, &datagram->from.sa, &length);
    if (n < 0)
        return false;
    datagram->from.length = length;
    datagram->length = (size_t)n;
    datagram->kept = datagram->length < room ? datagram->length : room;
    return true;
}

static void say_received(const struct datagram *datagram)
{
    struct text lost = {""};
    if (datagram->kept < datagram->length)
        snprintf(lost.s, sizeof lost.s, "; %zu more are lost", datagram->length - datagram->kept);
    say("recvfrom: %s %s from %s%s\n", counted(datagram->kept, "byte").s,
        quoted(datagram->data, datagram->kept).s, endpoint_text(&datagram->from).s, lost.s);
}

/* Sends one datagram: all of it or nothing, so no loop goes on with a rest. `to` is NULL when the
 * socket is connected. It waits only while the send buffer is full. Returns as sendto() does; -1
 * with EINTR when the user ends the program. */
static ssize_t send_datagram(int fd, const char *data, size_t length, const struct endpoint *to)
{
    for (;;) {
        ssize_t n = sendto(fd, data, length, MSG_DONTWAIT, to != NULL ? &to->sa : NULL,
                           to != NULL ? to->length : 0);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
            return n;
        if (!wait_for(fd, POLLOUT)) {
            errno = EINTR;
            return -1;
        }
    }
}

/* ---- The receiver ---- */

static void receiver(const struct endpoint *at, size_t room)
{
    static struct datagram datagram;
    log_waits = false; /* a terminal that takes no more lines does not stop the receiver */

    /* 1. A socket for datagrams, and a port for it. That is all: nobody listens or accepts. (No
     *    SO_REUSEADDR: UDP has no TIME_WAIT, and with it two programs could have this port.) */
    int fd = socket(at->sa.sa_family, SOCK_DGRAM, 0);
    if (fd < 0)
        die("socket");
    if (bind(fd, &at->sa, at->length) < 0)
        die("bind %s", endpoint_text(at).s);
    struct endpoint local = local_endpoint(fd);
    say("bind: fd %d is %s, waiting for datagrams\n", fd, endpoint_text(&local).s);

    while (wait_for(fd, POLLIN)) {
        /* 2. Whoever has sent it, it comes through this one socket. Its length may be 0: that is an
         *    empty message, and not the end of anything. */
        if (!receive(fd, room, &datagram)) {
            if (errno == EAGAIN || errno == EINTR)
                continue;
            die("recvfrom on %s", endpoint_text(&local).s);
        }
        say_received(&datagram);

        /* 3. recvfrom() has said who the sender is: the answer goes there. If that fails, it is the
         *    matter of this sender; the others are still to be answered. */
        if (send_datagram(fd, datagram.data, datagram.kept, &datagram.from) < 0 &&
            !stop_requested())
            complain(errno, "sendto %s", endpoint_text(&datagram.from).s);
    }
    if (close(fd) < 0)
        die("close fd %d", fd);
    say("close: fd %d\n", fd);
}

/* ---- The sender ---- */

/* Is it an error that a router, or the other machine, has reported about an earlier datagram (in a
 * message of the protocol ICMP), or one about this datagram alone? The next one may arrive. */
static bool is_about_one_datagram(int error)
{
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH ||
           error == EMSGSIZE || error == ENOBUFS;
}

static void send_line(int fd, const char *line, size_t length, const struct endpoint *to,
                      const char *peer)
{
    ssize_t n = send_datagram(fd, line, length, to);
    if (n < 0) {
        if (!is_about_one_datagram(errno))
            stop_or_die("sendto %s", peer);
        complain(errno, "sendto %s", peer);
        return;
    }
    struct endpoint local = local_endpoint(fd); /* the first sendto() has got it a port */
    say("sendto: %s from port %u to %s\n", counted((size_t)n, "byte").s, endpoint_port(&local),
        peer);
}

/* Reads what there is of the input, and sends each line, without its newline: a datagram needs no
 * sign for its end. Returns false at the end of the input. */
static bool send_lines(int fd, const struct endpoint *to, const char *peer)
{
    static char input[LONGEST + 1];
    static size_t length; /* of the line that has not come to its end */
    if (length == sizeof input)
        fail("a line of more than %d bytes does not fit into a datagram", LONGEST);
    ssize_t n = read(STDIN_FILENO, input + length, sizeof input - length);
    if (n < 0 && errno != EINTR && errno != EAGAIN)
        die("read stdin");
    if (n <= 0) {
        if (n == 0 && length > 0)
            send_line(fd, input, length, to, peer);
        return n < 0;
    }
    length += (size_t)n;
    char *line = input, *end;
    while (!stop_requested() && (end = memchr(line, '\n', length)) != NULL) {
        send_line(fd, line, (size_t)(end - line), to, peer);
        length -= (size_t)(end + 1 - line);
        line = end + 1;
    }
    memmove(input, line, length);
    return true;
}

static void sender(const struct endpoint *to, bool connected, bool broadcast)
{
    static struct datagram datagram;
    struct text peer = endpoint_text(to);

    /* 4. The sender's socket is of the same kind. It needs no bind(): the kernel chooses a port. */
    int fd = socket(to->sa.sa_family, SOCK_DGRAM, 0), on = 1;
    if (fd < 0)
        die("socket");
    if (broadcast && setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) < 0)
        die("setsockopt SO_BROADCAST of fd %d", fd);
    say("socket: fd %d\n", fd);

    /* 5. connect() sends nothing. It notes the peer in this socket: the kernel lets in only what
     *    comes from there, and reports the errors that come back. */
    if (connected) {
        if (connect(fd, &to->sa, to->length) < 0)
            die("connect %s", peer.s);
        struct endpoint local = local_endpoint(fd);
        say("connect: %s -> %s, and nothing was sent\n", endpoint_text(&local).s, peer.s);
    }

    /* 6. An answer may come at any time, from anybody, or not at all. */
    bool input = true;
    while (input && !stop_requested()) {
        struct pollfd wait[2] = {{.fd = fd, .events = POLLIN}, {STDIN_FILENO, POLLIN, 0}};
        if (ppoll(wait, 2, NULL, while_waiting) < 0) {
            if (errno != EINTR)
                die("poll");
            continue;
        }
        if (wait[0].revents != 0) {
            if (receive(fd, LONGEST, &datagram))
                say_received(&datagram);
            else if (is_about_one_datagram(errno))
                complain(errno, "recvfrom %s", peer.s);
            else if (errno != EAGAIN && errno != EINTR)
                die("recvfrom %s", peer.s);
        }
        if (wait[1].revents != 0)
            input = send_lines(fd, connected ? NULL : to, peer.s);
    }
    close(fd);
}

/* ---- A full buffer ---- */

/* Returns how many datagrams the kernel has thrown away because this socket's buffer was full. The
 * socket's inode (lesson 04) tells which line of /proc/net/udp is meant. */
static unsigned long drops_of(int fd)
{
    struct stat socket_file;
    struct sockets sockets = {.rows = NULL};
    unsigned long dropped = 0;
    if (fstat(fd, &socket_file) < 0)
        die("fstat of fd %d", fd);
    if (add_udp_sockets("/proc/net", &sockets) < 0)
        die("%s", sockets.problem);
    for (size_t i = 0; i < sockets.count; i++)
        if (sockets.rows[i].inode == socket_file.st_ino)
            dropped = sockets.rows[i].dropped;
    free_sockets(&sockets);
    return dropped;
}

static void overfill(const struct endpoint *at)
{
    enum { MESSAGES = 1000 };
    static struct datagram datagram;
    int size = 16384;
    socklen_t length = sizeof size;

    /* 7. Both sockets are in this program. The receiving one has a small buffer (lesson 09). */
    int in = socket(at->sa.sa_family, SOCK_DGRAM, 0), out = socket(at->sa.sa_family, SOCK_DGRAM, 0);
    if (in < 0 || out < 0)
        die("socket");
    if (setsockopt(in, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) < 0)
        die("setsockopt SO_RCVBUF of fd %d", in);
    if (getsockopt(in, SOL_SOCKET, SO_RCVBUF, &size, &length) < 0)
        die("getsockopt SO_RCVBUF of fd %d", in);
    if (bind(in, &at->sa, at->length) < 0)
        die("bind %s", endpoint_text(at).s);
    struct endpoint local = local_endpoint(in);
    say("bind: fd %d is %s, with a receive buffer of %d bytes\n", in, endpoint_text(&local).s,
        size);

    /* 8. Nobody receives. sendto() does not wait for that, and does not fail. */
    char message[100] = "";
    for (int i = 1; i <= MESSAGES; i++) {
        snprintf(message, sizeof message, "message %d", i);
        if (send_datagram(out, message, sizeof message, &local) < 0)
            stop_or_die("sendto %s", endpoint_text(&local).s);
    }
    say("sendto: %d messages of %zu bytes, and no call failed\n", MESSAGES, sizeof message);
    say("Enter receives those that are there.\n");
    wait_for_enter();

    /* 9. What the buffer had room for is there, in order. The rest is nowhere. */
    int received = 0, in_order = 0, number;
    while (!stop_requested()) {
        if (!receive(in, sizeof message, &datagram)) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN)
                break;
            die("recvfrom on %s", endpoint_text(&local).s);
        }
        received++;
        if (sscanf(datagram.data, "message %d", &number) == 1 && number == received)
            in_order++;
    }
    say("recvfrom: %d messages, %s\n", received,
        in_order == received ? "the first ones that were sent" : "and not the first ones");
    say("lost: %d messages; the kernel has counted %lu\n", MESSAGES - received, drops_of(in));
    close(in);
    close(out);
}
