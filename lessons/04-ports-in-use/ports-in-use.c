/* 04-ports-in-use: who has which port?
 *
 * Run:       bin/04-ports-in-use             the TCP sockets of this machine
 *            bin/04-ports-in-use 6666        those with port 6666 at one end
 *            bin/04-ports-in-use --watch     in a terminal beside lessons 05 to 10
 * Look for:  the state of each socket, and the program that has it.
 *
 * Linux only: it reads the kernel's tables /proc/net/tcp and tcp6 (proc(5)), as netstat does. */
#define _GNU_SOURCE /* for ppoll(), which is in POSIX since 2024 */
#include "common.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line of the kernel's table: one socket. */
struct row {
    struct endpoint local, peer; /* the peer's length is 0 where there is none */
    unsigned state;
    unsigned unread, unsent; /* bytes; but for a listener, `unread` counts connections */
    unsigned long inode;     /* the socket's number in the kernel; 0: no program has it any more */
    char *owners;            /* who has it, NULL where that is not to be known */
};

struct table {
    struct row *rows;
    size_t count, room;
};

static struct table read_tables(long port);
static void read_table(struct table *table, const char *path, long port);
static bool read_row(const char *line, struct row *row);
static void find_owners(struct table *table);
static void say_table(const struct table *table, const struct table *before);
static int by_endpoints(const void *a, const void *b);
static bool same_line(const struct row *a, const struct row *b);
static void free_table(struct table *table);

int main(int argc, char **argv)
{
    struct command_option options[] = {{.name = "--watch"}, {.name = NULL}};
    const char *operand =
        read_arguments(argc, argv,
                       "Lists the TCP sockets of this machine; with PORT, those that have it at\n"
                       "either end. --watch: again whenever it changes (^C ends this); + is new.",
                       options, "PORT");
    long port = operand != NULL ? parse_number(operand, "port", 1, 65535) : 0;
    catch_stop_signals();

    struct table now = read_tables(port);
    say_table(&now, NULL);
    while (options[0].given && !stop_requested) {
        const struct timespec moment = {.tv_nsec = 100000000};
        ppoll(NULL, 0, &moment,
              while_waiting); /* the kernel does not tell of a change: look ten times a second */
        struct table next = read_tables(port);
        bool changed = next.count != now.count;
        for (size_t i = 0; i < next.count && !changed; i++)
            changed = !same_line(&next.rows[i], &now.rows[i]);
        if (changed) {
            say("\n");
            say_table(&next, &now);
        }
        free_table(&now);
        now = next;
    }
    free_table(&now);
    return 0;
}

/* 1. The kernel writes its tables anew whenever somebody reads these files. IPv4 and IPv6 sockets
 *    have a table each. */
static struct table read_tables(long port)
{
    struct table table = {.rows = NULL};
    read_table(&table, "/proc/net/tcp", port);
    read_table(&table, "/proc/net/tcp6", port);

    /* While sockets come and go the kernel may tell of one twice: sorted, the two are neighbours.
     */
    if (table.count > 0)
        qsort(table.rows, table.count, sizeof *table.rows, by_endpoints);
    size_t kept = 0;
    for (size_t i = 0; i < table.count; i++)
        if (kept == 0 || table.rows[i].inode == 0 ||
            table.rows[i].inode != table.rows[kept - 1].inode)
            table.rows[kept++] = table.rows[i];
    table.count = kept;
    find_owners(&table);
    return table;
}

static void read_table(struct table *table, const char *path, long port)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        if (errno == ENOENT && strstr(path, "tcp6") != NULL)
            return; /* a kernel without IPv6 */
        die("open %s", path);
    }
    char *line = NULL;
    size_t room = 0;
    for (long number = 1; getline(&line, &room, file) >= 0 && !ferror(file); number++) {
        struct row row;
        if (number == 1)
            continue; /* the headings */
        if (!read_row(line, &row)) {
            fprintf(stderr, "04-ports-in-use: %s, line %ld: not understood: %s\n", path, number,
                    quoted(line, strlen(line)).s);
            exit(1);
        }
        if (port != 0 && endpoint_port(&row.local) != port &&
            (row.peer.length == 0 || endpoint_port(&row.peer) != port))
            continue;
        if (table->count == table->room) {
            table->room = table->room == 0 ? 64 : 2 * table->room;
            table->rows = realloc(table->rows, table->room * sizeof row);
            if (table->rows == NULL)
                die("realloc");
        }
        table->rows[table->count++] = row;
    }
    if (!feof(file))
        die("read %s", path);
    free(line);
    fclose(file);
}

