/* 01-interfaces: which networks is this machine in, and what is its address in each?
 *
 * Run:       bin/01-interfaces
 * Look for:  an interface with several addresses, and one without an address.
 *
 * getifaddrs() is not POSIX, but Linux, the BSDs and macOS all have it. On Linux its list
 * has every interface, even one without an address. */
#define _DEFAULT_SOURCE /* for getifaddrs(), which is not in POSIX */
#include "common.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

static bool first_of_its_interface(const struct ifaddrs *list, const struct ifaddrs *entry);
static bool same_interface(const struct ifaddrs *a, const struct ifaddrs *b);
static int prefix_length(int family, const struct sockaddr *mask);
static const char *kind_of(const struct sockaddr *address);

int main(int argc, char **argv)
{
    read_arguments(argc, argv, "Lists the interfaces of this machine and their addresses.", NULL,
                   NULL);

    /* 1. Ask the kernel. The answer is a linked list with an entry for each address, and one more
     *    for each interface itself. So an interface's name comes up several times. */
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0)
        die("getifaddrs");

    int interfaces = 0, active = 0, addresses = 0;
    for (struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        if (!first_of_its_interface(list, i))
            continue;

        /* 2. The interface: somebody has switched it on ("up"), or not. */
        bool up = (i->ifa_flags & IFF_UP) != 0;
        interfaces++;
        active += up;
        say("%.*s: %s\n", (int)strcspn(i->ifa_name, ":"), i->ifa_name, up ? "up" : "down");

        /* 3. Its addresses: none, one or many, of both IP versions. */
        int its_addresses = 0;
        for (struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
            if (a->ifa_addr == NULL || !same_interface(a, i))
                continue;
            char text[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "";
            if (a->ifa_addr->sa_family == AF_INET) {
                struct sockaddr_in *in = (struct sockaddr_in *)a->ifa_addr;
                inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
            } else if (a->ifa_addr->sa_family == AF_INET6) {
                struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)a->ifa_addr;
                inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
                /* fe80::1 may be on every interface at once: only the interface's name, its
                 * scope, says which one is meant. */
                if (in6->sin6_scope_id != 0 &&
                    if_indextoname(in6->sin6_scope_id, scope + 1) != NULL)
                    scope[0] = '%';
            } else {
                continue; /* the entry for the interface itself: no IP address in it */
            }
            say("    %s%s/%d %s\n", text, scope,
                prefix_length(a->ifa_addr->sa_family, a->ifa_netmask), kind_of(a->ifa_addr));
            its_addresses++;
        }
        if (its_addresses == 0)
            say("    no address\n");
        addresses += its_addresses;
    }
    freeifaddrs(list);

    /* 4. Are there as many addresses as active interfaces? Judge for yourself. */
    say("interfaces: %d, active: %d, addresses: %d\n", interfaces, active, addresses);
    return 0;
}

static bool first_of_its_interface(const struct ifaddrs *list, const struct ifaddrs *entry)
{
    for (const struct ifaddrs *e = list; e != entry; e = e->ifa_next)
        if (same_interface(e, entry))
            return false;
    return true;
}

/* A second IPv4 address can have a label, "eth0:1". It is still an address of eth0. */
static bool same_interface(const struct ifaddrs *a, const struct ifaddrs *b)
{
    size_t length = strcspn(a->ifa_name, ":");
    return length == strcspn(b->ifa_name, ":") && strncmp(a->ifa_name, b->ifa_name, length) == 0;
}

/* Returns a pointer to the bytes of an address of this family, in network byte order, and how many
 * there are. */
static const unsigned char *bytes_of(int family, const struct sockaddr *address, int *count)
{
    *count = family == AF_INET ? 4 : 16;
    return family == AF_INET
               ? (const unsigned char *)&((const struct sockaddr_in *)address)->sin_addr
               : (const unsigned char *)&((const struct sockaddr_in6 *)address)->sin6_addr;
}

/* The network's part of an address is where its mask has ones: 255.255.255.0 is /24. Not every
 * system writes the family into the mask; an address without a mask is a network of its own. */
static int prefix_length(int family, const struct sockaddr *mask)
{
    int count, ones = 0;
    if (mask == NULL)
        return family == AF_INET ? 32 : 128;
    const unsigned char *bytes = bytes_of(family, mask, &count);
    while (ones < 8 * count && (bytes[ones / 8] & (0x80 >> ones % 8)) != 0)
        ones++;
    return ones;
}

/* What an address is for: its first bits say so (RFC 6890, RFC 4291). */
static const char *kind_of(const struct sockaddr *address)
{
    static const struct {
        int family;
        const char *network;
        int prefix;
        const char *kind;
    } ranges[] = {
        {AF_INET, "127.0.0.0", 8, "loopback: this machine only"},
        {AF_INET, "10.0.0.0", 8, "private"},
        {AF_INET, "172.16.0.0", 12, "private"},
        {AF_INET, "192.168.0.0", 16, "private"},
        {AF_INET, "100.64.0.0", 10, "shared: behind the provider's NAT"},
        {AF_INET, "169.254.0.0", 16, "link-local: this network only"},
        {AF_INET, "198.18.0.0", 15, "for measurements"},
        {AF_INET, "240.0.0.0", 4, "reserved"},
        {AF_INET, "192.0.2.0", 24, "documentation"},
        {AF_INET, "198.51.100.0", 24, "documentation"},
        {AF_INET, "203.0.113.0", 24, "documentation"},
        {AF_INET6, "::1", 128, "loopback: this machine only"},
        {AF_INET6, "fc00::", 7, "private"},
        {AF_INET6, "fe80::", 10, "link-local: this network only"},
        {AF_INET6, "2001:db8::", 32, "documentation"},
    };
    int count;
    const unsigned char *bytes = bytes_of(address->sa_family, address, &count);
    for (size_t r = 0; r < sizeof ranges / sizeof ranges[0]; r++) {
        unsigned char network[16];
        int bit = 0;
        if (ranges[r].family != address->sa_family)
            continue;
        inet_pton(ranges[r].family, ranges[r].network, network);
        while (bit < ranges[r].prefix &&
               ((bytes[bit / 8] ^ network[bit / 8]) & (0x80 >> bit % 8)) == 0)
            bit++;
        if (bit == ranges[r].prefix)
            return ranges[r].kind;
    }
    return "global";
}
