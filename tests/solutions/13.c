/* 13-exercise: a question and its answer, over a network that loses, delays and repeats messages.
 *
 * Run:       bin/13-exercise         and type a question; ^D ends it
 *
 * A server answers "7 ANSWER" to "7 QUESTION". That of the checks loses and delays messages. */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 5, WAIT = 500 /* milliseconds, for each of them */ };

/* What time is it, in milliseconds? Only the difference of two such times means something. */
static long milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000;
}

/* Fetches a message. Returns true if it is the answer to this question: it begins with the number,
 * and a blank. All else was late, or damaged, or an error about a message that we have sent: there
 * is nothing to be done about it but to go on waiting. */
static bool receive_answer(int fd, unsigned number, char *answer, size_t room)
{
    char message[1100], *end;
    ssize_t n = recv(fd, message, sizeof message - 1, MSG_DONTWAIT);
    if (n < 0)
        return false;
    message[n] = '\0'; /* now it is a string */
    if (message[0] < '0' || message[0] > '9' || strtoul(message, &end, 10) != number || *end != ' ')
        return false;
    snprintf(answer, room, "%s", end + 1);
    return true;
}

/* Asks the server at the other end of fd, a connected UDP socket. `number` is this question's own.
 * Sends "NUMBER QUESTION" and waits for "NUMBER ANSWER", for WAIT milliseconds; then the same
 * again, TRIES times in all. Puts the answer, without the number, as a string into `answer`, which
 * has room for so many bytes. Returns true; or false when no answer has come. */
static bool ask(int fd, unsigned number, const char *question, char *answer, size_t room)
{
    /* --- your code --- */
    char message[1100];
    int length = snprintf(message, sizeof message, "%u %s", number, question);
    for (int tries = 0; tries < TRIES; tries++) {
        /* (ECONNREFUSED is about an earlier message. It is reported once; then this one is sent.)
         */
        if (send(fd, message, (size_t)length, 0) < 0 && errno == ECONNREFUSED)
            send(fd, message, (size_t)length, 0);
        long until = milliseconds() + WAIT;
        for (long left = WAIT; left > 0; left = until - milliseconds()) {
            struct pollfd wait = {.fd = fd, .events = POLLIN};
            if (poll(&wait, 1, (int)left) <= 0)
                continue;
            if (receive_answer(fd, number, answer, room))
                return true;
        }
    }
    return false;
    /* --- to here --- */
}

int main(int argc, char **argv)
{
    struct endpoint at = parse_endpoint(read_arguments(
        argc, argv, "Sends each line of its input to a server, and prints the answers.", NULL,
        "HOST:PORT"));
    int fd = socket(at.sa.sa_family, SOCK_DGRAM, 0);
    if (fd < 0)
        die("socket");
    if (connect(fd, &at.sa, at.length) < 0)
        die("connect %s", endpoint_text(&at).s);

    char line[1000], answer[1000];
    for (unsigned number = 1; fgets(line, sizeof line, stdin) != NULL; number++) {
        line[strcspn(line, "\n")] = '\0';
        if (!ask(fd, number, line, answer, sizeof answer))
            fail("no answer from %s after %d tries", endpoint_text(&at).s, TRIES);
        say("%s\n", answer);
    }
    close(fd);
    return 0;
}
