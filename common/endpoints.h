/* endpoints.h - an IP address and a port (lesson 02). */
#ifndef ENDPOINTS_H
#define ENDPOINTS_H

#include "messages.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

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
 * default_endpoint. A usage error where it is none, or where the host is a name (lesson 02). */
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

#endif
