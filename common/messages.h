/* messages.h - what a program prints: its story on stdout, errors on stderr. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A piece of text that a function returns by value: nobody has to free it. */
struct text {
    char s[256];
};

/* Where say() writes: STDOUT_FILENO, unless a program changes it. */
extern int log_fd;

/* What say() does when there is no room for a line, because nobody reads the pipe (`| less`), or ^S
 * has stopped the terminal. true: it waits. A server sets this to false, because it has to go on
 * serving: then say() waits for a second at most, leaves out this line and the next ones until
 * there is room again, and then says how many it has left out. */
extern bool log_waits;

/* printf() whose text is written at once, not when a buffer is full. Ends the program with status 1
 * and a message when the text cannot be written (a full disk, a pipe whose reader has gone); with
 * status 0 when the user ends the program while say() waits for room. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes all `length` bytes to a file, a pipe or a terminal: write(2) may take fewer, a signal may
 * interrupt it, and a non-blocking descriptor may have no room (EAGAIN). A pipe whose reader has
 * gone is an error, EPIPE, and does not kill the program. Returns 0, or -1 with the errno of
 * write(2); EINTR only when the user ends the program. */
int write_all(int fd, const void *data, size_t length);

/* read(2) from stdin. It waits for input even if stdin is non-blocking: another program that has
 * the same terminal or pipe may have made it so. Returns what read(2) returns; -1 with EINTR when
 * the user ends the program. */
ssize_t read_stdin(void *data, size_t length);

/* Waits until the user presses Enter, stdin ends, or the user ends the program. */
void wait_for_enter(void);

/* Ends the program with status 1 after one line on stderr, made from the format ("bind %s"), and
 * from errno: its text and its name. The format begins with the name of the call that failed. If we
 * know what to try, the next lines say it. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the program with status 0, without a message, if the call was interrupted (EINTR) because
 * the user ends the program (stop_requested); otherwise as die() does. For calls that wait. */
_Noreturn void stop_or_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the program with status 1 after one line on stderr, for a failure without an errno. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints on stderr what die() prints, without ending the program. `error` is a value of errno. */
void complain(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints one line on stderr, after the program's name. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Returns the name of an errno value, "EADDRINUSE" for 98 on a PC (see errno(3)); "errno 1234"
 * for one that no call of the lessons is known to return. */
struct text errno_name(int error);

/* Returns a number and what is counted, "1 byte" or "6 bytes": the plural of `thing` has an s. */
struct text counted(size_t number, const char *thing);

/* Returns bytes as a C string literal, quoted: whatever a peer sends, a terminal can show it
 * safely. Of more than 48 bytes it shows the first 48, and three dots after the quote. */
struct text quoted(const void *data, size_t length);

#endif
