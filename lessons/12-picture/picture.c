/* 12-picture: how does a browser talk to a program?
 *
 * Run:       bin/12-picture           in one terminal
 *            a browser                that opens the address which it prints
 *            any other lesson         in other terminals: the browser draws its sockets
 * Look for:  a line for each request: the browser asks for more than you have typed.
 *
 * The server is that of lesson 07. What is new is the language that both sides speak, HTTP: text,
 * which says where it ends. Linux only, as what it shows is in /proc (lesson 04). */
#define _GNU_SOURCE /* for ppoll(), which is in POSIX since 2024 */
#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

/* What a socket is watched for: something to receive or to accept, or room to send. */
enum { NOTHING = 0, INPUT = POLLIN, OUTPUT = POLLOUT };

enum {
    MOST_OF_A_REQUEST = 16384,  /* bytes: a longer one is refused */
    TIME_FOR_A_REQUEST = 60000, /* milliseconds, until its answer is sent: you may type it */
    TIME_TO_LEAVE = 60000,      /* until a refused client has to have closed: you may type ^D */
    BETWEEN_LOOKS = 33,         /* until we look at the sockets again; more if a look costs much */
    BETWEEN_HEARTBEATS = 15000,
};

/* The page is part of the program: when it is built, .incbin puts the bytes of a file here, from
 * NAME to NAME_end. */
#define BUILT_IN(name, path)                                                                       \
    __asm__(".section .rodata\n" name ":\n.incbin \"" path "\"\n" name "_end:\n.previous")
BUILT_IN("page_html", "lessons/12-picture/page.html");
BUILT_IN("page_css", "lessons/12-picture/page.css");
BUILT_IN("page_js", "lessons/12-picture/page.js");
BUILT_IN("picture_js", "common/picture.js");
extern const char page_html[], page_html_end[], page_css[], page_css_end[];
extern const char page_js[], page_js_end[], picture_js[], picture_js_end[];

static const struct file {
    const char *path, *type, *begin, *end;
} files[] = {
    {"/", "text/html", page_html, page_html_end},
    {"/page.css", "text/css", page_css, page_css_end},
    {"/page.js", "text/javascript", page_js, page_js_end},
    {"/picture.js", "text/javascript", picture_js, picture_js_end},
};

/* What the server keeps of a client. */
struct client {
    struct endpoint peer;    /* its length is 0 where no client has this descriptor */
    struct endpoint local;   /* where it has come to */
    char *in;                /* what has been received and not answered yet; or NULL */
    size_t in_len;           /* at most MOST_OF_A_REQUEST */
    char *out;               /* pending output, for a client that does not read; or NULL */
    size_t out_pos, out_len; /* out[out_pos] is the next byte to send, out_len is the end */
    long long deadline;      /* when it has to be done, in milliseconds; 0: no matter when */
    enum { ASKING, LAST_ANSWER, LEAVING, WATCHING } phase; /* see serve() */
    struct view *view;                                     /* of one that is WATCHING */
    unsigned seen;                                         /* the last snapshot that it was sent */
};

/* What clients watch: the sockets of the course's programs, or all. */
struct view {
    bool all;
    struct snapshot last;
    unsigned number; /* of the last snapshot: 1, 2, 3, ... */
};

static struct server {
    int listener;
    struct pollfd *pfds; /* pfds[fd] is what poll() waits for; all from nfds on are unused */
    int nfds;
    struct client *clients;   /* clients[fd] is the client of that descriptor */
    int room;                 /* for that many descriptors */
    size_t hurried, watching; /* how many clients have a deadline, how many are WATCHING */
    bool out_of_descriptors, look_failed;
    struct view course, everything;
    long long next_look, next_heartbeat;
} server = {.everything.all = true};

static void run(const char *where);
static void watch_listener(bool on);
static bool watch(int fd, unsigned events);
static bool make_room(int fd);
static void accept_pending(const char *where);
static void serve(int fd);
static void show_changes(void);
static long long now(void);
static void set_deadline(int fd, int milliseconds);
static void end_late_clients(void);
static int milliseconds_to_wait(void);
enum { TOO_LATE = -1 }; /* in place of an errno */
static void drop_client(int fd, int error);

