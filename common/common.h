/* common.h - what several lessons share: the command line, what is said, and endpoints.
 *
 * A lesson writes out the calls that it introduces. What an earlier lesson has taught stands here,
 * under a name that says what it does. All of it is for programs with one thread.
 */
#ifndef COMMON_H
#define COMMON_H

#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define DEFAULT_ENDPOINT "127.0.0.1:6666"

/* A piece of text that a function returns by value: nobody has to free it. */
struct text {
    char s[256];
};

/* ---- The command line ---- */

/* An option of a program: "--quiet", or "--timeout SECONDS" where a value follows it. */
struct option {
    const char *name;
    bool given;        /* was it on the command line? */
    const char *value; /* the word after it; NULL for an option without a value */
};

/* Reads the command line: any of the options (an array that ends with a NULL name; NULL for none)
 * and at most one operand ("HOST:PORT", as it is to be named in the usage line; NULL for none).
 * `about` is the sentence that --help prints. To be called first: it also makes sure that
 * descriptors 0, 1 and 2 are open, so that no socket becomes the program's stdout.
 * Returns the operand, or NULL where there was none. Ends the program with status 0 after --help,
 * with status 2 when the command line is wrong, with status 1 when stdout is closed. */
const char *read_arguments(int argc, char **argv, const char *about, struct option *options,
                           const char *operand);

/* Says what is wrong with the command line (like printf, no newline at the end), then the usage
 * line, both on stderr, and ends the program with status 2. */
_Noreturn void usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Returns the whole number that `text` is, from `least` to `most`. All of it has to be digits:
 * "80x", " 80", "-1" and "" are usage errors that name the number as `what` ("port"). */
long parse_number(const char *text, const char *what, long least, long most);

/* ---- What is said ---- */

/* Where say() writes: STDOUT_FILENO, until a program changes it. */
extern int say_to;

/* What does say() do when there is no room for a line: when a pipe is full that nobody reads (`|
 * less`), or ^S has stopped the terminal? true: it waits. A server sets this to false, for it is to
 * go on serving: say() then waits a second, leaves the line out, and all others until there is room
 * again; then it says how many were left out. */
extern bool say_waits;

/* printf() that is on its way at once, not when a buffer is full, and that ends the program with
 * status 1 and a message when nobody can read it (a full disk, a pipe that nobody has open any
 * more). */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes all `length` bytes to a file, a pipe or a terminal: write(2) may take fewer, a signal may
 * interrupt it, and a non-blocking descriptor may have no room (EAGAIN). A pipe that nobody has
 * open any more is an error, EPIPE, and does not kill the program. Returns 0, or -1 with the errno
 * of write(2); EINTR only when the user ends the program. */
int write_all(int fd, const void *data, size_t length);

/* read(2) from stdin. It waits for input even where stdin is non-blocking, as another program that
 * has the same terminal or pipe may have made it; a signal does not stop it unless the user ends
 * the program. */
ssize_t read_stdin(void *data, size_t length);

/* Ends the program with status 1 after one line on stderr, made from the format ("bind %s"), and
 * from errno: its text and its name. The format begins with the name of the call that failed. Where
 * it is known what to try, a second line says it. A call that was interrupted (EINTR) because the
 * user ends the program has not failed: then the status is 0, and nothing is said. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says on stderr what die() says, without ending the program. `error` is a value of errno. */
void complain(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns the name of an errno value, "EADDRINUSE" for 98 on a PC (see errno(3)); "errno 1234"
 * for one that no call of the lessons is known to return. */
struct text errno_name(int error);

/* Returns bytes as a C string literal, quoted: whatever a peer sends, a terminal can show it
 * safely. Of more than 48 bytes it shows the first 48, and three dots after the quote. */
struct text quoted(const void *data, size_t length);

/* ---- Ending ---- */

/* True once SIGINT (^C) or SIGTERM has come, after end_on_signals(). A call that waits (accept,
 * recv, poll, read) is interrupted then: it returns -1 with errno EINTR. See signal(7). */
extern volatile sig_atomic_t ending;

/* From now on SIGINT and SIGTERM set `ending`, instead of killing the program on the spot. */
void end_on_signals(void);

/* Is that (-1, with errno) what a call returns that a signal has interrupted, and that is to be
 * made again? Not when the user ends the program. */
bool interrupted(ssize_t result);

/* Waits until the user presses Enter, stdin ends or, after end_on_signals(), a signal comes. */
void wait_for_enter(void);

/* ---- Endpoints: an IP address and a port (lesson 02) ---- */

/* IPv4 or IPv6, told apart by sa.sa_family. A `length` of 0 stands for "no endpoint". */
struct endpoint {
    union {
        struct sockaddr sa; /* what bind(), connect(), getsockname() want: a pointer to this */
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
    socklen_t length;
};

/* Returns the number of the interface that is named, "eth0", or numbered, "2": the scope of a
 * link-local address. A usage error where this machine has no such interface. */
uint32_t interface_number(const char *name);

/* Cuts "HOST:PORT" or "[HOST]:PORT" in two. Returns the host in newly allocated memory (to be
 * freed) and puts the port, 0 to 65535, in host byte order into *port. A usage error where the
 * text is anything else. An IPv6 address needs the brackets: it has colons of its own. */
char *split_endpoint(const char *text, uint16_t *port);

/* Returns the endpoint that the text is, "127.0.0.1:6666" or "[fe80::1%eth0]:6666"; NULL stands for
 * DEFAULT_ENDPOINT. A usage error where it is none, or where the host is a name (lesson 02). */
struct endpoint parse_endpoint(const char *text);

/* Returns the endpoint as text, as parse_endpoint() reads it; "none" where its length is 0. */
struct text endpoint_text(const struct endpoint *endpoint);

/* Returns the port, 0 to 65535, in host byte order (lesson 02). */
uint16_t endpoint_port(const struct endpoint *endpoint);

/* Are both the same address and the same port? */
bool same_endpoint(const struct endpoint *a, const struct endpoint *b);

/* Returns the socket's own endpoint: getsockname(2), lesson 02. */
struct endpoint local_endpoint(int fd);

/* Returns the endpoint of the socket at the other end: getpeername(2), lesson 05. Its length is 0
 * where there is none, because the socket was never connected or the connection is gone. */
struct endpoint peer_endpoint(int fd);

/* Returns the name of a TCP state, by the kernel's number (/proc/net/tcp, TCP_INFO): "LISTEN" for
 * 10; "?" for a number that is none. RFC 9293 defines the states, lesson 10 visits them. */
const char *tcp_state_name(unsigned state);

/* socket(), SO_REUSEADDR, bind() and listen(), as lessons 03 and 06 write them out. Returns the
 * listener; dies with a message where one of the calls fails. */
int open_listener(const struct endpoint *at, int backlog);

/* From now on no call waits for this descriptor (lesson 05): it fails with EAGAIN instead. Returns
 * false, with errno, where that cannot be set. */
bool set_nonblocking(int fd);

/* accept(), as lesson 06 writes it out: an interruption, or a client that has given up, is no
 * failure. Returns the connected socket; dies with a message where it fails. */
int accept_next(int listener);

/* connect() with a socket that may wait (lesson 05). Returns 0, or -1 with the errno of connect(2).
 * A signal does not stop it: interrupted, connect() goes on in the kernel. So this waits until that
 * is decided, and asks the socket how (SO_ERROR). */
int connect_to(int fd, const struct endpoint *peer);

#endif
