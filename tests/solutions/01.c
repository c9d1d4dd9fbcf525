/* 01-exercise: at which addresses can another PC reach this one?
 *
 * Run:       bin/01-exercise          and compare with `ip -brief address`
 *
 * getifaddrs() is not POSIX, but Linux, the BSDs and macOS all have it. */
#define _DEFAULT_SOURCE /* the C library shows getifaddrs() only to those who ask for more */
#include "common.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

int main(int argc, char **argv)
{
    read_arguments(argc, argv, "Prints the addresses at which another PC can reach this one.", NULL,
                   NULL);
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0)
        die("getifaddrs");

    for (struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
        /* Not every interface has an address. Normally nobody reaches one that is down, and the
         * addresses of the loopback interface only we ourselves. */
        if (a->ifa_addr == NULL || (a->ifa_flags & IFF_UP) == 0 ||
            (a->ifa_flags & IFF_LOOPBACK) != 0)
            continue;

        char text[INET6_ADDRSTRLEN];
        if (a->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in *in = (struct sockaddr_in *)a->ifa_addr;
            inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        } else if (a->ifa_addr->sa_family == AF_INET6) {
            struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)a->ifa_addr;
            inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
        } else {
            continue; /* the entry of the interface itself */
        }
        say("%s\n", text);
    }
    freeifaddrs(list);
    return 0;
}
