#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *program = "?"; /* the name in front of each message */
static char usage[256];           /* "usage: 07-accept-many [--quiet] [HOST:PORT]" */

int say_to = STDOUT_FILENO;
bool say_waits = true;
volatile sig_atomic_t ending;
static volatile sig_atomic_t late; /* the alarm has come */
static bool has_alarm;             /* end_on_signals() has set a handler for it */

/* ---- What is said ---- */

/* Is there room for a line? poll() tells: a pipe has room for 4096 bytes then, and a terminal is
 * not stopped. Waits so long for that, or until a signal comes. */
static bool has_room(int fd, int milliseconds)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    int ready = poll(&room, 1, milliseconds);
    if (ready < 0)
        ready = poll(&room, 1, 0);
    return ready != 0; /* (where poll() fails, write() tells why) */
}

int write_all(int fd, const void *data, size_t length)
{
    /* send() has MSG_NOSIGNAL to keep the signal SIGPIPE away (lesson 06), write() has nothing like
     * it: so the signal is ignored as long as this takes. */
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, &before);

    const char *next = data;
    while (length > 0) {
        ssize_t n = write(fd, next, length);
        if (n >= 0) {
            next += n;
            length -= (size_t)n;
        } else if (errno == EINTR && (ending || late) && !has_room(fd, 0)) {
            errno = EINTR; /* it would wait, and is not to */
            break;
        } else if (errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            if (poll(&room, 1, -1) < 0 && !interrupted(-1))
                break;
        } else if (errno != EINTR) {
            break;
        }
    }
    int error = errno; /* sigaction() may change it */
    sigaction(SIGPIPE, &before, NULL);
    errno = error;
    return length == 0 ? 0 : -1;
}

ssize_t read_stdin(void *data, size_t length)
{
    for (;;) {
        ssize_t n = read(STDIN_FILENO, data, length);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
            n = poll(&input, 1, -1);
            if (n >= 0)
                continue;
        }
        if (!interrupted(n))
            return n;
    }
}

/* Writes a line, or a piece of one, to stdout or stderr, or leaves it out (see say_waits). Returns
 * as write_all(). */
static int write_line(int fd, const char *line, size_t length)
{
    static struct {
        unsigned left_out; /* lines, since the last one that was written */
        bool leaves_out;   /* the beginning of this line: so the rest of it as well */
        bool in_a_line;    /* what was written last is not the end of a line */
    } outputs[STDERR_FILENO + 1], *to;
    to = &outputs[fd];
    bool ends = length > 0 && line[length - 1] == '\n';
    if (!say_waits && (to->leaves_out || !has_room(fd, to->left_out == 0 ? 1000 : 0))) {
        to->left_out += ends;
        to->leaves_out = !ends;
        return 0;
    }
    if (!say_waits && has_alarm) { /* a terminal may have room for less than a line */
        late = 0;
        alarm(1);
    }
    int result = 0;
    if (to->left_out > 0) {
        char note[80];
        int n = snprintf(note, sizeof note, "%s(%u line%s left out here: nobody read this)\n",
                         to->in_a_line ? "\n" : "", to->left_out, to->left_out == 1 ? "" : "s");
        to->left_out = 0;
        result = write_all(fd, note, (size_t)n);
    }
    if (result == 0)
        result = write_all(fd, line, length);
    int error = errno;
    to->in_a_line = result < 0 || !ends;
    if (!say_waits && has_alarm && !ending)
        alarm(0);
    if (result < 0 && error == EINTR && !ending) {
        to->left_out++;
        return 0;
    }
    errno = error;
    return result;
}

void say(const char *format, ...)
{
    /* No malloc() for a usual line: a server goes on where there is no memory. */
    char usual[1024], *line = usual;
    va_list values, again;
    va_start(values, format);
    va_copy(again, values);
    int length = vsnprintf(usual, sizeof usual, format, values);
    if (length >= (int)sizeof usual) {
        line = malloc((size_t)length + 1);
        if (line != NULL)
            vsnprintf(line, (size_t)length + 1, format, again);
    }
    va_end(again);
    va_end(values);
    if (length < 0 || line == NULL)
        die("malloc");
    if (write_line(say_to, line, (size_t)length) < 0)
        die("write to %s", say_to == STDOUT_FILENO ? "stdout" : "stderr");
    if (line != usual)
        free(line);
}

