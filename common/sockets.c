#define _DEFAULT_SOURCE /* for SO_REUSEPORT, which is not in POSIX */
#include "sockets.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

const char *tcp_state_name(unsigned state)
{
    static const char *const names[] = {
        "?",     "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
        "CLOSE", "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "SYN_RECV",
    };
    return names[state < sizeof names / sizeof names[0] ? state : 0];
}

static int open_listener_with(const struct endpoint *at, int backlog, bool share_port)
{
    struct text where = endpoint_text(at);
    int on = 1, fd = socket(at->sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket for %s", where.s);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        die("setsockopt SO_REUSEADDR of fd %d", fd);
    if (share_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
        die("setsockopt SO_REUSEPORT of fd %d", fd);
    if (bind(fd, &at->sa, at->length) < 0)
        die("bind %s", where.s);
    if (listen(fd, backlog) < 0)
        die("listen %s", where.s);
    return fd;
}

int open_listener(const struct endpoint *at, int backlog)
{
    return open_listener_with(at, backlog, false);
}

int open_shared_listener(const struct endpoint *at, int backlog)
{
    return open_listener_with(at, backlog, true);
}

bool set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) >= 0;
}

int accept_next(int listener)
{
    int fd = -1;
    while (fd < 0 && wait_for(listener, POLLIN)) {
        fd = accept(listener, NULL, NULL);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            break;
    }
    if (fd < 0) {
        int error = stop_requested() ? EINTR : errno; /* local_endpoint() may change errno */
        struct endpoint at = local_endpoint(listener);
        errno = error;
        stop_or_die("accept on %s", endpoint_text(&at).s);
    }
    return fd;
}

/* connect() on a socket that is non-blocking. */
static int connect_nonblocking(int fd, const struct endpoint *peer)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (connect(fd, &peer->sa, peer->length) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EINTR) /* interrupted, it goes on in the kernel */
        return -1;
    if (!wait_for(fd, POLLOUT)) {
        errno = EINTR;
        return -1;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return -1;
    errno = error;
    return error == 0 ? 0 : -1;
}

int connect_to(int fd, const struct endpoint *peer)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -1;
    int result = connect_nonblocking(fd, peer), error = errno;
    if (fcntl(fd, F_SETFL, flags) < 0)
        return -1;
    errno = error;
    return result;
}
