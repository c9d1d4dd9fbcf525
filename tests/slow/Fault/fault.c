/* A library before the C library (LD_PRELOAD): FAULT names the functions that take one byte at a
 * time (after 500 such calls, half of what they are asked for); "connect": it is interrupted;
 * "port": none is left for the first one; "full": no descriptor is for the first accept();
 * malloc=N: the N-th allocation fails. The file REACHED is made when one of them was. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
static const char *fault(void)
{
    static const char *f;
    return f ? f : (f = getenv("FAULT")) ? f : "";
}
static void reached(void)
{
    static int before;
    if (before++ == 0 && getenv("REACHED") != NULL)
        close(open(getenv("REACHED"), O_CREAT | O_WRONLY, 0600));
}
static size_t cut(const char *name, size_t n)
{
    static int before;
    if (n <= 1 || strstr(fault(), name) == 0)
        return n;
    reached();
    return before++ < 500 ? 1 : n / 2;
}
ssize_t send(int fd, const void *p, size_t n, int f)
{
    return sendto(fd, p, cut("send", n), f, 0, 0);
}
ssize_t recv(int fd, void *p, size_t n, int f)
{
    return recvfrom(fd, p, cut("recv", n), f, 0, 0);
}
ssize_t write(int fd, const void *p, size_t n)
{
    return REAL(write)(fd, p, cut("write", n));
}
ssize_t read(int fd, void *p, size_t n)
{
    return REAL(read)(fd, p, cut("read", n));
}
ssize_t __recv_chk(int fd, void *p, size_t n, size_t m, int f)
{
    (void)m;
    return recv(fd, p, n, f);
}
ssize_t __read_chk(int fd, void *p, size_t n, size_t m)
{
    (void)m;
    return read(fd, p, n);
}
int connect(int fd, const struct sockaddr *a, socklen_t n)
{
    static int before;
    if (strstr(fault(), "port") && before++ == 0) {
        errno = EADDRNOTAVAIL; /* no ephemeral port is left */
        return -1;
    }
    int result = REAL(connect)(fd, a, n), type = 0; /* (for datagrams it has nothing to wait for) */
    socklen_t length = sizeof type;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
    if (strstr(fault(), "connect") == 0 || a->sa_family == AF_UNIX || type != SOCK_STREAM ||
        (result < 0 && errno != EINPROGRESS))
        return result;
    reached();
    errno = EINTR; /* a signal has come; but the connection is made, or will be */
    return -1;
}
int accept(int fd, struct sockaddr *a, socklen_t *n)
{
    static int before;
    if (strstr(fault(), "full") == 0 || before++ > 0)
        return REAL(accept)(fd, a, n);
    errno = EMFILE; /* the first one has to wait until there is a descriptor for it */
    return -1;
}
static int full(void)
{
    static int count, limit;
    if (limit == 0)
        limit = strncmp(fault(), "malloc=", 7) == 0 ? atoi(fault() + 7) : -1;
    if (++count != limit)
        return 0;
    reached();
    errno = ENOMEM;
    return 1;
}
void *malloc(size_t n)
{
    return full() ? 0 : REAL(malloc)(n);
}
void *realloc(void *p, size_t n)
{
    return full() ? 0 : REAL(realloc)(p, n);
}
void *calloc(size_t n, size_t m)
{
    void *p = malloc(n * m);
    return p ? memset(p, 0, n * m) : 0;
}
