#include "messages.h"
#include "arguments.h"
#include "stop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int log_fd = STDOUT_FILENO;
bool log_waits = true;

/* ---- Writing, and reading stdin ---- */

/* Waits for room to write, for this time at most, or until a signal comes. Returns whether there is
 * room. */
static bool has_room(int fd, int milliseconds)
{
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    int ready = poll(&pfd, 1, milliseconds);
    if (ready < 0)
        ready = poll(&pfd, 1, 0);
    return ready != 0; /* (where poll() fails, write() reports why) */
}

static volatile sig_atomic_t write_took_too_long;

int write_all(int fd, const void *data, size_t length)
{
    /* MSG_NOSIGNAL keeps the signal SIGPIPE away from send() (lesson 06). write() does not have
     * such a flag, so the signal is ignored during this call. */
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, &before);

    const char *next = data;
    int error = 0;
    while (length > 0 && error == 0) {
        if (!has_room(fd, 0) && (write_took_too_long || !wait_for(fd, POLLOUT))) {
            error = EINTR;
            break;
        }
        /* A pipe that has room takes 4096 bytes at once. A terminal may take a part and wait before
         * it takes the rest: ^C is let in there. */
        sigset_t blocked;
        size_t piece = while_waiting != NULL && length > 4096 ? 4096 : length;
        if (while_waiting != NULL)
            sigprocmask(SIG_SETMASK, while_waiting, &blocked);
        ssize_t n = write(fd, next, piece);
        if (n < 0 && errno != EAGAIN && (errno != EINTR || write_took_too_long))
            error = errno;
        if (while_waiting != NULL)
            sigprocmask(SIG_SETMASK, &blocked, NULL);
        if (n > 0) {
            next += n;
            length -= (size_t)n;
        }
    }
    sigaction(SIGPIPE, &before, NULL);
    errno = error;
    return error == 0 ? 0 : -1;
}

ssize_t read_stdin(void *data, size_t length)
{
    while (wait_for(STDIN_FILENO, POLLIN)) {
        ssize_t n = read(STDIN_FILENO, data, length);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
            return n;
    }
    errno = EINTR;
    return -1;
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

/* ---- Printing ---- */

static void on_alarm(int number)
{
    (void)number;
    write_took_too_long = 1;
}

/* write_all() that gives up after a second: a terminal may have room for less than a line. */
static int write_within_a_second(int fd, const char *line, size_t length)
{
    struct sigaction action = {.sa_handler = on_alarm}, before;
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, &before);
    alarm(1);
    int result = write_all(fd, line, length), error = errno;
    alarm(0);
    write_took_too_long = 0;
    sigaction(SIGALRM, &before, NULL);
    errno = error;
    return result;
}

/* Writes a line, or a piece of one, to stdout or stderr, or leaves it out (see log_waits). Returns
 * what write_all() returns. */
static int write_line(int fd, const char *line, size_t length)
{
    static struct {
        unsigned left_out; /* lines, since the last one that was written */
        bool leaves_out;   /* the beginning of this line, and so the rest of it */
        bool in_a_line;    /* what was written last is not the end of a line */
    } outputs[STDERR_FILENO + 1], *to;
    to = &outputs[fd];
    bool ends = length > 0 && line[length - 1] == '\n';
    if (!log_waits && (to->leaves_out || !has_room(fd, to->left_out == 0 ? 1000 : 0))) {
        to->left_out += ends;
        to->leaves_out = !ends;
        return 0;
    }
    /* How many were left out is written with the line: a small pipe has room for one write. */
    char both[1200];
    unsigned left_out = to->left_out;
    if (left_out > 0) {
        int n = snprintf(both, sizeof both, "%s(%s left out here: nobody read this)\n",
                         to->in_a_line ? "\n" : "", counted(left_out, "line").s);
        if ((size_t)n + length <= sizeof both) {
            memcpy(both + n, line, length);
            line = both;
            length += (size_t)n;
            to->left_out = 0;
        }
    }
    int result = !log_waits && isatty(fd) ? write_within_a_second(fd, line, length)
                                          : write_all(fd, line, length);
    to->in_a_line = result < 0 || !ends;
    if (result < 0 && errno == EINTR && !stop_requested()) {
        to->left_out = left_out + 1;
        return 0;
    }
    return result;
}

