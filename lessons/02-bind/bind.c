/* 02-bind: how does a program get a port?
 *
 * Run:       bin/02-bind 127.0.0.1:6666      and then, for example, with 127.0.0.1:0
 * Look for:  the two bytes of the port, and the port that you get for 0.
 *
 * The two limits that it reads from /proc exist only on Linux. Elsewhere it says so. */
#include "common.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say_the_kernels_limits(void);

int main(int argc, char **argv)
{
    const char *where =
        read_arguments(argc, argv, "Takes a port and holds it until Enter, end of input or ^C.",
                       NULL, "HOST:PORT");
    uint16_t port;
    char *host = split_endpoint(where != NULL ? where : DEFAULT_ENDPOINT, &port);
    catch_stop_signals();

    /* 1. The endpoint, as the kernel wants it: a struct with the address and the port in it, both
     *    in network byte order, the high byte first. Most machines store the low byte first:
     *    htons() ("host to network, short") swaps the bytes. Without it, 6666 becomes 2586. */
    struct endpoint at = {.length = 0};
    struct text what = quoted(host, strlen(host));
    char *scope = strchr(host, '%'); /* fe80::1%eth0: a link-local address and its interface */
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
    say_the_kernels_limits();
    unsigned char bytes[2];
    memcpy(bytes, at.sa.sa_family == AF_INET ? &at.in.sin_port : &at.in6.sin6_port, 2);
    say("port %d: bytes %02x %02x in network byte order, %02x %02x in this machine's memory\n",
        port, bytes[0], bytes[1], ((unsigned char *)&port)[0], ((unsigned char *)&port)[1]);

    /* 2. A socket. To the program it is a descriptor, a small number. It has no address yet. */
    int fd = socket(at.sa.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    say("socket: fd %d\n", fd);

    /* 3. Give it the address: from now on the port is ours, and no one else's. */
    if (bind(fd, &at.sa, at.length) < 0)
        die("bind %s", endpoint_text(&at).s);

    /* 4. Ask the kernel what we got. For port 0, which means "any", it has chosen one. */
    struct endpoint got = {.length = 0};
    socklen_t length = sizeof got.in6;
    if (getsockname(fd, &got.sa, &length) < 0)
        die("getsockname of fd %d", fd);
    got.length = length;
    say("bind: fd %d is %s\n", fd, endpoint_text(&got).s);

    /* 5. Hold it. */
    say("The port is ours. Enter ends this.\n");
    wait_for_enter();

    /* 6. Give it back. (When the program ends, the kernel does that as well.) */
    if (close(fd) < 0)
        die("close fd %d", fd);
    say("close: fd %d; %s is free again\n", fd, endpoint_text(&got).s);
    return 0;
}

/* Prints which ports need privilege, and from which the kernel chooses by itself (ip(7)). */
static void say_the_kernels_limits(void)
{
    int limit, first, last;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
    if (file == NULL || fscanf(file, "%d", &limit) != 1)
        say("this kernel does not say which ports need privilege\n");
    else if (limit > 1)
        say("this kernel: ports below %d need privilege\n", limit);
    else /* many containers have 0 (and nobody can get port 0 itself) */
        say("this kernel: no port needs privilege\n");
    if (file != NULL)
        fclose(file);
    file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    if (file != NULL && fscanf(file, "%d %d", &first, &last) == 2)
        say("this kernel: it chooses from ports %d to %d itself (ephemeral ports)\n", first, last);
    else
        say("this kernel does not say which ports it chooses itself\n");
    if (file != NULL)
        fclose(file);
}
