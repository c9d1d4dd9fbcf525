/* endpoints.h - an IP address and a port (lesson 02). */
#ifndef ENDPOINTS_H
#define ENDPOINTS_H

#include "messages.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 endpoint; sa.sa_family says which. A `length` of 0 means "no endpoint". */
struct endpoint {
    union {
        struct sockaddr sa; /* bind(), connect(), getsockname() take a pointer to this */
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
    socklen_t length;
};

/* Returns the number of the interface with this name, "eth0", or number, "2": the scope of a
 * link-local address. An interface that this machine does not have is a usage error. */
uint32_t interface_number(const char *name);

/* Cuts "HOST:PORT" or "[HOST]:PORT" in two. Returns the host in newly allocated memory (to be
 * freed) and puts the port, 0 to 65535, in host byte order into *port. Any other text is a usage
 * error. An IPv6 address needs the brackets, because it has colons of its own. */
char *split_endpoint(const char *text, uint16_t *port);

/* Returns the endpoint that is written in the text, "127.0.0.1:6666" or "[fe80::1%eth0]:6666"; NULL
 * means default_endpoint. Any other text is a usage error, and so is a name (lesson 02). */
struct endpoint parse_endpoint(const char *text);

/* Returns the endpoint as text, as parse_endpoint() reads it; "none" if its length is 0. */
struct text endpoint_text(const struct endpoint *endpoint);

/* Returns the port, 0 to 65535, in host byte order (lesson 02). */
uint16_t endpoint_port(const struct endpoint *endpoint);

/* Do both have the same address and the same port? */
bool same_endpoint(const struct endpoint *a, const struct endpoint *b);

/* Returns the socket's own endpoint: getsockname(2), lesson 02. */
struct endpoint local_endpoint(int fd);

/* Returns the endpoint of the peer: getpeername(2), lesson 05. Its length is 0 if there is no peer,
 * because the socket was never connected, or the connection is gone. */
struct endpoint peer_endpoint(int fd);

#endif
