/* 08-exercise: each connection has two ends. How does the other end see it, and is it in the list?
 *
 * Run:       ss -Htn | awk '{ print $4, $5 }' | bin/08-exercise
 * Look for:  a connection with both ends on this machine has two lines, and both say "here".
 */
#include "common.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One end of a connection, as its own program sees it. */
struct tuple {
    struct endpoint local, peer;
};

static struct tuple *tuples;
static size_t count;

static void read_tuples(void);
static void say_other_end(const struct tuple *tuple);

int main(int argc, char **argv)
{
    read_arguments(
        argc, argv,
        "Reads lines of two endpoints, LOCAL PEER, and prints each tuple as the other\n"
        "end has it; with \"here\" if that end is in the list as well, or \"elsewhere\".",
        NULL, NULL);
    read_tuples();
    for (size_t i = 0; i < count; i++)
        say_other_end(&tuples[i]);
    free(tuples);
    return 0;
}

/* A socket that listens at [::] accepts IPv4 clients as well, and shows their addresses, and its
 * own, as
 * [::ffff:192.168.0.102]. The client's socket is an IPv4 one: it knows nothing of IPv6. */
static struct endpoint plain(struct endpoint endpoint)
{
    if (endpoint.sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&endpoint.in6.sin6_addr))
        return endpoint;
    struct endpoint ipv4 = {.length = sizeof ipv4.in};
    ipv4.in.sin_family = AF_INET;
    ipv4.in.sin_port = endpoint.in6.sin6_port;
    memcpy(&ipv4.in.sin_addr, endpoint.in6.sin6_addr.s6_addr + 12, 4); /* the last 4 bytes of 16 */
    return ipv4;
}

static struct tuple other_end(const struct tuple *tuple)
{
    return (struct tuple){.local = plain(tuple->peer), .peer = plain(tuple->local)};
}

/* Prints the tuple as the other end has it, and "here" if the list has that end as well. */
static void say_other_end(const struct tuple *tuple)
{
    struct tuple other = other_end(tuple);

    /* Each end is the other end's other end. That also turns both into IPv4 before they are
     * compared. */
    bool here = false;
    for (size_t i = 0; i < count && !here; i++) {
        struct tuple its_other = other_end(&tuples[i]), again = other_end(&other);
        here = same_endpoint(&its_other.local, &again.local) &&
               same_endpoint(&its_other.peer, &again.peer);
    }
    say("%s %s %s\n", endpoint_text(&other.local).s, endpoint_text(&other.peer).s,
        here ? "here" : "elsewhere");
}

/* Reads all lines of stdin into tuples[0..count-1]. A line that is not a tuple ends the program. */
static void read_tuples(void)
{
    char line[512], local[128], peer[128];
    size_t room = 0;
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "%127s %127s", local, peer) != 2)
            usage_error("%s is not LOCAL PEER", quoted(line, strlen(line)).s);
        if (count == room) {
            room = room == 0 ? 64 : 2 * room;
            tuples = realloc(tuples, room * sizeof *tuples);
            if (tuples == NULL)
                die("realloc");
        }
        tuples[count].local = parse_endpoint(local);
        tuples[count].peer = parse_endpoint(peer);
        count++;
    }
    if (ferror(stdin))
        die("read stdin");
}