int main(int argc, char **argv)
{
    default_endpoint = "127.0.0.1:8080";
    const char *where =
        read_arguments(argc, argv,
                       "Shows your sockets to a browser, drawn, while they change. Other machines\n"
                       "see them only if you give an address that they reach.",
                       NULL, "HOST:PORT");
    struct endpoint at = parse_endpoint(where);
    catch_stop_signals();

    /* 1. A listener, as in lesson 07. For a browser nothing about it is special. */
    server.listener = open_listener(&at, INT_MAX);
    at = local_endpoint(server.listener);
    struct text name = endpoint_text(&at);
    if (!set_nonblocking(server.listener))
        die("fcntl O_NONBLOCK of fd %d", server.listener);
    if (!make_room(server.listener))
        die("malloc");
    watch_listener(true);
    say("listen: fd %d is %s, waiting for browsers\n", server.listener, name.s);
    say("open in a browser: http://%s/\n", name.s);
    log_waits = false;
    run(name.s);

    for (int fd = 0; fd < server.room; fd++)
        if (server.clients[fd].peer.length > 0)
            drop_client(fd, 0);
    free_snapshot(&server.course.last);
    free_snapshot(&server.everything.last);
    forget_snapshots();
    free(server.clients);
    free(server.pfds);
    if (close(server.listener) < 0)
        die("close fd %d", server.listener);
    say("close: fd %d, the listener\n", server.listener);
    return 0;
}

/* ---- 2. Waiting for all of them at once, as in lesson 07 ---- */

/* Serves clients until the user ends the server. */
static void run(const char *where)
{
    while (!stop_requested()) {
        /* Wait for all sockets at once. There is a time to wait only when something is due: while
         * nobody watches, the server sleeps. */
        int wait = milliseconds_to_wait();
        struct timespec time = {.tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000L};
        int ready = ppoll(&server.pfds[server.listener], (nfds_t)(server.nfds - server.listener),
                          wait < 0 ? NULL : &time, while_waiting);
        if (ready < 0 && errno != EINTR)
            die("poll");

        bool pending = ready >= 0 && server.out_of_descriptors;
        for (int fd = server.listener; ready > 0 && fd < server.nfds; fd++) {
            if (server.pfds[fd].revents == 0)
                continue;
            ready--;
            if (fd == server.listener)
                pending = true;
            else
                serve(fd);
        }
        if (pending)
            accept_pending(where);
        show_changes();
        end_late_clients();
    }
}

/* Watches the listener, or, when the server is out of descriptors, ignores it: it would be ready
 * all the time, accept() would fail, and the server would keep a core busy with nothing. */
static void watch_listener(bool on)
{
    server.out_of_descriptors = !on;
    watch(server.listener, on ? INPUT : NOTHING);
}

/* The one place that changes what a socket is watched for: from now on INPUT, OUTPUT or NOTHING. */
static bool watch(int fd, unsigned events)
{
    /* poll() skips an entry with the descriptor -1. */
    server.pfds[fd] = (struct pollfd){.fd = events == NOTHING ? -1 : fd, .events = (short)events};
    if (fd >= server.nfds)
        server.nfds = fd + 1;
    while (server.pfds[server.nfds - 1].fd < 0 && server.nfds > server.listener + 1)
        server.nfds--;
    return true;
}

/* Makes room for clients[fd]. Returns false, with errno, when there is no memory. */
static bool make_room(int fd)
{
    if (fd < server.room)
        return true;
    size_t old = (size_t)server.room, more = (size_t)fd + 256;
    struct pollfd *p = realloc(server.pfds, more * sizeof *p);
    if (p == NULL)
        return false;
    server.pfds = p;
    memset(p + old, -1, (more - old) * sizeof *p); /* each fd is -1 */
    struct client *c = realloc(server.clients, more * sizeof *c);
    if (c == NULL)
        return false;
    server.clients = c;
    memset(c + old, 0, (more - old) * sizeof *c);
    server.room = (int)more;
    return true;
}

