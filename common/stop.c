#define _GNU_SOURCE /* for ppoll(), which is in POSIX since 2024 */
#include "stop.h"
#include "messages.h"

#include <errno.h>
#include <poll.h>

static volatile sig_atomic_t stop_signal_came;
static sigset_t mask_while_waiting;
const sigset_t *while_waiting;

static void on_stop_signal(int number)
{
    (void)number;
    stop_signal_came = 1;
}

void catch_stop_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop_signal}; /* no SA_RESTART: waits end */
    sigset_t stop_signals;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGINT);
    sigaddset(&stop_signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop_signals, &mask_while_waiting);
    sigdelset(&mask_while_waiting, SIGINT); /* even if they were blocked before */
    sigdelset(&mask_while_waiting, SIGTERM);
    while_waiting = &mask_while_waiting;
}

bool stop_requested(void)
{
    sigset_t pending;
    if (while_waiting != NULL && !stop_signal_came && sigpending(&pending) == 0 &&
        (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1))
        stop_signal_came = 1;
    return stop_signal_came;
}

bool wait_for(int fd, short events)
{
    struct pollfd pfd = {.fd = fd, .events = events};
    while (!stop_requested()) {
        int ready = ppoll(&pfd, 1, NULL, while_waiting);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            die("poll");
    }
    return false;
}

bool was_interrupted(ssize_t result)
{
    return result < 0 && errno == EINTR;
}
