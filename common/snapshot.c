#define _DEFAULT_SOURCE /* <netinet/tcp.h> has the states of TCP, which are not in POSIX */
#include "snapshot.h"
#include "sockets.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A machine is a network namespace: interfaces, addresses and sockets of its own. */
struct machine {
    char name[32], network[64]; /* "A", and "net:[4026531840]" */
    long pid;                   /* a process in it; 0 for this machine */
    struct sockets sockets;
    bool *is_shown; /* is_shown[i]: sockets.rows[i] is in the snapshot */
};

struct machines {
    struct machine *all;
    size_t count;
    struct socket_owners owners;
};

/* ---- Text that grows ---- */

struct json {
    char *text;
    size_t length, room;
    bool no_memory;
};

static void put_bytes(struct json *json, const char *bytes, size_t length)
{
    if (json->length + length >= json->room && !json->no_memory) {
        size_t more = 2 * json->room + length + 4096;
        char *moved = realloc(json->text, more);
        json->no_memory = moved == NULL;
        if (moved != NULL) {
            json->text = moved;
            json->room = more;
        }
    }
    if (json->no_memory)
        return;
    memcpy(json->text + json->length, bytes, length);
    json->length += length;
    json->text[json->length] = '\0';
}

__attribute__((format(printf, 2, 3))) static void put(struct json *json, const char *format, ...)
{
    char piece[1024];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(piece, sizeof piece, format, values);
    va_end(values);
    put_bytes(json, piece, length < 0 ? 0 : (size_t)length);
}

/* Returns how many bytes the first character has, or 0 where it is not UTF-8 (RFC 3629). */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char first, last, least, most; /* of the first byte, and of the second one */
        size_t length;
    } kinds[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = kinds[i].length;
        if (s[0] < kinds[i].first || s[0] > kinds[i].last)
            continue;
        if (n > 1 && (s[1] < kinds[i].least || s[1] > kinds[i].most))
            return 0;
        for (size_t next = 2; next < n; next++)
            if ((s[next] & 0xc0) != 0x80)
                return 0;
        return n;
    }
    return 0;
}

/* A name may be any bytes: a string of JSON may not. */
static void put_string(struct json *json, const char *text)
{
    put_bytes(json, "\"", 1);
    while (*text != '\0') {
        size_t length = utf8_length((const unsigned char *)text);
        if (length == 0)
            put(json, "\\ufffd");
        else if (*text == '"' || *text == '\\')
            put(json, "\\%c", *text);
        else if ((unsigned char)*text < ' ' || *text == 0x7f)
            put(json, "\\u%04x", (unsigned)*text);
        else
            put_bytes(json, text, length);
        text += length == 0 ? 1 : length;
    }
    put_bytes(json, "\"", 1);
}

/* ---- The machines ---- */