/* Takes fd, which accept() returned, as the socket of a client. When that fails, only this client
 * is lost. */
static void add_client(int fd, const struct endpoint *peer)
{
    struct endpoint local = {.length = sizeof local.in6};
    if (!set_nonblocking(fd) || !make_room(fd) || getsockname(fd, &local.sa, &local.length) < 0) {
        complain(errno, "client %s turned away", endpoint_text(peer).s);
        close(fd);
        return;
    }
    watch(fd, INPUT);
    server.clients[fd] = (struct client){.peer = *peer, .local = local};
    say("accept: fd %d is %s, the client is %s\n", fd, endpoint_text(&local).s,
        endpoint_text(peer).s);
}

/* Accepts clients that are pending; at most 64 in a row, because the others have to be served. */
static void accept_pending(const char *where)
{
    for (int i = 0; i < 64; i++) {
        struct endpoint peer = {.length = 0};
        socklen_t length = sizeof peer.in6;
        int fd = accept(server.listener, &peer.sa, &length);
        const char *lacking;
        peer.length = length;
        if (fd >= 0) {
            add_client(fd, &peer);
            continue;
        }
        switch (errno) {
        case EAGAIN: /* none is pending any more */
            if (server.out_of_descriptors)
                watch_listener(true);
            return;
        case EINTR:
            return;
        case EMFILE:  /* this process may have no more descriptors, */
        case ENFILE:  /* or the whole machine has run out of them; */
        case ENOBUFS: /* or the kernel has no memory: lesson 07 */
        case ENOMEM:
            if (server.out_of_descriptors)
                return;
            lacking = errno == EMFILE || errno == ENFILE ? "descriptors" : "memory";
            complain(errno, "accept on %s", where);
            note("out of %s: new clients wait until another one leaves", lacking);
            watch_listener(false);
            return;
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EOPNOTSUPP:
        case EFAULT:
            die("accept on %s", where);
        default: /* ECONNABORTED, for example: this client has gone while it was pending */
            continue;
        }
    }
}

/* ---- 3. What a request is, and where it ends ---- */

/* A piece of a request. */
struct piece {
    const char *text;
    size_t length;
};

/*   GET /snapshot?all HTTP/1.1        the request line: a method, a target, the version
 *   Host: 127.0.0.1:8080              headers: a name, a colon, a value
 *   Accept: application/json
 *                                     an empty line: here it ends                              */
struct request {
    struct piece line, method, path, query, version, host;
    bool has_host, has_body, is_last; /* is_last: the client wants the connection closed after it */
    int refused;                      /* 0, or the status that says why it is not understood */
};

static bool is(struct piece piece, const char *text)
{
    return piece.length == strlen(text) && memcmp(piece.text, text, piece.length) == 0;
}

static bool is_in_any_case(struct piece piece, const char *text)
{
    return piece.length == strlen(text) && strncasecmp(piece.text, text, piece.length) == 0;
}

/* Cuts off what is in front of the first `end`, and it; all that is left where there is none. */
static struct piece cut(struct piece *rest, char end)
{
    const char *found = rest->length > 0 ? memchr(rest->text, end, rest->length) : NULL;
    struct piece front = *rest;
    if (found != NULL)
        front.length = (size_t)(found - rest->text);
    size_t gone = front.length + (found != NULL);
    rest->text += gone;
    rest->length -= gone;
    return front;
}

static struct piece without_spaces(struct piece piece)
{
    while (piece.length > 0 && (piece.text[0] == ' ' || piece.text[0] == '\t')) {
        piece.text++;
        piece.length--;
    }
    while (piece.length > 0 && strchr(" \t", piece.text[piece.length - 1]) != NULL)
        piece.length--;
    return piece;
}

/* Is it made of characters alone that a name may have (RFC 9110 calls it a token)? */
static bool is_token(struct piece piece)
{
    for (size_t i = 0; i < piece.length; i++)
        if (!isalnum((unsigned char)piece.text[i]) &&
            (piece.text[i] == '\0' || strchr("!#$%&'*+-.^_`|~", piece.text[i]) == NULL))
            return false;
    return piece.length > 0;
}

