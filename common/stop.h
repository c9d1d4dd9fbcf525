/* stop.h - how the user ends a program that waits: SIGINT (^C) and SIGTERM (kill).
 *
 * A program that has something to do before it ends (close its sockets, say so) catches the two
 * signals: a handler sets a flag, and the program looks at it. The obvious loop has a hole:
 *
 *     while (!flag)
 *         accept(...);
 *
 * A signal that comes after the look at the flag and before accept() waits has set the flag and
 * interrupts nothing: accept() waits for the next client, perhaps for ever. Checking the flag more
 * often makes the hole smaller, but does not close it. So the two signals are blocked
 * (sigprocmask(2)): the kernel keeps them back until the program is ready for them. ppoll() lets
 * them in and waits in one step, with nothing between: a signal that came before it is delivered
 * then, and ends the wait.
 *
 * But it lets them in only when it has to wait. When a descriptor is ready it says so at once, and
 * the signals stay where they are: a server whose clients always have something to say would never
 * hear of ^C. So stop_requested() also asks the kernel which signals it keeps back (sigpending(2)).
 */
#ifndef STOP_H
#define STOP_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* Has SIGINT or SIGTERM come since catch_stop_signals()? */
bool stop_requested(void);

/* The signal mask for the time of a wait, the last argument of ppoll() and epoll_pwait(): it lets
 * the two signals in. NULL, which changes nothing, before catch_stop_signals(). */
extern const sigset_t *while_waiting;

/* From now on SIGINT and SIGTERM make stop_requested() true instead of killing the program. The
 * handler runs only while the program waits, in wait_for() and in other calls with `while_waiting`,
 * or prints.
 */
void catch_stop_signals(void);

/* Waits until the descriptor is ready for one of the events (POLLIN: reading, accepting; POLLOUT:
 * writing), or until there is an error that the call on it will report. Returns true; or false when
 * the user ends the program. */
bool wait_for(int fd, short events);

/* Has a signal interrupted the call that returned this: -1, with errno EINTR? Then call it again.
 */
bool was_interrupted(ssize_t result);

#endif
