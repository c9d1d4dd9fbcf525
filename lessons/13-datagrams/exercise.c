/* 13-exercise: a question and its answer, over a network that loses, delays and repeats messages.
 *
 * Run:       bin/13-datagrams --receiver        in one terminal: the server
 *            bin/13-exercise                    in another: type a question; ^D ends it
 * Check:     make exercise-13                   The task and three hints: README.md, under Make.
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

/* Asks the server at the other end of fd, a connected UDP socket. `number` is this question's own.
 * Sends "NUMBER QUESTION" and waits for "NUMBER ANSWER", for WAIT milliseconds; then the same
 * again, TRIES times in all. Puts the answer, without the number, as a string into `answer`, which
 * has `room` bytes. Returns true; or false when no answer has come. */
static bool ask(int fd, unsigned number, const char *question, char *answer, size_t room)
{
    /* --- your code --- */
    snprintf(answer, room, "question %u of %zu bytes: fd %d has no answer at %ld", number,
             strlen(question), fd, milliseconds());
    return true;
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