static bool has_control_characters(struct piece piece)
{
    for (size_t i = 0; i < piece.length; i++)
        if (((unsigned char)piece.text[i] < ' ' && piece.text[i] != '\t') || piece.text[i] == 0x7f)
            return true;
    return false;
}

/* A line ends with \r\n; \n alone is accepted, so that you can type a request. Returns false where
 * the line is not complete yet. */
static bool next_line(struct piece *rest, struct piece *line)
{
    if (rest->length == 0 || memchr(rest->text, '\n', rest->length) == NULL)
        return false;
    *line = cut(rest, '\n');
    if (line->length > 0 && line->text[line->length - 1] == '\r')
        line->length--;
    return true;
}

/* Reads "GET /snapshot?all HTTP/1.1". Returns false where it is something else. */
static bool read_request_line(struct piece line, struct request *request)
{
    request->line = line;
    request->method = cut(&line, ' ');
    struct piece target = cut(&line, ' ');
    request->version = line;
    request->query = target;
    request->path = cut(&request->query, '?');
    for (size_t i = 0; i < target.length; i++)
        if (target.text[i] <= ' ' || target.text[i] > '~') /* what else there is, is %41 */
            return false;
    request->is_last = is(request->version, "HTTP/1.0");
    return is_token(request->method) && target.length > 0 &&
           (request->is_last || is(request->version, "HTTP/1.1"));
}

/* Reads "Host: 127.0.0.1:8080" and the few others that matter to us. Returns false where it is not
 * a header, or one that may be there only once. */
static bool read_header(struct piece line, struct request *request)
{
    struct piece value = line, name = cut(&value, ':');
    if (!is_token(name) || name.length == line.length || has_control_characters(value))
        return false;
    value = without_spaces(value);
    if (is_in_any_case(name, "Host")) {
        if (request->has_host)
            return false;
        request->has_host = true;
        request->host = value;
    }
    if (is_in_any_case(name, "Connection"))
        while (value.length > 0)
            if (is_in_any_case(without_spaces(cut(&value, ',')), "close"))
                request->is_last = true;
    if (is_in_any_case(name, "Transfer-Encoding") ||
        (is_in_any_case(name, "Content-Length") && !is(value, "0")))
        request->has_body = true;
    return true;
}

/* Reads the first request in what a client has sent. TCP is a stream (lesson 09): it may be a part
 * of a request, or one and a half. Returns how many bytes the request has, with the empty line at
 * its end; 0 where its end has not come yet. What is not a request is refused as soon as we see it,
 * and then there is no telling where it ends: all of it is returned. */
static size_t read_request(const char *text, size_t length, struct request *request)
{
    struct piece rest = {text, length}, line;
    *request = (struct request){.refused = 0};
    do
        if (!next_line(&rest, &line)) {
            /* What is not text is not waited for: https:// begins with such bytes. */
            request->line = rest;
            rest.length -= rest.length > 0 && rest.text[rest.length - 1] == '\r';
            request->refused = has_control_characters(rest) ? 400 : 0;
            return request->refused != 0 ? length : 0;
        }
    while (line.length == 0); /* an empty line in front of it means nothing */

    bool understood = read_request_line(line, request);
    while (understood) {
        if (!next_line(&rest, &line))
            return 0;
        if (line.length == 0)
            break;
        understood = read_header(line, request);
    }
    if (understood && !request->has_host && !is(request->version, "HTTP/1.0"))
        understood = false; /* since HTTP/1.1 it has to say whom it means */
    if (!understood) {
        request->refused = 400;
        return length;
    }
    return (size_t)(rest.text - text);
}

/* ---- 4. What an answer is, and how long ---- */

/* Sends bytes to a client, or keeps those for which there is no room yet, as in lesson 07. Returns
 * false when the client has gone. */