static bool read_network(const char *pid, char *network, size_t room)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
    ssize_t length = readlink(path, network, room - 1);
    network[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* Is this process of the lab that we belong to? Then it has the name of its PC in its environment:
 * common/lab has put it there. */
static bool read_lab_name(const char *pid, char *name, size_t room)
{
    char path[300], *entry = NULL;
    const char *our_lab = getenv("LAB_OF");
    bool is_ours = our_lab == NULL;
    size_t entry_room = 0;
    snprintf(path, sizeof path, "/proc/%s/environ", pid);
    FILE *file = fopen(path, "r");
    name[0] = '\0';
    while (file != NULL && getdelim(&entry, &entry_room, '\0', file) > 0) {
        if (strncmp(entry, "LAB_PC=", 7) == 0)
            snprintf(name, room, "%s", entry + 7);
        if (our_lab != NULL && strncmp(entry, "LAB_OF=", 7) == 0)
            is_ours = strcmp(entry + 7, our_lab) == 0;
    }
    free(entry);
    if (file != NULL)
        fclose(file);
    return name[0] != '\0' && is_ours;
}

static bool add_machine(struct machines *machines, const struct machine *machine)
{
    struct machine *moved = realloc(machines->all, (machines->count + 1) * sizeof *machines->all);
    if (moved == NULL)
        return false;
    machines->all = moved;
    machines->all[machines->count++] = *machine;
    return true;
}

static bool knows(const struct machines *machines, const char *network)
{
    for (size_t i = 0; i < machines->count; i++)
        if (strcmp(machines->all[i].network, network) == 0)
            return true;
    return false;
}

/* Two labs may each have a PC A: the second one is "A (2)". */
static void make_names_differ(struct machines *machines)
{
    for (size_t i = 0; i < machines->count; i++) {
        int same = 1;
        for (size_t k = 0; k < i; k++)
            same += strcmp(machines->all[k].name, machines->all[i].name) == 0;
        size_t length = strlen(machines->all[i].name);
        if (same > 1)
            snprintf(machines->all[i].name + length, sizeof machines->all[i].name - length, " (%d)",
                     same);
    }
}

/* A, B and C come first, then this machine, if it is none of them. */
static int compare_machines(const void *a, const void *b)
{
    const struct machine *x = a, *y = b;
    bool x_last = islower((unsigned char)x->name[0]), y_last = islower((unsigned char)y->name[0]);
    int order = x_last != y_last ? x_last - y_last : strcmp(x->name, y->name);
    return order != 0 ? order : (x->pid > y->pid) - (x->pid < y->pid);
}

/* Finds this machine and, by their processes, the PCs of the lab. */
static int find_machines(struct machines *machines, struct snapshot *snapshot)
{
    struct machine machine = {.pid = 0};
    read_network("self", machine.network, sizeof machine.network);
    const char *name = getenv("LAB_PC");
    snprintf(machine.name, 17, "%s", name != NULL && name[0] != '\0' ? name : "this machine");
    bool has_room = add_machine(machines, &machine);

    DIR *folder = opendir("/proc");
    if (folder == NULL) {
        snprintf(snapshot->problem, sizeof snapshot->problem, "opendir /proc");
        return -1;
    }
    struct dirent *entry;
    while (has_room && (errno = 0, entry = readdir(folder)) != NULL) {
        machine.pid = strtol(entry->d_name, NULL, 10);
        if (machine.pid > 0 &&
            read_network(entry->d_name, machine.network, sizeof machine.network) &&
            !knows(machines, machine.network) && read_lab_name(entry->d_name, machine.name, 17))
            has_room = add_machine(machines, &machine);
    }
    int error = has_room ? errno : ENOMEM;
    closedir(folder);
    if (error != 0) {
        snprintf(snapshot->problem, sizeof snapshot->problem, "%s",
                 has_room ? "readdir /proc" : "realloc for the machines");
        errno = error;
        return -1;
    }
    qsort(machines->all, machines->count, sizeof machines->all[0], compare_machines);
    make_names_differ(machines);
    return 0;
}

/* Reads the sockets of one machine. A PC whose process has ended meanwhile has none. */
static int read_machine(struct machine *machine, struct snapshot *snapshot)
{
    char folder[64] = "/proc/net";
    if (machine->pid != 0)
        snprintf(folder, sizeof folder, "/proc/%ld/net", machine->pid);
    if ((read_sockets(folder, &machine->sockets) < 0 ||
         add_udp_sockets(folder, &machine->sockets) < 0) &&
        (machine->pid == 0 || errno == ENOMEM || errno == EMFILE || errno == ENFILE)) {
        memcpy(snapshot->problem, machine->sockets.problem, sizeof snapshot->problem);
        return -1;
    }
    machine->is_shown = calloc(machine->sockets.count + 1, sizeof *machine->is_shown);
    if (machine->is_shown == NULL) {
        snprintf(snapshot->problem, sizeof snapshot->problem, "calloc for the sockets");
        return -1;
    }
    return 0;
}

static void free_machines(struct machines *machines)
{
    for (size_t i = 0; i < machines->count; i++) {
        free_sockets(&machines->all[i].sockets);
        free(machines->all[i].is_shown);
    }
    free(machines->all);
    free_socket_owners(&machines->owners);
}

static int read_machines_once(struct machines *machines, struct snapshot *snapshot)
{
    *machines = (struct machines){.all = NULL};
    if (find_machines(machines, snapshot) < 0)
        return -1;
    for (size_t i = 0; i < machines->count; i++)
        if (read_machine(&machines->all[i], snapshot) < 0)
            return -1;
    if (read_socket_owners("/proc", &machines->owners) < 0) {
        memcpy(snapshot->problem, machines->owners.problem, sizeof snapshot->problem);
        return -1;
    }
    return 0;
}

/* How many sockets does a program have, without our knowing which? */
static size_t count_unknown(const struct machines *machines)
{
    size_t unknown = 0;
    for (size_t i = 0; i < machines->count; i++)
        for (size_t k = 0; k < machines->all[i].sockets.count; k++) {
            unsigned long inode = machines->all[i].sockets.rows[k].inode;
            unknown += inode != 0 && first_owner(&machines->owners, inode) == NULL;
        }
    return unknown;
}

/* Reads the sockets, and then who has them: the kernel shows no moment at which it was both. A
 * socket that its program closes in between would be one that nobody has, and still connected: such
 * a state there never was. So where there are more of them than before, we look again. (There are
 * always some where programs of other users have sockets.) */
static int read_machines(struct machines *machines, struct snapshot *snapshot)
{
    static size_t unknown_before;
    for (int looks = 0;; looks++) {
        if (read_machines_once(machines, snapshot) < 0)
            return -1;
        size_t unknown = count_unknown(machines), more_than = unknown_before;
        unknown_before = unknown;
        if (unknown <= more_than || looks == 3)
            return 0;
        free_machines(machines);
    }
}

/* ---- Which sockets are shown ---- */

static bool is_of_the_course(const char *name)
{
    return isdigit((unsigned char)name[0]) && isdigit((unsigned char)name[1]) && name[2] == '-';
}

/* The tuples of TCP connections, in the order of compare_sockets(). */
struct tuples {
    struct socket_row *rows;
    size_t count;
};

/* [::ffff:127.0.0.1] is how an IPv6 socket names an IPv4 address. The other side has an IPv4
 * socket, whose row is different, but it is the same connection. */
static struct endpoint as_ipv4(const struct endpoint *endpoint)
{
    struct endpoint four = {.length = 0};
    if (endpoint->length == 0 || endpoint->sa.sa_family == AF_INET ||
        !IN6_IS_ADDR_V4MAPPED(&endpoint->in6.sin6_addr))
        return *endpoint;
    four.in.sin_family = AF_INET;
    four.in.sin_port = endpoint->in6.sin6_port;
    memcpy(&four.in.sin_addr, &endpoint->in6.sin6_addr.s6_addr[12], 4);
    four.length = sizeof four.in;
    return four;
}

static struct socket_row tuple_of(const struct endpoint *local, const struct endpoint *peer)
{
    struct socket_row tuple;
    memset(&tuple, 0, sizeof tuple);
    tuple.local = as_ipv4(local);
    tuple.peer = as_ipv4(peer);
    return tuple;
}

static bool has_tuple(const struct tuples *tuples, const struct endpoint *local,
                      const struct endpoint *peer)
{
    struct socket_row tuple = tuple_of(local, peer);
    return tuples->count > 0 &&
           bsearch(&tuple, tuples->rows, tuples->count, sizeof tuple, compare_sockets) != NULL;
}

/* The connections that are shown. (UDP has none: its port 6666 is another one than that of TCP.)
 * Returns false when there is no memory. */
static bool collect_tuples(const struct machines *machines, struct tuples *tuples)
{
    size_t room = 1;
    for (size_t i = 0; i < machines->count; i++)
        room += machines->all[i].sockets.count;
    *tuples = (struct tuples){.rows = calloc(room, sizeof *tuples->rows)};
    if (tuples->rows == NULL)
        return false;
    for (size_t i = 0; i < machines->count; i++) {
        const struct machine *machine = &machines->all[i];
        for (size_t k = 0; k < machine->sockets.count; k++) {
            const struct socket_row *row = &machine->sockets.rows[k];
            if (machine->is_shown[k] && !row->is_udp && row->peer.length > 0)
                tuples->rows[tuples->count++] = tuple_of(&row->local, &row->peer);
        }
    }
    qsort(tuples->rows, tuples->count, sizeof *tuples->rows, compare_sockets);
    return true;
}

/* What has been shown: of a connection that no program has any more, nothing else would tell that
 * it was one of the course's. */
static struct tuples shown_before;

void forget_snapshots(void)
{
    free(shown_before.rows);
    shown_before = (struct tuples){.rows = NULL};
}

static bool is_course_port[65536] = {[6666] = true};

static bool has_course_port(const struct socket_row *row)
{
    return is_course_port[endpoint_port(&row->local)] ||
           (row->peer.length > 0 && is_course_port[endpoint_port(&row->peer)]);
}

static bool is_owned_by_the_course(const struct socket_owners *owners, unsigned long inode)
{
    const struct socket_owner *owner = first_owner(owners, inode);
    while (owner != NULL && !is_of_the_course(owner->name))
        owner = next_owner(owners, owner);
    return owner != NULL;
}

/* Selects the sockets of the course's programs, and of TCP those that no program has any more or
 * yet, and those at the other ends. Returns false when there is no memory. */
static bool select_sockets(struct machines *machines)
{
    for (int round = 0; round < 3; round++) {
        struct tuples tuples;
        if (!collect_tuples(machines, &tuples))
            return false;
        for (size_t i = 0; i < machines->count; i++) {
            struct machine *machine = &machines->all[i];
            for (size_t k = 0; k < machine->sockets.count; k++) {
                const struct socket_row *row = &machine->sockets.rows[k];
                bool nobody_has_it = row->inode == 0;
                if (round == 0 && is_owned_by_the_course(&machines->owners, row->inode)) {
                    machine->is_shown[k] = true;
                    if (!row->is_udp && row->state == TCP_LISTEN)
                        is_course_port[endpoint_port(&row->local)] = true;
                }
                if (row->is_udp)
                    continue;
                if (round == 1 && (nobody_has_it || row->state == TCP_SYN_SENT) &&
                    (has_course_port(row) || has_tuple(&shown_before, &row->local, &row->peer)))
                    machine->is_shown[k] = true;
                if (round == 2 && row->peer.length > 0 &&
                    has_tuple(&tuples, &row->peer, &row->local))
                    machine->is_shown[k] = true;
            }
        }
        free(tuples.rows);
    }
    forget_snapshots();
    return collect_tuples(machines, &shown_before);
}

/* ---- The snapshot ---- */

/* A descriptor of a program, and its socket; or a socket that no program has. */
struct entry {
    const struct socket_row *row;
    const struct socket_owner *owner; /* NULL: nobody has it, or we may not see who */
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->owner == NULL || y->owner == NULL) {
        int order = (x->owner == NULL) - (y->owner == NULL);
        return order != 0 ? order : compare_sockets(x->row, y->row);
    }
    if (x->owner->pid != y->owner->pid)
        return x->owner->pid < y->owner->pid ? -1 : 1;
    return x->owner->fd - y->owner->fd;
}

