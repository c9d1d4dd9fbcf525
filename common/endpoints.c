#include "endpoints.h"
#include "arguments.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t interface_number(const char *name)
{
    char unused[IF_NAMESIZE];
    unsigned number = if_nametoindex(name);
    size_t digits = strspn(name, "0123456789");
    if (number == 0 && digits > 0 && digits < 10 && name[digits] == '\0')
        number = (unsigned)strtoul(name, NULL, 10);
    if (number == 0 || if_indextoname(number, unused) == NULL)
        usage_error("%s is not an interface of this machine", quoted(name, strlen(name)).s);
    return number;
}

char *split_endpoint(const char *text, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    const char *bracket = strrchr(text, ']');
    struct text what = quoted(text, strlen(text));
    if (text[0] == '[' && bracket == NULL)
        usage_error("%s has a [ but no ]: write [HOST]:PORT", what.s);
    if (colon == NULL || (bracket != NULL && colon < bracket))
        usage_error("%s has no port, as in %s", what.s, DEFAULT_ENDPOINT);

    const char *host = text;
    size_t length = (size_t)(colon - text);
    if (text[0] == '[' && bracket + 1 == colon) {
        host++;
        length -= 2;
    } else if (strcspn(text, "[]:") != length) {
        usage_error("%s is not HOST:PORT or [IPv6]:PORT", what.s);
    }
    if (length == 0)
        usage_error("%s has no host, as in %s", what.s, DEFAULT_ENDPOINT);
    *port = (uint16_t)parse_number(colon + 1, "port", 0, 65535);
    char *copy = strndup(host, length);
    if (copy == NULL)
        die("malloc");
    return copy;
}

struct endpoint parse_endpoint(const char *text)
{
    uint16_t port;
    char *host = split_endpoint(text != NULL ? text : default_endpoint, &port);
    struct endpoint at = {.length = 0};
    struct text what = quoted(host, strlen(host));
    char *scope = strchr(host, '%'); /* the interface of a link-local address: fe80::1%eth0 */
    if (scope != NULL)
        *scope++ = '\0';
    if (scope == NULL && inet_pton(AF_INET, host, &at.in.sin_addr) == 1) {
        at.in.sin_family = AF_INET;
        at.in.sin_port = htons(port);
        at.length = sizeof at.in;
    } else if (inet_pton(AF_INET6, host, &at.in6.sin6_addr) == 1) {
        at.in6.sin6_family = AF_INET6;
        at.in6.sin6_port = htons(port);
        at.length = sizeof at.in6;
        if (scope != NULL)
            at.in6.sin6_scope_id = interface_number(scope);
    } else {
        usage_error("%s is not an IP address (127.0.0.1, [::1])", what.s);
    }
    free(host);
    return at;
}

struct text endpoint_text(const struct endpoint *endpoint)
{
    struct text text = {"none"};
    char address[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "";
    if (endpoint->length == 0)
        return text;
    if (endpoint->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &endpoint->in.sin_addr, address, sizeof address);
        snprintf(text.s, sizeof text.s, "%s:%d", address, ntohs(endpoint->in.sin_port));
        return text;
    }
    inet_ntop(AF_INET6, &endpoint->in6.sin6_addr, address, sizeof address);
    if (endpoint->in6.sin6_scope_id != 0 &&
        if_indextoname(endpoint->in6.sin6_scope_id, scope + 1) != NULL)
        scope[0] = '%';
    snprintf(text.s, sizeof text.s, "[%s%s]:%d", address, scope, ntohs(endpoint->in6.sin6_port));
    return text;
}

uint16_t endpoint_port(const struct endpoint *endpoint)
{
    return ntohs(endpoint->sa.sa_family == AF_INET ? endpoint->in.sin_port
                                                   : endpoint->in6.sin6_port);
}

bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
    if (a->length == 0 || b->length == 0)
        return a->length == b->length;
    if (a->sa.sa_family != b->sa.sa_family || endpoint_port(a) != endpoint_port(b))
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0 &&
           a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

struct endpoint local_endpoint(int fd)
{
    struct endpoint local = {.length = 0};
    socklen_t length = sizeof local.in6;
    if (getsockname(fd, &local.sa, &length) < 0)
        die("getsockname of fd %d", fd);
    local.length = length;
    return local;
}

struct endpoint peer_endpoint(int fd)
{
    struct endpoint peer = {.length = 0};
    socklen_t length = sizeof peer.in6;
    if (getpeername(fd, &peer.sa, &length) < 0) {
        if (errno != ENOTCONN)
            die("getpeername of fd %d", fd);
        length = 0;
    }
    peer.length = length;
    return peer;
}