static bool put(int fd, const void *data, size_t length, int flags)
{
    struct client *client = &server.clients[fd];
    ssize_t sent = 0;
    if (client->out == NULL)
        sent = send(fd, data, length, MSG_NOSIGNAL | flags);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        drop_client(fd, errno);
        return false;
    }
    size_t rest = length - (sent > 0 ? (size_t)sent : 0);
    if (rest == 0)
        return true;
    char *out = realloc(client->out, client->out_len + rest);
    if (out == NULL) {
        drop_client(fd, ENOMEM);
        return false;
    }
    memcpy(out + client->out_len, (const char *)data + (length - rest), rest);
    client->out = out;
    client->out_len += rest;
    watch(fd, OUTPUT);
    return true;
}

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {431, "Request Header Fields Too Large"},
        {503, "Service Unavailable"},
    };
    size_t i = 0;
    while (reasons[i].status != status)
        i++;
    return reasons[i].reason;
}

/*   HTTP/1.1 200 OK                   the status line: 2.. done, 4.. you are wrong, 5.. we are
 *   Content-Type: text/css            headers: what it is,
 *   Content-Length: 1234              and how long. Without that, the end is where the connection
 *                                     ends, and there could be no second answer on it.
 *   body { ...                        after the empty line the body: that many bytes
 *
 * Puts all but the body. `length` is -1 for a body that does not end. */
static bool put_head(int fd, int status, const char *type, long long length, bool is_last)
{
    char text[1024], content_length[60] = "";
    if (length >= 0)
        snprintf(content_length, sizeof content_length, "Content-Length: %lld\r\n", length);
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %d %s\r\n"
                     "Content-Type: %s; charset=utf-8\r\n"
                     "%s%s%s"
                     "Cache-Control: no-store\r\n"
                     "X-Content-Type-Options: nosniff\r\n"
                     "Content-Security-Policy: default-src 'none'; script-src 'self'; "
                     "style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
                     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
                     "\r\n",
                     status, reason(status), type, content_length,
                     is_last ? "Connection: close\r\n" : "", status == 405 ? "Allow: GET\r\n" : "");
    /* MSG_MORE: the body comes with the next send(), so the kernel need not send this alone. */
    return put(fd, text, (size_t)n, length != 0 ? MSG_MORE : 0);
}

static void say_request(int fd, const struct request *request, int status, const char *more)
{
    say("request: fd %d, %s: %d %s%s\n", fd, quoted(request->line.text, request->line.length).s,
        status, reason(status), more);
}

/* Answers with a body that is all there, and then waits for the next request, or for none. */
static void answer(int fd, const struct request *request, int status, const char *type,
                   const void *body, size_t length)
{
    struct client *client = &server.clients[fd];
    bool is_last = request->is_last;
    char more[300];
    snprintf(more, sizeof more, ", %s", counted(length, "byte").s);
    say_request(fd, request, status, more);
    if (is_last)
        client->phase = LAST_ANSWER;
    /* (What answers HEAD has no body, whatever its headers say.) */
    if (put_head(fd, status, type, (long long)length, is_last) && !is(request->method, "HEAD"))
        put(fd, body, length, 0);
}

static void refuse(int fd, struct request *request, int status)
{
    char text[200];
    const char *why = status == 403   ? ": the Host is not the address of this server"
                      : status == 405 ? ": only GET"
                      : status == 408 ? ": the request did not end in time"
                      : status == 431 ? ": the request is too long"
                                      : "";
    int length = snprintf(text, sizeof text, "%d %s%s\n", status, reason(status), why);
    /* Where a request ends is not clear, or it has a body that we do not read: what comes next on
     * this connection is not the next request. */
    if (status != 403 && status != 404)
        request->is_last = true;
    answer(fd, request, status, "text/plain", text, (size_t)length);
}

/* ---- 5. Whom the request means ---- */

/* Is that a name of this server? A page from anywhere may make a browser ask us, under a name that
 * leads to 127.0.0.1; the browser would then let that page read the answer ("DNS rebinding"). But
 * it says which name it means. */