/* 2. A line, for example (the rest of it is of no use to us):
 *
 *     0: 0100007F:1A0A 00000000:0000 0A 00000000:00000001 00:00000000 00000000 1000 0 12345 ...
 *        local         peer          |  unsent   unread                             inode
 *                                    state
 *
 * All numbers but the last ones are hexadecimal. An address is in network byte order in memory; the
 * kernel prints its four bytes as if they were a number of this machine: 127.0.0.1 is 0100007F on a
 * PC. (An IPv6 address is four such numbers.) So we put the number back into memory, as it is. */
static bool read_row(const char *line, struct row *row)
{
    unsigned here[4] = {0}, there[4] = {0}, port, peer_port;
    char again[128];
    memset(row, 0, sizeof *row);
    const char *text = strchr(line, ':');
    if (text == NULL || text[1] != ' ')
        return false;
    text += 2;
    if (strcspn(text, ":") == 8) {
        if (sscanf(text, "%8X:%4X %8X:%4X %2X %8X:%8X", here, &port, there, &peer_port, &row->state,
                   &row->unsent, &row->unread) != 7)
            return false;
        snprintf(again, sizeof again, "%08X:%04X %08X:%04X %02X %08X:%08X ", here[0], port,
                 there[0], peer_port, row->state, row->unsent, row->unread);
        row->local.in.sin_family = row->peer.in.sin_family = AF_INET;
        row->local.in.sin_port = htons((uint16_t)port);
        row->peer.in.sin_port = htons((uint16_t)peer_port);
        memcpy(&row->local.in.sin_addr, here, 4);
        memcpy(&row->peer.in.sin_addr, there, 4);
        row->local.length = row->peer.length = sizeof row->local.in;
    } else {
        if (sscanf(text, "%8X%8X%8X%8X:%4X %8X%8X%8X%8X:%4X %2X %8X:%8X", &here[0], &here[1],
                   &here[2], &here[3], &port, &there[0], &there[1], &there[2], &there[3],
                   &peer_port, &row->state, &row->unsent, &row->unread) != 13)
            return false;
        snprintf(again, sizeof again, "%08X%08X%08X%08X:%04X %08X%08X%08X%08X:%04X %02X %08X:%08X ",
                 here[0], here[1], here[2], here[3], port, there[0], there[1], there[2], there[3],
                 peer_port, row->state, row->unsent, row->unread);
        row->local.in6.sin6_family = row->peer.in6.sin6_family = AF_INET6;
        row->local.in6.sin6_port = htons((uint16_t)port);
        row->peer.in6.sin6_port = htons((uint16_t)peer_port);
        memcpy(&row->local.in6.sin6_addr, here, 16);
        memcpy(&row->peer.in6.sin6_addr, there, 16);
        row->local.length = row->peer.length = sizeof row->local.in6;
    }
    if (peer_port == 0)
        row->peer.length = 0;

    /* sscanf() is generous: it would read 7F for 007F. Written again, it has to be the same. */
    if (strncmp(text, again, strlen(again)) != 0 || tcp_state_name(row->state)[0] == '?')
        return false;
    int begin = 0;
    text += strlen(again); /* timer, retransmissions, user, probes: and then the inode */
    if (sscanf(text, "%*X:%*X %*X %*u %*u %n%lu", &begin, &row->inode) != 1)
        return false;
    snprintf(again, sizeof again, "%lu ", row->inode);
    return strncmp(text + begin, again, strlen(again)) == 0;
}

/* 3. A socket's inode leads to the programs that have it: /proc/PID/fd/3 is a link to
 *    "socket:[12345]". Those of other users only root may read. */
static int by_inode(const void *a, const void *b)
{
    const struct row *const *x = a, *const *y = b;
    return ((*x)->inode > (*y)->inode) - ((*x)->inode < (*y)->inode);
}

/* A socket can have several owners: after fork() the copy of a program has it, too. */
static void add_owner(struct row *row, const char *pid, const char *name)
{
    char owner[320];
    snprintf(owner, sizeof owner, "pid %.20s %s", pid, quoted(name, strlen(name)).s);
    if (row->owners != NULL && strstr(row->owners, owner) != NULL)
        return; /* one program, two descriptors for one socket */
    size_t before = row->owners == NULL ? 0 : strlen(row->owners);
    char *owners = realloc(row->owners, before + strlen(owner) + 3);
    if (owners == NULL)
        die("realloc");
    row->owners = owners;
    sprintf(owners + before, "%s%s", before > 0 ? ", " : "", owner);
}