struct text errno_name(int error)
{
#define NAME(e) [e] = #e
    static const char *const names[] = {
        NAME(ECHILD),          NAME(EDQUOT),       NAME(EEXIST),     NAME(ELOOP),
        NAME(ENONET),          NAME(ENOTDIR),      NAME(ENOTTY),     NAME(ESPIPE),
        NAME(ESRCH),           NAME(EACCES),       NAME(EADDRINUSE), NAME(EADDRNOTAVAIL),
        NAME(EAFNOSUPPORT),    NAME(EAGAIN),       NAME(EALREADY),   NAME(EBADF),
        NAME(ECONNABORTED),    NAME(ECONNREFUSED), NAME(ECONNRESET), NAME(EDESTADDRREQ),
        NAME(EFAULT),          NAME(EFBIG),        NAME(EHOSTDOWN),  NAME(EHOSTUNREACH),
        NAME(EINPROGRESS),     NAME(EINTR),        NAME(EINVAL),     NAME(EIO),
        NAME(EISCONN),         NAME(EISDIR),       NAME(EMFILE),     NAME(EMSGSIZE),
        NAME(ENETDOWN),        NAME(ENETUNREACH),  NAME(ENFILE),     NAME(ENOBUFS),
        NAME(ENODEV),          NAME(ENOENT),       NAME(ENOMEM),     NAME(ENOPROTOOPT),
        NAME(ENOSPC),          NAME(ENOSYS),       NAME(ENOTCONN),   NAME(ENOTSOCK),
        NAME(ENXIO),           NAME(EOPNOTSUPP),   NAME(EPERM),      NAME(EPIPE),
        NAME(EPROTO),          NAME(EPROTOTYPE),   NAME(EROFS),      NAME(ETIMEDOUT),
        NAME(EPROTONOSUPPORT),
    };
#undef NAME
    struct text text = {""};
    if (error >= 0 && (size_t)error < sizeof names / sizeof names[0] && names[error] != NULL)
        snprintf(text.s, sizeof text.s, "%s", names[error]);
    else
        snprintf(text.s, sizeof text.s, "errno %d", error);
    return text;
}

/* What a learner can do about an error that has one usual reason in these lessons. To another call
 * the same error means something else: `call` is what a message begins with, "bind %s". */
static const char *what_to_try(const char *call, int error)
{
    bool bind = strncmp(call, "bind", 4) == 0, listen = strncmp(call, "listen", 6) == 0;
    if (bind && error == EACCES)
        return "low ports need privilege: take a port from the limit on that bin/02-bind shows";
    if ((bind || listen) && error == EADDRINUSE)
        return "take another port, or end the program that has it: `ss -tanp` shows it if it "
               "listens";
    if (bind && error == EADDRNOTAVAIL)
        return "no interface of this machine has that address: bin/01-interfaces lists them";
    if (bind && error == EINVAL)
        return "a socket is bound once; an address that begins with fe80 needs its interface, "
               "[fe80::1%eth0]:6666";
    if (strncmp(call, "socket", 6) == 0 && error == EAFNOSUPPORT)
        return "this machine has no IPv6: take an IPv4 address";
    if (error == EAFNOSUPPORT)
        return "socket(), and the address's sa_family, have to name the same IP version";
    if (error == EMFILE)
        return "`ulimit -Sn 4096` before you start it allows 4096 descriptors; `ulimit -Hn` shows "
               "the most";
    return NULL;
}

static void vcomplain(int error, const char *format, va_list values)
{
    char what[512], line[1024];
    const char *hint = what_to_try(format, error);
    vsnprintf(what, sizeof what, format, values);
    int length = snprintf(line, sizeof line, "%.40s: %s: %s (%s)\n%s%s%s", program, what,
                          strerror(error), errno_name(error).s, hint != NULL ? "  try: " : "",
                          hint != NULL ? hint : "", hint != NULL ? "\n" : "");
    write_line(STDERR_FILENO, line, (size_t)length);
}

void complain(int error, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vcomplain(error, format, values);
    va_end(values);
}

void die(const char *format, ...)
{
    if (errno == EINTR && ending)
        exit(0); /* the user ends the program: that has interrupted the call, and is no failure */
    va_list values;
    va_start(values, format);
    vcomplain(errno, format, values);
    va_end(values);
    exit(1);
}

struct text quoted(const void *data, size_t length)
{
    const unsigned char *bytes = data;
    size_t shown = 48;
    if (length < shown)
        shown = length;
    struct text text = {""};
    char *end = text.s; /* at most 4 characters a byte, 2 quotes, 3 dots, 1 NUL: it fits */
    *end++ = '"';
    for (size_t i = 0; i < shown; i++) {
        const char *escapes = "\n\\n\r\\r\t\\t\"\\\"\\\\\\", *found = NULL;
        for (const char *e = escapes; *e != '\0'; e += 3)
            if (bytes[i] == (unsigned char)*e)
                found = e + 1;
        if (found != NULL)
            end += sprintf(end, "%.2s", found);
        else if (bytes[i] >= ' ' && bytes[i] <= '~')
            *end++ = (char)bytes[i];
        else
            end += sprintf(end, "\\x%02x", bytes[i]);
    }
    sprintf(end, "\"%s", shown < length ? "..." : "");
    return text;
}

