/* sockets.h - the steps of earlier lessons, in one call each. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "endpoints.h"

/* Returns the name of a TCP state, by the kernel's number (/proc/net/tcp, TCP_INFO): "LISTEN" for
 * 10; "?" for a number that is not a state. RFC 9293 defines the states, lesson 10 visits them. */
const char *tcp_state_name(unsigned state);

/* socket(), SO_REUSEADDR, bind() and listen(), as lessons 03 and 06 write them out. Returns the
 * listener; dies with a message if one of the calls fails. */
int open_listener(const struct endpoint *at, int backlog);

/* open_listener(), with SO_REUSEPORT (lesson 03): other sockets with this option may listen at the
 * same endpoint, and the kernel distributes the clients among them. */
int open_shared_listener(const struct endpoint *at, int backlog);

/* From now on no call waits for this descriptor (lesson 05): it fails with EAGAIN instead. Returns
 * false, with errno, if that cannot be set. */
bool set_nonblocking(int fd);

/* accept(), as lesson 06 writes it out: an interruption, or a client that has given up, is not a
 * failure. Returns the connected socket. Ends the program when accept() fails (status 1, with a
 * message), and when the user ends it (status 0). */
int accept_next(int listener);

/* connect(), as lesson 05 writes it out: it waits for the outcome. Returns 0, or -1 with the
 * errno of connect(2); EINTR when the user ends the program meanwhile. The socket is a blocking one
 * again afterwards, unless it was non-blocking before. */
int connect_to(int fd, const struct endpoint *peer);

#endif