void say(const char *format, ...)
{
    /* No malloc() for a usual line: a server goes on even if there is no memory. */
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
    if (write_line(log_fd, line, (size_t)length) < 0)
        stop_or_die("write to %s", log_fd == STDOUT_FILENO ? "stdout" : "stderr");
    if (line != usual)
        free(line);
}

/* ---- Errors ---- */

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
        NAME(EPROTONOSUPPORT), NAME(EBADMSG),
    };
#undef NAME
    struct text text = {""};
    if (error >= 0 && (size_t)error < sizeof names / sizeof names[0] && names[error] != NULL)
        snprintf(text.s, sizeof text.s, "%s", names[error]);
    else
        snprintf(text.s, sizeof text.s, "errno %d", error);
    return text;
}

/* What a learner can try, or NULL. The same error can mean something else for another call: `call`
 * is what a message begins with, "bind %s". A hint has to be true whatever the reason is:
 * tests/course/hints.bats makes each of them happen, for each reason that we know. */
static const char *what_to_try(const char *call, int error)
{
    bool is_bind = strncmp(call, "bind", 4) == 0, is_listen = strncmp(call, "listen", 6) == 0;
    if (is_bind && error == EACCES)
        return "a port that needs no privilege: bin/02-bind shows the lowest one";
    if ((is_bind || is_listen) && error == EADDRINUSE)
        return "another port. Or look for this one in `ss -tanp`. A program: end it.\n"
               "  TIME-WAIT or FIN-WAIT-2: wait a minute. No program: it is another user's.\n"
               "  No line, or UNCONN: a program that has bound the port and does not listen.";
    if (is_bind && error == EADDRNOTAVAIL)
        return "an address of this machine: bin/01-interfaces lists them";
    if (is_bind && error == EINVAL)
        return "bind a socket only once, with an address of its own IP version;\n"
               "  an address that begins with fe80 needs its interface: [fe80::1%eth0]:6666.";
    if (strncmp(call, "socket", 6) == 0 && error == EAFNOSUPPORT)
        return "an IPv4 address: this machine may have no IPv6";
    if (strncmp(call, "sendto", 6) == 0 && error == EACCES)
        return "--broadcast, for a broadcast address. Otherwise a rule forbids it.";
    if (error == EMSGSIZE)
        return "at most 65507 bytes in a datagram over IPv4, and 65527 over IPv6";
    if (error == EAFNOSUPPORT)
        return "an address of the IP version that socket() was called with";
    if (error == EMFILE)
        return "`ulimit -Sn N`, then start it again. N can be as high as `ulimit -Hn`.";
    return NULL;
}

/* Prints a line on stderr: the program's name and the text; with an errno value (not 0) what it
 * means, and below it what to try. */
static void print_error(int error, const char *format, va_list values)
{
    char what[512], line[1024];
    const char *hint = error != 0 ? what_to_try(format, error) : NULL;
    vsnprintf(what, sizeof what, format, values);
    int length;
    if (error == 0)
        length = snprintf(line, sizeof line, "%.40s: %s\n", program_name(), what);
    else
        length = snprintf(line, sizeof line, "%.40s: %s: %s (%s)\n%s%s%s", program_name(), what,
                          strerror(error), errno_name(error).s, hint != NULL ? "  try: " : "",
                          hint != NULL ? hint : "", hint != NULL ? "\n" : "");
    write_line(STDERR_FILENO, line, (size_t)length);
}

void complain(int error, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    print_error(error, format, values);
    va_end(values);
}

void note(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    print_error(0, format, values);
    va_end(values);
}

void die(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    print_error(errno, format, values);
    va_end(values);
    exit(1);
}

void stop_or_die(const char *format, ...)
{
    if (errno == EINTR && stop_requested())
        exit(0);
    va_list values;
    va_start(values, format);
    print_error(errno, format, values);
    va_end(values);
    exit(1);
}

void fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    print_error(0, format, values);
    va_end(values);
    exit(1);
}

struct text counted(size_t number, const char *thing)
{
    struct text text;
    snprintf(text.s, sizeof text.s, "%zu %s%s", number, thing, number == 1 ? "" : "s");
    return text;
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