/* The sockets of a machine that are shown, those of each program together. Returns NULL when there
 * is no memory. */
static struct entry *sorted_entries(const struct machine *machine,
                                    const struct socket_owners *owners, size_t *count)
{
    size_t room = machine->sockets.count + owners->count + 1;
    struct entry *entries = malloc(room * sizeof *entries);
    *count = 0;
    for (size_t k = 0; entries != NULL && k < machine->sockets.count; k++) {
        const struct socket_row *row = &machine->sockets.rows[k];
        const struct socket_owner *owner = first_owner(owners, row->inode);
        if (!machine->is_shown[k])
            continue;
        do {
            entries[(*count)++] = (struct entry){.row = row, .owner = owner};
            owner = owner != NULL ? next_owner(owners, owner) : NULL;
        } while (owner != NULL);
    }
    if (entries != NULL)
        qsort(entries, *count, sizeof *entries, compare_entries);
    return entries;
}

static void put_socket(struct json *json, const struct entry *entry)
{
    const struct socket_row *row = entry->row;
    put(json, "{");
    if (entry->owner != NULL)
        put(json, "\"fd\":%d,", entry->owner->fd);
    put(json, "\"local\":\"%s\",\"peer\":\"%s\",\"state\":\"%s\",\"recv_q\":%u,\"send_q\":%u}",
        endpoint_text(&row->local).s, endpoint_text(&row->peer).s,
        row->is_udp ? "UDP" : tcp_state_name(row->state), row->recv_q, row->send_q);
}