/* ---- The command line ---- */

void usage_error(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, values);
    fprintf(stderr, "\n%s\n", usage);
    va_end(values);
    exit(2);
}

const char *read_arguments(int argc, char **argv, const char *about, struct option *options,
                           const char *operand)
{
    static struct option none[] = {{NULL, false, NULL}};
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    if (argc > 0)
        program = slash != NULL ? slash + 1 : argv[0];

    /* socket() returns the lowest free descriptor. Were stdin closed, that would be 0. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0) {
            if (fd == STDOUT_FILENO)
                die("stdout");
            if (open("/dev/null", O_RDWR) < 0)
                die("open /dev/null");
        }

    if (options == NULL)
        options = none;
    size_t used = (size_t)snprintf(usage, sizeof usage, "usage: %s", program);
    for (struct option *o = options; o->name != NULL && used < sizeof usage; o++)
        used += (size_t)snprintf(usage + used, sizeof usage - used, " [%s]", o->name);
    if (operand != NULL && used < sizeof usage)
        snprintf(usage + used, sizeof usage - used, " [%s]", operand);

    const char *found = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            say("%s\n%s\n", usage, about);
            if (operand != NULL && strcmp(operand, "HOST:PORT") == 0)
                say("HOST:PORT is %s, unless you give one; IPv6 is written [::1]:6666.\n",
                    DEFAULT_ENDPOINT);
            exit(0);
        }
        if (argv[i][0] != '-') {
            if (operand == NULL || found != NULL)
                usage_error("one argument too many: %s", quoted(argv[i], strlen(argv[i])).s);
            found = argv[i];
            continue;
        }
        struct option *o = options;
        size_t length = strlen(argv[i]);
        while (o->name != NULL &&
               (strcspn(o->name, " ") != length || strncmp(o->name, argv[i], length) != 0))
            o++;
        if (o->name == NULL)
            usage_error("there is no option %s", quoted(argv[i], length).s);
        o->given = true;
        if (o->name[length] == ' ') {
            if (++i == argc)
                usage_error("a value is missing: %s", o->name);
            o->value = argv[i];
        }
    }
    return found;
}

long parse_number(const char *text, const char *what, long least, long most)
{
    size_t digits = strspn(text, "0123456789");
    errno = 0;
    long number = strtol(text, NULL, 10);
    if (digits == 0 || text[digits] != '\0' || errno != 0 || number < least || number > most)
        usage_error("%s is not a %s: that is a number from %ld to %ld",
                    quoted(text, strlen(text)).s, what, least, most);
    return number;
}

/* ---- Ending ---- */

static void on_signal(int number)
{
    if (number == SIGALRM)
        late = 1;
    else
        ending = 1;
    /* Had the signal come just before a call that waits, it would not have interrupted that call.
     * The alarm does: a second later, and once more if need be. */
    alarm(1);
}

void end_on_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: calls get EINTR */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    has_alarm = true;
}

bool interrupted(ssize_t result)
{
    return result < 0 && errno == EINTR && !ending;
}

void wait_for_enter(void)
{
    char byte = 0;
    ssize_t n;
    do
        n = read_stdin(&byte, 1);
    while (n == 1 && byte != '\n');
    if (n < 0 && errno != EINTR)
        die("read stdin");
}

/* ---- Endpoints ---- */

uint32_t interface_number(const char *name)
{
    char unused[IF_NAMESIZE];
    unsigned number = if_nametoindex(name);
    size_t digits = strspn(name, "0123456789");
    if (number == 0 && digits > 0 && digits < 10 && name[digits] == '\0')
        number = (unsigned)strtoul(name, NULL, 10);
    if (number == 0 || if_indextoname(number, unused) == NULL)
        usage_error("%s is not an interface of this machine", quoted(name, strlen(name)).s);
    return number;
}

char *split_endpoint(const char *text, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    const char *close = strrchr(text, ']');
    struct text what = quoted(text, strlen(text));
    if (text[0] == '[' && close == NULL)
        usage_error("%s has a [ and no ]: write [HOST]:PORT", what.s);
    if (colon == NULL || (close != NULL && colon < close))
        usage_error("%s has no port: write HOST:PORT, for example %s", what.s, DEFAULT_ENDPOINT);

    const char *host = text;
    size_t length = (size_t)(colon - text);
    if (text[0] == '[' && close + 1 == colon) {
        host++;
        length -= 2;
    } else if (strcspn(text, "[]:") != length) {
        usage_error("%s is not HOST:PORT: an IPv6 address needs brackets, [::1]:6666", what.s);
    }
    if (length == 0)
        usage_error("%s has no host: write HOST:PORT, for example %s", what.s, DEFAULT_ENDPOINT);
    *port = (uint16_t)parse_number(colon + 1, "port", 0, 65535);
    char *copy = strndup(host, length);
    if (copy == NULL)
        die("malloc");
    return copy;
}

