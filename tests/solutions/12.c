/* A solution of exercise 12: a web server that tells the time.
 *
 * Run:       bin/12-exercise 127.0.0.1:8080   in one terminal
 *            bin/05-connect 127.0.0.1:8080    in another: type GET / HTTP/1.1, and an empty line
 *            a browser                        http://127.0.0.1:8080/
 * Check:     make exercise-12         The task and three hints: README.md, under Make. */
#define _GNU_SOURCE /* for ppoll(), which is in POSIX since 2024 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 200, ROOM = 8192 };

/* polled[0] is the listener; polled[i] and clients[i] are a client. */
static struct pollfd polled[MOST];
static struct client {
    char in[ROOM]; /* what it has sent, and what is not answered yet: in[0..length-1] */
    size_t length;
    bool leaving;
} clients[MOST];
static size_t count;

static void hear(size_t i);
static size_t request_length(const char *text, size_t length);
static size_t make_answer(const char *request, size_t length, char *answer, size_t room,
                          bool *is_last);
static void let_in(void);
static void leave(size_t i);

int main(int argc, char **argv)
{
    struct endpoint at = parse_endpoint(
        read_arguments(argc, argv, "Tells a browser what time it is.", NULL, "HOST:PORT"));
    catch_stop_signals();
    log_waits = false; /* a server does not wait until somebody reads what it prints */
    int listener = open_listener(&at, SOMAXCONN);
    if (!set_nonblocking(listener))
        die("fcntl O_NONBLOCK of fd %d", listener);
    polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    count = 1;
    at = local_endpoint(listener); /* the kernel chooses, where the port is 0 */
    say("listen: fd %d is http://%s/\n", listener, endpoint_text(&at).s);

    while (!stop_requested()) {
        if (ppoll(polled, (nfds_t)count, NULL, while_waiting) < 0) {
            if (errno != EINTR)
                die("poll");
            continue;
        }
        for (size_t i = 1; i < count; i++)
            if (polled[i].revents != 0)
                hear(i);
        if (polled[0].revents != 0)
            let_in();
        for (size_t i = count; --i > 0;)
            if (clients[i].leaving)
                leave(i);
    }
    for (size_t i = 0; i < count; i++)
        close(polled[i].fd);
    return 0;
}

/* The time as the body of an answer: "2026-11-25 14:30:05\n". */
static const char *time_text(void)
{
    static char text[64];
    time_t now = time(NULL);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S\n", localtime(&now));
    return text;
}

/* How many bytes does the first request in text[0..length-1] have, with the empty line at its end?
 * 0: its end has not come yet. A line ends with \r\n, or with \n alone where somebody types it. */
static size_t request_length(const char *text, size_t length)
{
    for (size_t line = 0, i = 0; i < length; i++) {
        if (text[i] != '\n')
            continue;
        size_t end = i > line && text[i - 1] == '\r' ? i - 1 : i;
        if (end == line)
            return i + 1;
        line = i + 1;
    }
    return 0;
}

/* Puts the answer to one request into answer[0..room-1], and returns its length. Sets *is_last if
 * the server has to close the connection after it.
 *   GET /      200, and time_text()
 *   GET /...   404, for example /favicon.ico
 *   another method, or not a request at all: 400, and this answer is the last one */
static size_t make_answer(const char *request, size_t length, char *answer, size_t room,
                          bool *is_last)
{
    /* The request line, as a string: GET /favicon.ico HTTP/1.1 */
    char line[ROOM];
    size_t end = (size_t)((const char *)memchr(request, '\n', length) - request);
    memcpy(line, request, end);
    line[end] = '\0';
    line[strcspn(line, "\r")] = '\0';

    const char *status = "400 Bad Request", *body = "That is not a GET.\n";
    const char *path = line + 4, *version = strrchr(line, ' ');
    bool is_get = strncmp(line, "GET /", 5) == 0 && version > path &&
                  (strcmp(version, " HTTP/1.1") == 0 || strcmp(version, " HTTP/1.0") == 0);
    *is_last = !is_get;
    if (is_get && version == path + 1) {
        status = "200 OK";
        body = time_text();
    } else if (is_get) {
        status = "404 Not Found";
        body = "There is nothing else.\n";
    }
    return (size_t)snprintf(answer, room,
                            "HTTP/1.1 %s\r\nContent-Type: text/plain\r\n"
                            "Content-Length: %zu\r\n%s\r\n%s",
                            status, strlen(body), *is_last ? "Connection: close\r\n" : "", body);
}

/* Client i is ready: receive, behind what is there already. Answer each request that is complete,
 * in their order; keep the rest. A client that has finished or gone is `leaving`, and one whose
 * request has no end in ROOM bytes. */
static void hear(size_t i)
{
    struct client *client = &clients[i];
    ssize_t n = recv(polled[i].fd, client->in + client->length, ROOM - client->length, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client->leaving = true;
        return;
    }
    client->length += (size_t)n;
    size_t request;
    while (!client->leaving && (request = request_length(client->in, client->length)) > 0) {
        char answer[1024];
        size_t length = make_answer(client->in, request, answer, sizeof answer, &client->leaving);
        /* A client that does not read its answers has to leave: nothing is kept for it. */
        if (send(polled[i].fd, answer, length, MSG_NOSIGNAL) != (ssize_t)length)
            client->leaving = true;
        client->length -= request;
        memmove(client->in, client->in + request, client->length);
    }
    if (client->length == ROOM)
        client->leaving = true;
}

/* A client waits at the listener: as in exercise 07. Without a place for it, it is turned away. */
static void let_in(void)
{
    int fd = accept(polled[0].fd, NULL, NULL);
    if (fd < 0)
        return;
    if (count == MOST || !set_nonblocking(fd)) {
        close(fd);
        return;
    }
    polled[count] = (struct pollfd){.fd = fd, .events = POLLIN};
    clients[count].length = 0;
    clients[count].leaving = false;
    count++;
}

/* Closes the socket of client i; the last client gets its place. */
static void leave(size_t i)
{
    close(polled[i].fd);
    count--;
    polled[i] = polled[count];
    clients[i] = clients[count];
}
