/* 09-exercise: messages on a stream. Each one is sent with its length in front.
 *
 * Run:       bin/09-exercise --receive     in one terminal
 *            bin/09-exercise               in a second one; each line that you type is a message
 */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 1 << 20 }; /* the longest message: 1048576 bytes */

enum outcome {
    MESSAGE,  /* a message, of `length` bytes */
    FINISHED, /* the peer has finished, and no message is incomplete */
    CUT_OFF,  /* the peer has finished within a message */
    FAILED,   /* receiving has failed, a reset for example: see errno */
    TOO_LONG, /* the length says that the message is longer than MOST */
};

static bool send_message(int fd, const char *message, size_t length);
static enum outcome receive_message(int fd, char room[MOST], size_t *length);
static void receiver(const struct endpoint *at);
static void sender(const struct endpoint *at);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--receive"}, {.name = NULL}};
    struct endpoint at =
        parse_endpoint(read_arguments(argc, argv,
                                      "Sends each line that it reads as a message.\n--receive: "
                                      "receives messages, and shows them.",
                                      options, "HOST:PORT"));
    if (options[0].given)
        receiver(&at);
    else
        sender(&at);
    return 0;
}

/* Sends all of it. Returns false, with errno, if that fails. */
static bool send_all(int fd, const void *data, size_t length)
{
    const char *next = data;
    while (length > 0) {
        /* send() may take only a part if a signal comes while it waits: ^Z, and then fg. */
        ssize_t n = send(fd, next, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        next += n;
        length -= (size_t)n;
    }
    return true;
}

/* Receives until it has `length` bytes, or the peer has finished. Returns how many it has, or -1,
 * with errno, if receiving fails: then it does not matter how many there were. */
static ssize_t receive_all(int fd, void *room, size_t length)
{
    size_t got = 0;
    while (got < length) {
        ssize_t n = recv(fd, (char *)room + got, length - got, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

/* Sends the length, 4 bytes in network byte order, and then the message. Returns false, with errno,
 * if that fails. */
static bool send_message(int fd, const char *message, size_t length)
{
    uint32_t header = htonl((uint32_t)length); /* htons() is for 2 bytes, htonl() for 4 */
    return send_all(fd, &header, sizeof header) && send_all(fd, message, length);
}

/* Receives one message into room[0..MOST-1], however many pieces it comes in, and puts its
 * length into *length. What comes after it stays in the receive buffer, for the next call. */
static enum outcome receive_message(int fd, char room[MOST], size_t *length)
{
    uint32_t header;
    ssize_t got = receive_all(fd, &header, sizeof header);
    if (got < 0)
        return FAILED; /* a reset is not the end: the peer may have had more to say */
    if (got == 0)
        return FINISHED;
    if (got < (ssize_t)sizeof header)
        return CUT_OFF;
    *length = ntohl(header);
    if (*length > MOST) /* never trust a length that a peer sends */
        return TOO_LONG;
    got = receive_all(fd, room, *length);
    return got < 0 ? FAILED : got < (ssize_t)*length ? CUT_OFF : MESSAGE;
}

static void receiver(const struct endpoint *at)
{
    static char room[MOST];
    size_t length = 0;
    int listener = open_listener(at, 1);
    struct endpoint local = local_endpoint(listener);
    say("listen: fd %d is %s\n", listener, endpoint_text(&local).s);
    int fd;
    do
        fd = accept(listener, NULL, NULL);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0)
        die("accept on %s", endpoint_text(at).s);

    enum outcome outcome;
    while ((outcome = receive_message(fd, room, &length)) == MESSAGE)
        say("message: %s %s\n", counted(length, "byte").s, quoted(room, length).s);
    if (outcome == FAILED)
        die("recv");
    close(fd);
    close(listener);
    if (outcome == FINISHED) {
        say("the peer has finished\n");
    } else {
        fprintf(stderr, "09-exercise: %s\n",
                outcome == TOO_LONG ? "too long a message" : "cut off within a message");
        exit(1);
    }
}

static void sender(const struct endpoint *at)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    int size = 16384, fd = socket(at->sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    /* A small send buffer: a long message does not fit into it, and send() has to wait. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0)
        die("setsockopt SO_SNDBUF of fd %d", fd);
    if (connect(fd, &at->sa, at->length) < 0)
        die("connect %s", endpoint_text(at).s);
    while ((n = getline(&line, &room, stdin)) >= 0 && !ferror(stdin)) {
        if (n > 0 && line[n - 1] == '\n')
            n--; /* the newline is not part of the message */
        if (n > MOST) {
            fprintf(stderr, "09-exercise: a line of %zd bytes is too long a message\n", n);
            exit(1);
        }
        if (!send_message(fd, line, (size_t)n))
            die("send to %s", endpoint_text(at).s);
    }
    if (ferror(stdin))
        die("read stdin");
    free(line);
    close(fd);
}