struct endpoint parse_endpoint(const char *text)
{
    uint16_t port;
    char *host = split_endpoint(text != NULL ? text : DEFAULT_ENDPOINT, &port);
    struct endpoint at = {.length = 0};
    struct text what = quoted(host, strlen(host));
    char *scope = strchr(host, '%'); /* the interface of a link-local address: fe80::1%eth0 */
    if (scope != NULL)
        *scope++ = '\0';
    if (scope == NULL && inet_pton(AF_INET, host, &at.in.sin_addr) == 1) {
        at.in.sin_family = AF_INET;
        at.in.sin_port = htons(port);
        at.length = sizeof at.in;
    } else if (inet_pton(AF_INET6, host, &at.in6.sin6_addr) == 1) {
        at.in6.sin6_family = AF_INET6;
        at.in6.sin6_port = htons(port);
        at.length = sizeof at.in6;
        if (scope != NULL)
            at.in6.sin6_scope_id = interface_number(scope);
    } else {
        usage_error("%s is not an IP address: write 127.0.0.1, for example, or [::1]", what.s);
    }
    free(host);
    return at;
}

struct text endpoint_text(const struct endpoint *endpoint)
{
    struct text text = {"none"};
    char address[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "";
    if (endpoint->length == 0)
        return text;
    if (endpoint->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &endpoint->in.sin_addr, address, sizeof address);
        snprintf(text.s, sizeof text.s, "%s:%d", address, ntohs(endpoint->in.sin_port));
        return text;
    }
    inet_ntop(AF_INET6, &endpoint->in6.sin6_addr, address, sizeof address);
    if (endpoint->in6.sin6_scope_id != 0 &&
        if_indextoname(endpoint->in6.sin6_scope_id, scope + 1) != NULL)
        scope[0] = '%';
    snprintf(text.s, sizeof text.s, "[%s%s]:%d", address, scope, ntohs(endpoint->in6.sin6_port));
    return text;
}

uint16_t endpoint_port(const struct endpoint *endpoint)
{
    return ntohs(endpoint->sa.sa_family == AF_INET ? endpoint->in.sin_port
                                                   : endpoint->in6.sin6_port);
}

bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
    return a->length == b->length && strcmp(endpoint_text(a).s, endpoint_text(b).s) == 0;
}

struct endpoint local_endpoint(int fd)
{
    struct endpoint local = {.length = 0};
    socklen_t length = sizeof local.in6;
    if (getsockname(fd, &local.sa, &length) < 0)
        die("getsockname of fd %d", fd);
    local.length = length;
    return local;
}

struct endpoint peer_endpoint(int fd)
{
    struct endpoint peer = {.length = 0};
    socklen_t length = sizeof peer.in6;
    if (getpeername(fd, &peer.sa, &length) < 0) {
        if (errno != ENOTCONN)
            die("getpeername of fd %d", fd);
        length = 0;
    }
    peer.length = length;
    return peer;
}

const char *tcp_state_name(unsigned state)
{
    static const char *const names[] = {
        "?",     "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
        "CLOSE", "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "SYN_RECV",
    };
    return names[state < sizeof names / sizeof names[0] ? state : 0];
}

int open_listener(const struct endpoint *at, int backlog)
{
    struct text where = endpoint_text(at);
    int on = 1, fd = socket(at->sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket for %s", where.s);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        die("setsockopt SO_REUSEADDR of fd %d", fd);
    if (bind(fd, &at->sa, at->length) < 0)
        die("bind %s", where.s);
    if (listen(fd, backlog) < 0)
        die("listen %s", where.s);
    return fd;
}

bool set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) >= 0;
}

int accept_next(int listener)
{
    int fd;
    do
        fd = accept(listener, NULL, NULL);
    while (interrupted(fd) || (fd < 0 && errno == ECONNABORTED && !ending));
    if (fd < 0) {
        int error = errno; /* local_endpoint() may change it */
        struct endpoint at = local_endpoint(listener);
        errno = error;
        die("accept on %s", endpoint_text(&at).s);
    }
    return fd;
}

int connect_to(int fd, const struct endpoint *peer)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (connect(fd, &peer->sa, peer->length) == 0)
        return 0;
    if (!interrupted(-1))
        return -1;

    /* A second connect() would fail with EALREADY or EISCONN: the first one goes on. */
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int ready;
    do
        ready = poll(&wait, 1, -1);
    while (interrupted(ready));
    if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return -1;
    errno = error;
    return error == 0 ? 0 : -1;
}
