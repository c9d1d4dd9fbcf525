/* 04-ports-in-use: which program has which port?
 *
 * Run:       bin/04-ports-in-use             the sockets of this machine
 *            bin/04-ports-in-use 6666        those with port 6666 on either side
 *            bin/04-ports-in-use --watch     in a terminal beside lessons 05 to 10
 * Look for:  the state of each socket, and the program that has it.
 *
 * Linux only: it reads the kernel's tables /proc/net/tcp, tcp6, udp and udp6 (proc(5)), as netstat
 * does. */
#define _GNU_SOURCE /* for ppoll(), which is in POSIX since 2024 */
#include "common.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the kernel shows at one moment. */
struct table {
    struct sockets sockets;
    struct socket_owners owners;
};

static struct table read_table(long port);
static void say_table(const struct table *table, const struct table *before);
static bool same_sockets(const struct sockets *a, const struct sockets *b);

static void free_table(struct table *table)
{
    free_sockets(&table->sockets);
    free_socket_owners(&table->owners);
}

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--watch"}, {.name = NULL}};
    const char *operand = read_arguments(
        argc, argv,
        "Lists the TCP and UDP sockets of this machine; with PORT, those that have this\n"
        "port on either side. --watch: again whenever they change, until ^C; + is new.",
        options, "PORT");
    long port = operand != NULL ? parse_number(operand, "port", 1, 65535) : 0;
    catch_stop_signals();

    struct table now = read_table(port);
    say_table(&now, NULL);
    while (options[0].given && !stop_requested()) {
        /* The kernel does not report changes: we look ten times per second. */
        const struct timespec moment = {.tv_nsec = 100000000};
        ppoll(NULL, 0, &moment, while_waiting);
        struct table next = read_table(port);
        if (!same_sockets(&next.sockets, &now.sockets)) {
            say("\n");
            say_table(&next, &now);
        }
        free_table(&now);
        now = next;
    }
    free_table(&now);
    return 0;
}

/* 1. The kernel writes its tables at the moment when a program reads these files: tcp for IPv4
 *    sockets, tcp6 for IPv6 sockets. A listener on port 6666 is this line (and some more numbers):
 *
 *      0: 0100007F:1A0A 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 12345 ...
 *         local         peer          |  Send-Q   Recv-Q                                 inode
 *                                     state
 *
 *    All numbers but the last ones are hexadecimal.
 *    - 0100007F:1A0A is 127.0.0.1:6666, as a PC has these four bytes in memory. A listener's peer
 *      is all zeros.
 *    - State 0A, 10, is LISTEN; <netinet/tcp.h> has a name for each number.
 *    - Send-Q: bytes that the peer has not confirmed. Recv-Q: bytes that the program has not read.
 *      A listener has no bytes: its Recv-Q counts the connections that wait to be accepted.
 *    - The inode is the socket's own number. It is 0 when no program has the socket any more.
 *
 * 2. The inode leads to the programs that have the socket. Each descriptor of a process is a link:
 *    /proc/4242/fd/3 leads to "socket:[12345]". The name of process 4242 is in /proc/4242/comm.
 *
 * 3. UDP has no connections, so its sockets do not have a state (lesson 13). Their tables, udp and
 *    udp6, have the same fields. What is number 07 there is shown as UDP here.
 *
 * read_sockets(), add_udp_sockets() and read_socket_owners() (common/proc_net.c) read these files
 * and no others. */
static struct table read_table(long port)
{
    struct table table;
    if (read_sockets("/proc/net", &table.sockets) < 0 ||
        add_udp_sockets("/proc/net", &table.sockets) < 0)
        die("%s", table.sockets.problem);
    if (read_socket_owners("/proc", &table.owners) < 0)
        die("%s", table.owners.problem);

    struct sockets *sockets = &table.sockets;
    size_t kept = 0;
    for (size_t i = 0; i < sockets->count; i++) {
        const struct socket_row *row = &sockets->rows[i];
        if (port == 0 || endpoint_port(&row->local) == port ||
            (row->peer.length != 0 && endpoint_port(&row->peer) == port))
            sockets->rows[kept++] = *row;
    }
    sockets->count = kept;
    return table;
}