static bool is_our_name(int fd, struct piece host)
{
    const struct endpoint *local = &server.clients[fd].local;
    unsigned port = endpoint_port(local);
    struct text own = endpoint_text(local), names[4] = {{"localhost"}, {"127.0.0.1"}, {"[::1]"}};
    names[3] = own;
    names[3].s[strrchr(own.s, ':') - own.s] = '\0';
    if (strncmp(own.s, "[::ffff:", 8) == 0) /* an IPv4 address, as an IPv6 socket names it */
        snprintf(names[3].s, sizeof names[3].s, "%.*s", (int)strcspn(own.s + 8, "]"), own.s + 8);
    for (int i = 0; i < 4; i++) {
        char with_port[sizeof own.s + 8];
        snprintf(with_port, sizeof with_port, "%.255s:%u", names[i].s, port);
        if (is_in_any_case(host, with_port) || (port == 80 && is_in_any_case(host, names[i].s)))
            return true;
    }
    return false;
}

/* ---- 6. What stays open: a stream of events ---- */

static void start_stream(int fd, const struct request *request, struct view *view)
{
    /* It has no length, and it does not end: it is the last answer on this connection. Each event
     * is a line "data: ..." and an empty line; a browser that lost us tries again after "retry". */
    struct client *client = &server.clients[fd];
    say_request(fd, request, 200, ", a stream of events");
    set_deadline(fd, 0);
    client->phase = WATCHING;
    client->view = view;
    free(client->in);
    client->in = NULL;
    client->in_len = 0;
    if (server.watching++ == 0)
        server.next_heartbeat = now() + BETWEEN_HEARTBEATS;
    server.next_look = 0;
    watch(fd, INPUT);
    if (put_head(fd, 200, "text/event-stream", -1, true))
        put(fd, "retry: 1000\n\n", 13, 0);
}

/* Is there a client that has read all that it was sent? view: of those that watch it; NULL: any. */
static bool is_awaited(const struct view *view)
{
    for (int fd = 0; server.watching > 0 && fd < server.nfds; fd++)
        if (server.clients[fd].phase == WATCHING && server.clients[fd].out == NULL &&
            (view == NULL || server.clients[fd].view == view))
            return true;
    return false;
}

static bool look(bool all, struct snapshot *snapshot)
{
    bool done = take_snapshot(all, snapshot) == 0;
    if (!done && !server.look_failed)
        complain(errno, "%s", snapshot->problem);
    server.look_failed = !done;
    return done;
}

/* Looks at the sockets for those who watch them, and sends what is new to those that have read what
 * they got before. A client that does not read loses snapshots; it does not cost memory. */
static void show_view(struct view *view)
{
    struct snapshot next;
    if (!is_awaited(view) || !look(view->all, &next))
        return;
    if (view->number == 0 || !same_snapshot(&next, &view->last)) {
        free_snapshot(&view->last);
        view->last = next;
        view->number++;
    } else {
        free_snapshot(&next);
    }
    for (int fd = 0; fd < server.nfds; fd++) {
        struct client *client = &server.clients[fd];
        if (client->view != view || client->out != NULL || client->seen == view->number)
            continue;
        client->seen = view->number;
        if (put(fd, "data: ", 6, MSG_MORE) && put(fd, view->last.text, view->last.length, MSG_MORE))
            put(fd, "\n\n", 2, 0);
    }
}