struct addresses {
    char text[16][INET6_ADDRSTRLEN];
    int count;
};

static void add_address(struct addresses *addresses, const char *text)
{
    for (int i = 0; i < addresses->count; i++)
        if (strcmp(addresses->text[i], text) == 0)
            return;
    if (addresses->count < 16)
        snprintf(addresses->text[addresses->count++], INET6_ADDRSTRLEN, "%s", text);
}

/* Lesson 01 asks for the addresses with getifaddrs(), which can't ask for those of another machine.
 * But the kernel's routes show them: an address that leads to the machine itself, "host LOCAL". */
static void read_ipv4_line(const char *line, struct addresses *addresses)
{
    static char last[INET_ADDRSTRLEN];
    const char *leaf = strstr(line, "|-- ");
    if (leaf != NULL)
        snprintf(last, sizeof last, "%.*s", (int)strcspn(leaf + 4, "\n"), leaf + 4);
    else if (strstr(line, "/32 host LOCAL") != NULL)
        add_address(addresses, last);
}

static void read_ipv6_line(const char *line, struct addresses *addresses)
{
    struct in6_addr address;
    char text[INET6_ADDRSTRLEN];
    for (int i = 0; i < 16; i++, line += 2) {
        unsigned byte;
        if (sscanf(line, "%2x", &byte) != 1)
            return;
        address.s6_addr[i] = (unsigned char)byte;
    }
    inet_ntop(AF_INET6, &address, text, sizeof text);
    add_address(addresses, text);
}

