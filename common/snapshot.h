/* snapshot.h - what the kernel says of all sockets at one moment, as JSON: what picture.js
 * draws (lesson 12). Linux only. */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "proc_net.h"

struct snapshot {
    char *text; /* one line of JSON, without a newline and with a NUL at its end */
    size_t length;
    size_t after_time;          /* text[after_time] is where the machines begin */
    char problem[PROBLEM_ROOM]; /* what failed, for die(): "open /proc/net/tcp" */
};

/* Looks at the TCP and UDP sockets of this machine, and of the PCs of common/lab in which a process
 * runs that we may look at. `all`: at each of them. Otherwise at those of the course's programs
 * (their names begin with two digits and a hyphen), at the TCP sockets connected to these, and at
 * what the kernel keeps of them when no program has them any more. The state of a UDP socket is
 * "UDP". Returns 0: free_snapshot() frees it. Or -1 with errno and snapshot->problem, and nothing
 * to be freed. errno is ENOMEM, or as read_sockets() and read_socket_owners() set it. */
int take_snapshot(bool all, struct snapshot *snapshot);
void free_snapshot(struct snapshot *snapshot);

/* take_snapshot() remembers the connections that it has shown: when a program has closed its
 * socket, nothing else tells that it was one of the course's. This frees that memory, at the end.
 */
void forget_snapshots(void);

/* Do both say the same, except for the time? (A snapshot whose text is NULL says nothing.) */
bool same_snapshot(const struct snapshot *a, const struct snapshot *b);

#endif