/* The time that a core has worked for this program, in microseconds. */
static long long processor_time(void)
{
    struct timespec time = {.tv_sec = 0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

/* Shows all views when it is time. A look at many sockets costs much, so the pause after it grows
 * with the square of its cost: a look of 10 ms is repeated after 33 ms, one of 72 ms (some 10,000
 * sockets) after 0.9 s. From there on the pause is twelve times the cost: looking never takes a
 * tenth of a core. */
static void show_changes(void)
{
    if (!is_awaited(NULL) || now() < server.next_look)
        return;
    long long before = processor_time();
    show_view(&server.course);
    show_view(&server.everything);
    long long cost = processor_time() - before, pause = cost * cost / 6000000;
    if (pause > 12 * cost / 1000)
        pause = 12 * cost / 1000;
    server.next_look = now() + (pause > BETWEEN_LOOKS ? pause : BETWEEN_LOOKS);

    /* A line that begins with a colon means nothing: but sending it shows who has gone. */
    if (now() < server.next_heartbeat)
        return;
    server.next_heartbeat = now() + BETWEEN_HEARTBEATS;
    for (int fd = 0; fd < server.nfds; fd++)
        if (server.clients[fd].view != NULL && server.clients[fd].out == NULL)
            put(fd, ":\n\n", 3, 0);
}

/* ---- 7. A client, from its first request to the end ---- */

/* Answers one request. */
static void answer_request(int fd, struct request *request)
{
    struct piece path = request->path;
    bool all = is(request->query, "all");
    if (request->refused != 0) {
        refuse(fd, request, request->refused);
        return;
    }
    if (!is(request->method, "GET")) {
        refuse(fd, request, 405);
        return;
    }
    if (request->has_body) {
        refuse(fd, request, 400);
        return;
    }
    if (request->has_host && !is_our_name(fd, request->host)) {
        refuse(fd, request, 403);
        return;
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (is(path, files[i].path)) {
            answer(fd, request, 200, files[i].type, files[i].begin,
                   (size_t)(files[i].end - files[i].begin));
            return;
        }
    if (is(path, "/events")) {
        start_stream(fd, request, all ? &server.everything : &server.course);
    } else if (is(path, "/snapshot")) {
        struct snapshot snapshot;
        if (!look(all, &snapshot)) {
            refuse(fd, request, 503);
            return;
        }
        answer(fd, request, 200, "application/json", snapshot.text, snapshot.length);
        free_snapshot(&snapshot);
    } else {
        refuse(fd, request, 404);
    }
}

/* Answers the first request of those that a client has sent. If another is there already, it has to
 * wait for its turn, until other clients have been served: a socket that is watched for OUTPUT and
 * has room is ready at once. */
static void answer_next(int fd)
{
    struct client *client = &server.clients[fd];
    struct request request;
    size_t length = client->in_len > 0 ? read_request(client->in, client->in_len, &request) : 0;
    if (length == 0 && client->in_len == MOST_OF_A_REQUEST) {
        request.refused = 431;
        length = client->in_len;
    }
    if (length == 0) { /* wait for the rest of it, but not for ever */
        if (client->in_len > 0 && client->deadline == 0)
            set_deadline(fd, TIME_FOR_A_REQUEST);
        watch(fd, INPUT);
        return;
    }
    if (client->deadline == 0)
        set_deadline(fd, TIME_FOR_A_REQUEST);
    answer_request(fd, &request);
    client = &server.clients[fd];
    if (client->peer.length == 0 || client->phase == WATCHING)
        return;
    client->in_len -= length;
    memmove(client->in, client->in + length, client->in_len);
    if (client->in_len == 0) {
        free(client->in);
        client->in = NULL;
    }
    watch(fd, OUTPUT);
}

/* Receives more of a request. */
static void receive(int fd)
{
    static char buf[MOST_OF_A_REQUEST];
    struct client *client = &server.clients[fd];
    ssize_t n = recv(fd, buf, sizeof buf - client->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop_client(fd, n < 0 ? errno : 0);
        return;
    }
    if (client->phase != ASKING) /* what is sent after the last request is not for us */
        return;
    char *in = realloc(client->in, client->in_len + (size_t)n);
    if (in == NULL) {
        drop_client(fd, ENOMEM);
        return;
    }
    memcpy(in + client->in_len, buf, (size_t)n);
    client->in = in;
    client->in_len += (size_t)n;
    answer_next(fd);
}

/* Sends what is pending for a client, and then does what comes next. */
static void send_pending(int fd)
{
    struct client *client = &server.clients[fd];
    if (client->out != NULL) {
        ssize_t n = send(fd, client->out + client->out_pos, client->out_len - client->out_pos,
                         MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                drop_client(fd, errno);
            return;
        }
        client->out_pos += (size_t)n;
        if (client->out_pos < client->out_len)
            return;
        free(client->out);
        client->out = NULL;
        client->out_pos = client->out_len = 0;
    }
    if (client->phase == ASKING) {
        set_deadline(fd, 0);
        answer_next(fd);
        return;
    }
    watch(fd, INPUT);
    if (client->phase == LAST_ANSWER) {
        /* Closed with bytes unread, a connection is reset, and the peer may lose the answer that is
         * still under way (lesson 10). So: finish, and read until the client has finished. */
        client->phase = LEAVING;
        set_deadline(fd, TIME_TO_LEAVE);
        if (shutdown(fd, SHUT_WR) < 0)
            drop_client(fd, errno);
    }
}

/* Serves a client whose socket is ready.
 *
 *   ASKING       it has sent a part of a request, or all of it, and is waiting for the answer
 *   LAST_ANSWER  after this answer the server closes the connection
 *   LEAVING      it has the answer: the server reads until the client has finished, too
 *   WATCHING     it gets events
 *
 * While output is pending nothing is received from it, as in lesson 07: so the server keeps at most
 * one answer for it, or one snapshot, and MOST_OF_A_REQUEST bytes. */
static void serve(int fd)
{
    if ((server.pfds[fd].events & OUTPUT) != 0)
        send_pending(fd);
    else
        receive(fd);
}

/* Closes the socket of a client. `error` says why it has gone; 0: it has finished, or the server
 * ends; TOO_LATE: the server does not wait for it any longer. */
static void drop_client(int fd, int error)
{
    struct client *client = &server.clients[fd];
    struct text peer = endpoint_text(&client->peer);
    set_deadline(fd, 0);
    free(client->in);
    free(client->out);
    server.watching -= client->phase == WATCHING;
    *client = (struct client){.peer.length = 0};
    watch(fd, NOTHING);
    close(fd);
    if (error == TOO_LATE || (error == 0 && stop_requested()))
        say("close: fd %d, disconnecting the client %s\n", fd, peer.s);
    else if (error != 0)
        say("close: fd %d, the client %s has gone: %s (%s)\n", fd, peer.s, strerror(error),
            errno_name(error).s);
    else
        say("close: fd %d, the client %s has finished\n", fd, peer.s);
}

/* ---- 8. Who takes too long ---- */

/* The time in milliseconds, since some moment: nobody sets this clock back. */
static long long now(void)
{
    struct timespec time = {.tv_sec = 0};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* From now on the client has so many milliseconds; 0: as long as it likes. */
static void set_deadline(int fd, int milliseconds)
{
    struct client *client = &server.clients[fd];
    server.hurried -= client->deadline != 0;
    client->deadline = milliseconds != 0 ? now() + milliseconds : 0;
    server.hurried += client->deadline != 0;
}

/* A client that never ends its request, or never reads the answer, keeps a descriptor from others.
 */
static void end_late_clients(void)
{
    for (int fd = 0; server.hurried > 0 && fd < server.nfds; fd++) {
        struct client *client = &server.clients[fd];
        if (client->deadline == 0 || client->deadline > now())
            continue;
        if (client->phase == ASKING && client->out == NULL) {
            struct request request;
            read_request(client->in, client->in_len, &request);
            set_deadline(fd, TIME_TO_LEAVE);
            refuse(fd, &request, 408);
            if (client->peer.length > 0)
                watch(fd, OUTPUT);
        } else {
            say("late: fd %d has not %s in time\n", fd,
                client->phase == LEAVING ? "closed" : "read its answer");
            drop_client(fd, TOO_LATE);
        }
    }
}

/* How long may the server wait for its sockets? -1: until one is ready. */
static int milliseconds_to_wait(void)
{
    long long until = LLONG_MAX, time = now();
    if (server.out_of_descriptors)
        until = time + 1000;
    if (server.next_look < until && is_awaited(NULL))
        until = server.next_look;
    for (int fd = 0; server.hurried > 0 && fd < server.nfds; fd++)
        if (server.clients[fd].deadline != 0 && server.clients[fd].deadline < until)
            until = server.clients[fd].deadline;
    return until == LLONG_MAX ? -1 : until <= time ? 0 : (int)(until - time);
}