/* ---- Showing them ---- */

/* A program may give itself any name. An unusual one is quoted, so that it cannot look like
 * other output. */
static struct text name_text(const char *name)
{
    const char *usual = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/+()";
    struct text text = quoted(name, strlen(name));
    if (name[0] != '\0' && name[strspn(name, usual)] == '\0')
        snprintf(text.s, sizeof text.s, "%s", name);
    return text;
}

/* "4242 06-accept-one". A socket can have several owners: after fork() the child has it as well. */
static struct text owners_text(const struct socket_owners *owners, unsigned long inode)
{
    struct text text = {"-"};
    size_t used = 0;
    long pid = 0;
    const struct socket_owner *owner = first_owner(owners, inode);
    for (; owner != NULL; owner = next_owner(owners, owner)) {
        char one[256];
        if (owner->pid == pid)
            continue; /* one program, two descriptors for one socket */
        pid = owner->pid;
        int length = snprintf(one, sizeof one, "%s%ld %.200s", used > 0 ? ", " : "", pid,
                              name_text(owner->name).s);
        if (used + (size_t)length + sizeof ", ..." > sizeof text.s) {
            snprintf(text.s + used, sizeof text.s - used, ", ...");
            break;
        }
        memcpy(text.s + used, one, (size_t)length + 1);
        used += (size_t)length;
    }
    return text;
}

static bool listens(const struct socket_row *row)
{
    return !row->is_udp && row->state == TCP_LISTEN;
}

static struct text peer_text(const struct socket_row *row)
{
    struct text text = endpoint_text(&row->peer);
    if (listens(row) && row->recv_q > 0)
        snprintf(text.s, sizeof text.s, "none, %u waiting", row->recv_q);
    return text;
}

/* Is this socket new, or in another state than before? */
static bool is_new(const struct socket_row *row, const struct sockets *before)
{
    const struct socket_row *old = NULL;
    if (before->count > 0)
        old = bsearch(row, before->rows, before->count, sizeof *row, compare_sockets);
    return old == NULL || old->state != row->state;
}

static bool same_sockets(const struct sockets *a, const struct sockets *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        const struct socket_row *x = &a->rows[i], *y = &b->rows[i];
        same = compare_sockets(x, y) == 0 && x->state == y->state && x->recv_q == y->recv_q &&
               x->send_q == y->send_q;
    }
    return same;
}

/* Prints the table, and + where something has changed since `before` (NULL: nothing was before). */
static void say_table(const struct table *table, const struct table *before)
{
    const struct sockets *sockets = &table->sockets;
    int listening = 0, widths[2] = {15, 15}; /* of the endpoints: as wide as IPv4 needs it here */
    for (size_t i = 0; i < sockets->count; i++) {
        const struct socket_row *row = &sockets->rows[i];
        size_t lengths[] = {strlen(endpoint_text(&row->local).s), strlen(peer_text(row).s)};
        for (int column = 0; column < 2 && row->local.sa.sa_family == AF_INET; column++)
            if ((size_t)widths[column] < lengths[column])
                widths[column] = (int)lengths[column];
    }
    say(" %-10s %6s %6s %-*s %-*s %s\n", "state", "Recv-Q", "Send-Q", widths[0], "local endpoint",
        widths[1], "peer's endpoint", "program");
    for (size_t i = 0; i < sockets->count; i++) {
        const struct socket_row *row = &sockets->rows[i];
        listening += listens(row);
        say("%c%-11s %5u %6u %-*s %-*s %s\n",
            before != NULL && is_new(row, &before->sockets) ? '+' : ' ',
            row->is_udp ? "UDP" : tcp_state_name(row->state), row->recv_q, row->send_q, widths[0],
            endpoint_text(&row->local).s, widths[1], peer_text(row).s,
            owners_text(&table->owners, row->inode).s);
    }
    say("sockets: %zu, listening: %d\n", sockets->count, listening);
}