/* readdir() returns NULL at the end, and when it fails: only errno tells which. */
static struct dirent *next_entry(DIR *folder, const char *path)
{
    errno = 0;
    struct dirent *entry = readdir(folder);
    if (entry == NULL && errno != 0 && errno != ENOENT) /* (this process has just ended) */
        die("readdir %s", path);
    return entry;
}

static void find_owners(struct table *table)
{
    struct row **sorted = malloc((table->count + 1) * sizeof *sorted);
    if (sorted == NULL)
        die("malloc");
    for (size_t i = 0; i < table->count; i++)
        sorted[i] = &table->rows[i];
    qsort(sorted, table->count, sizeof *sorted, by_inode);

    DIR *processes = opendir("/proc");
    if (processes == NULL)
        die("opendir /proc");
    for (struct dirent *p; (p = next_entry(processes, "/proc")) != NULL;) {
        char path[64], link[64], name[64] = "";
        if (!isdigit((unsigned char)p->d_name[0]))
            continue; /* no process */
        snprintf(path, sizeof path, "/proc/%.20s/fd", p->d_name);
        DIR *descriptors = opendir(path);
        if (descriptors == NULL && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
            die("opendir %s", path);
        if (descriptors == NULL)
            continue; /* a process of another user, or one that has just ended */
        for (struct dirent *d; (d = next_entry(descriptors, path)) != NULL;) {
            struct row key = {.inode = 0}, *wanted = &key, **found;
            ssize_t n = readlinkat(dirfd(descriptors), d->d_name, link, sizeof link - 1);
            link[n > 0 ? n : 0] = '\0';
            if (sscanf(link, "socket:[%lu]", &key.inode) != 1)
                continue;
            found = bsearch(&wanted, sorted, table->count, sizeof *sorted, by_inode);
            if (found == NULL)
                continue;
            if (name[0] == '\0') { /* the first socket of this process: what is its name? */
                char its_name[64];
                snprintf(its_name, sizeof its_name, "/proc/%.20s/comm", p->d_name);
                FILE *comm = fopen(its_name, "r");
                if (comm != NULL) { /* any characters, and then a newline */
                    size_t got = fread(name, 1, sizeof name - 1, comm);
                    name[got > 0 ? got - 1 : 0] = '\0';
                    fclose(comm);
                }
            }
            add_owner(*found, p->d_name, name);
        }
        closedir(descriptors);
    }
    closedir(processes);
    free(sorted);
}

/* 4. Show them: listeners first, then by endpoint. */
static int by_endpoints(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if ((x->peer.length == 0) != (y->peer.length == 0))
        return x->peer.length == 0 ? -1 : 1;
    if (x->local.length != y->local.length)
        return x->local.length < y->local.length ? -1 : 1;
    int order = endpoint_port(&x->local) - endpoint_port(&y->local);
    if (order == 0)
        order = memcmp(&x->local.sa, &y->local.sa, x->local.length);
    if (order == 0)
        order = memcmp(&x->peer.sa, &y->peer.sa, x->peer.length);
    if (order == 0)
        order = (x->inode > y->inode) - (x->inode < y->inode);
    return order;
}

static bool same_line(const struct row *a, const struct row *b)
{
    return by_endpoints(a, b) == 0 && a->state == b->state && a->unread == b->unread &&
           a->unsent == b->unsent;
}

/* Is it the same socket in the same state? */
static bool was_there(const struct row *row, const struct table *before)
{
    const struct row *old =
        before->count == 0 ? NULL
                           : bsearch(row, before->rows, before->count, sizeof *row, by_endpoints);
    return old != NULL && old->state == row->state;
}

static void say_table(const struct table *table, const struct table *before)
{
    int listening = 0;
    say("  %-11s %6s %6s %-22s %-22s %s\n", "state", "Recv-Q", "Send-Q", "local endpoint",
        "peer's endpoint", "program");
    for (size_t i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        bool listener = strcmp(tcp_state_name(row->state), "LISTEN") == 0;
        char peer[64] = "";
        listening += listener;
        if (listener && row->unread > 0) /* for a listener Recv-Q counts connections, not bytes */
            snprintf(peer, sizeof peer, "none (%u waiting)", row->unread);
        else
            snprintf(peer, sizeof peer, "%.63s", endpoint_text(&row->peer).s);
        say("%c %-11s %6u %6u %-22s %-22s %s\n",
            before != NULL && !was_there(row, before) ? '+' : ' ', tcp_state_name(row->state),
            row->unread, row->unsent, endpoint_text(&row->local).s, peer,
            row->owners != NULL ? row->owners : "-");
    }
    say("sockets: %zu, listening: %d\n", table->count, listening);
}

static void free_table(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->rows[i].owners);
    free(table->rows);
}
