/* 01-exercise: at which addresses can another PC reach this one?
 *
 * Run:       bin/01-exercise          and compare with `ip -brief address`
 * Check:     make exercise-01         The task and three hints: README.md, under Make.
 *
 * getifaddrs() is not POSIX, but Linux, the BSDs and macOS all have it. */
#define _DEFAULT_SOURCE /* for getifaddrs(), which is not in POSIX */
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
        /* --- your code: instead of this line, which prints the interface of each entry --- */
        say("%s\n", a->ifa_name);
        /* --- to here --- */
    }
    freeifaddrs(list);
    return 0;
}