static void read_addresses(long pid, const char *name, struct addresses *addresses,
                           void (*read_line)(const char *, struct addresses *))
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%ld/net/%s", pid != 0 ? pid : (long)getpid(), name);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        read_line(line, addresses);
    if (file != NULL)
        fclose(file);
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* Puts the addresses of a machine, without those of loopback if there are others. */
static void put_addresses(struct json *json, const struct machine *machine)
{
    struct addresses addresses = {.count = 0};
    int others = 0, put_before = 0;
    read_addresses(machine->pid, "fib_trie", &addresses, read_ipv4_line);
    /* The routes are in ascending order. 192.168.0.101 is the more usual one, and 10.0.0.101 often
     * one more: so the last is the first. */
    for (int i = 0, k = addresses.count - 1; i < k; i++, k--) {
        char text[INET6_ADDRSTRLEN];
        memcpy(text, addresses.text[i], sizeof text);
        memcpy(addresses.text[i], addresses.text[k], sizeof text);
        memcpy(addresses.text[k], text, sizeof text);
    }
    read_addresses(machine->pid, "if_inet6", &addresses, read_ipv6_line);
    for (int i = 0; i < addresses.count; i++)
        others += !is_loopback(addresses.text[i]);
    for (int i = 0; i < addresses.count; i++)
        if (others == 0 || !is_loopback(addresses.text[i]))
            put(json, "%s\"%s\"", put_before++ > 0 ? "," : "", addresses.text[i]);
}

/* Puts one machine. Returns false when there is no memory. */
static bool put_machine(struct json *json, const struct machine *machine,
                        const struct socket_owners *owners)
{
    size_t count, i = 0;
    struct entry *entries = sorted_entries(machine, owners, &count);
    if (entries == NULL)
        return false;
    put(json, "{\"name\":");
    put_string(json, machine->name);
    put(json, ",\"addresses\":[");
    put_addresses(json, machine);
    put(json, "],\"programs\":[");
    while (i < count && entries[i].owner != NULL) {
        const struct socket_owner *program = entries[i].owner;
        put(json, "%s{\"pid\":%ld,\"name\":", i > 0 ? "," : "", program->pid);
        put_string(json, program->name);
        put(json, ",\"sockets\":[");
        for (bool first = true;
             i < count && entries[i].owner != NULL && entries[i].owner->pid == program->pid; i++) {
            put(json, first ? "" : ",");
            put_socket(json, &entries[i]);
            first = false;
        }
        put(json, "]}");
    }
    put(json, "],\"orphans\":[");
    for (size_t first = i; i < count; i++) {
        put(json, i > first ? "," : "");
        put_socket(json, &entries[i]);
    }
    put(json, "]}");
    free(entries);
    return true;
}

int take_snapshot(bool all, struct snapshot *snapshot)
{
    struct machines machines;
    struct json json = {.text = NULL};
    struct timespec now;
    *snapshot = (struct snapshot){.text = NULL};
    if (read_machines(&machines, snapshot) < 0) {
        int error = errno;
        free_machines(&machines);
        errno = error;
        return -1;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    put(&json, "{\"time\":%lld,", now.tv_sec * 1000LL + now.tv_nsec / 1000000);
    snapshot->after_time = json.length;
    put(&json, "\"machines\":[");
    bool done = all || select_sockets(&machines);
    for (size_t i = 0; done && i < machines.count; i++) {
        struct machine *machine = &machines.all[i];
        if (all)
            memset(machine->is_shown, true, machine->sockets.count);
        put(&json, i > 0 ? "," : "");
        done = put_machine(&json, machine, &machines.owners);
    }
    put(&json, "]}");
    free_machines(&machines);
    if (!done || json.no_memory) {
        free(json.text);
        snprintf(snapshot->problem, sizeof snapshot->problem, "malloc for a snapshot");
        errno = ENOMEM;
        return -1;
    }
    snapshot->text = json.text;
    snapshot->length = json.length;
    return 0;
}

void free_snapshot(struct snapshot *snapshot)
{
    free(snapshot->text);
    snapshot->text = NULL;
    snapshot->length = 0;
}

bool same_snapshot(const struct snapshot *a, const struct snapshot *b)
{
    if (a->text == NULL || b->text == NULL)
        return a->text == b->text;
    return a->length - a->after_time == b->length - b->after_time &&
           memcmp(a->text + a->after_time, b->text + b->after_time, a->length - a->after_time) == 0;
}
