#include "proc_net.h"
#include "sockets.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Notes what failed, for the caller, and returns -1. errno stays as it is. */
static int failed(char *problem, const char *call, const char *path)
{
    snprintf(problem, PROBLEM_ROOM, "%s %s", call, path);
    return -1;
}

/* Makes room for one more element in an array that has `count`. Returns the array, which may have
 * moved; or NULL, with errno, and then the array is as it was. */
static void *with_room(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return array;
    size_t more = *room == 0 ? 64 : 2 * *room;
    void *moved = realloc(array, more * size);
    if (moved != NULL)
        *room = more;
    return moved;
}

/* ---- A line of the table ---- */

/* Each of these reads what has to come next at *text and moves *text behind it; or returns false.
 * sscanf() would be shorter, but too generous: its %4X takes "1A", "-1" and "0x1A" for "001A". */
static bool read_character(const char **text, char wanted)
{
    return *(*text)++ == wanted;
}

static bool read_hex(const char **text, int digits, unsigned *number)
{
    *number = 0;
    for (int i = 0; i < digits; i++) {
        const char *hex = "0123456789ABCDEF", *digit = strchr(hex, **text);
        if (**text == '\0' || digit == NULL)
            return false;
        *number = *number << 4 | (unsigned)(digit - hex);
        ++*text;
    }
    return true;
}

static bool skip_word(const char **text)
{
    *text += strspn(*text, " ");
    size_t length = strcspn(*text, " \n");
    *text += length;
    return length > 0;
}

static bool read_decimal(const char **text, unsigned long *number)
{
    char *end;
    *text += strspn(*text, " ");
    if (!isdigit((unsigned char)**text)) /* strtoul() would take "-1" */
        return false;
    errno = 0;
    *number = strtoul(*text, &end, 10);
    *text = end;
    return errno == 0 && (*end == ' ' || *end == '\n');
}

/* An address is in network byte order in memory. The kernel prints the number that a program on
 * this machine reads there: one number of 32 bits for IPv4, four for IPv6. So we put the numbers
 * back into memory as they are. The port is an ordinary number. */
static bool read_endpoint(const char **text, bool ipv4, struct endpoint *endpoint)
{
    unsigned address[4], port;
    for (int i = 0; i < (ipv4 ? 1 : 4); i++)
        if (!read_hex(text, 8, &address[i]))
            return false;
    if (!read_character(text, ':') || !read_hex(text, 4, &port))
        return false;
    if (ipv4) {
        endpoint->in.sin_family = AF_INET;
        endpoint->in.sin_port = htons((uint16_t)port);
        memcpy(&endpoint->in.sin_addr, address, 4);
        endpoint->length = sizeof endpoint->in;
    } else {
        endpoint->in6.sin6_family = AF_INET6;
        endpoint->in6.sin6_port = htons((uint16_t)port);
        memcpy(&endpoint->in6.sin6_addr, address, 16);
        endpoint->length = sizeof endpoint->in6;
    }
    return true;
}

/* The fields that a line of each table has. Returns what comes after them; NULL where the line is
 * not as proc(5) describes it. */
static const char *parse_fields(const char *line, struct socket_row *row)
{
    unsigned long unused;
    memset(row, 0, sizeof *row);
    const char *text = strchr(line, ':'); /* after the number of the line */
    if (text == NULL || text[1] != ' ')
        return NULL;
    text += 2;
    bool ipv4 = strcspn(text, ":") == 8;
    bool understood =
        read_endpoint(&text, ipv4, &row->local) && read_character(&text, ' ') &&
        read_endpoint(&text, ipv4, &row->peer) && read_character(&text, ' ') &&
        read_hex(&text, 2, &row->state) && read_character(&text, ' ') &&
        read_hex(&text, 8, &row->send_q) && read_character(&text, ':') &&
        read_hex(&text, 8, &row->recv_q) && read_character(&text, ' ') &&
        /* a timer; retransmissions; the user; probes without an answer; and then the inode */
        skip_word(&text) && skip_word(&text) && read_decimal(&text, &unused) &&
        read_decimal(&text, &unused) && read_decimal(&text, &row->inode) &&
        tcp_state_name(row->state)[0] != '?';
    if (understood && endpoint_port(&row->peer) == 0)
        row->peer.length = 0;
    return understood ? text : NULL;
}

bool parse_socket_row(const char *line, struct socket_row *row)
{
    return parse_fields(line, row) != NULL;
}

bool parse_udp_row(const char *line, struct socket_row *row)
{
    const char *text = parse_fields(line, row);
    row->is_udp = true;
    /* how many use it; a place in the kernel's memory; and then what was dropped */
    return text != NULL && skip_word(&text) && skip_word(&text) &&
           read_decimal(&text, &row->dropped);
}

/* ---- The tables ---- */

static int read_table(const char *path, bool (*parse)(const char *, struct socket_row *),
                      struct sockets *sockets)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return failed(sockets->problem, "open", path);
    char *line = NULL;
    size_t room = 0;
    int result = 0;
    /* (Where read() fails in the middle of a line, getline() returns the part before it.) */
    for (long number = 1; getline(&line, &room, file) >= 0 && !ferror(file); number++) {
        struct socket_row row, *rows;
        if (number == 1)
            continue; /* the headings */
        if (!parse(line, &row)) {
            snprintf(sockets->problem, sizeof sockets->problem, "%s, line %ld: %s", path, number,
                     quoted(line, strlen(line)).s);
            errno = EBADMSG;
            result = -1;
            break;
        }
        rows = with_room(sockets->rows, sockets->count, &sockets->room, sizeof row);
        if (rows == NULL) {
            result = failed(sockets->problem, "realloc for", path);
            break;
        }
        sockets->rows = rows;
        sockets->rows[sockets->count++] = row;
    }
    if (result == 0 && !feof(file))
        result = failed(sockets->problem, "read", path);
    int error = errno;
    free(line);
    fclose(file);
    errno = error;
    return result;
}

/* While sockets come and go the kernel may list one twice. Sorted, the two are neighbours. */
static void sort_sockets(struct sockets *sockets)
{
    size_t kept = 0;
    if (sockets->count > 0)
        qsort(sockets->rows, sockets->count, sizeof *sockets->rows, compare_sockets);
    for (size_t i = 0; i < sockets->count; i++)
        if (kept == 0 || sockets->rows[i].inode == 0 ||
            sockets->rows[i].inode != sockets->rows[kept - 1].inode)
            sockets->rows[kept++] = sockets->rows[i];
    sockets->count = kept;
}

/* Adds the two tables to *sockets, or frees it. */
static int add_tables(const char *folder, const char *ipv4, const char *ipv6,
                      bool (*parse)(const char *, struct socket_row *), struct sockets *sockets)
{
    const char *const tables[] = {ipv4, ipv6};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, tables[i]);
        if (read_table(path, parse, sockets) == 0 ||
            (errno == ENOENT && strcmp(tables[i], "tcp") != 0))
            continue; /* (ENOENT: a kernel without IPv6, or without UDP) */
        int error = errno;
        free_sockets(sockets);
        errno = error;
        return -1;
    }
    sort_sockets(sockets);
    return 0;
}

int read_sockets(const char *folder, struct sockets *sockets)
{
    *sockets = (struct sockets){.rows = NULL};
    return add_tables(folder, "tcp", "tcp6", parse_socket_row, sockets);
}

int add_udp_sockets(const char *folder, struct sockets *sockets)
{
    return add_tables(folder, "udp", "udp6", parse_udp_row, sockets);
}

void free_sockets(struct sockets *sockets)
{
    free(sockets->rows);
    sockets->rows = NULL;
    sockets->count = sockets->room = 0;
}

int compare_sockets(const void *a, const void *b)
{
    const struct socket_row *x = a, *y = b;
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
        order = x->is_udp - y->is_udp;
    if (order == 0)
        order = (x->inode > y->inode) - (x->inode < y->inode);
    return order;
}

bool is_endpoint_in_row(const struct endpoint *endpoint, const struct endpoint *in_row)
{
    if (endpoint->length == 0 || in_row->length == 0)
        return endpoint->length == in_row->length;
    if (endpoint->sa.sa_family != in_row->sa.sa_family ||
        endpoint_port(endpoint) != endpoint_port(in_row))
        return false;
    return endpoint->sa.sa_family == AF_INET
               ? memcmp(&endpoint->in.sin_addr, &in_row->in.sin_addr, 4) == 0
               : memcmp(&endpoint->in6.sin6_addr, &in_row->in6.sin6_addr, 16) == 0;
}

/* ---- The processes ---- */

static int compare_owners(const void *a, const void *b)
{
    const struct socket_owner *x = a, *y = b;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    if (x->pid != y->pid)
        return x->pid < y->pid ? -1 : 1;
    return (x->fd > y->fd) - (x->fd < y->fd);
}

/* The file with the name of a process has any characters, and then a newline. */
static void read_name(const char *path, char *name, size_t room)
{
    name[0] = '\0';
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    size_t length = fread(name, 1, room - 1, file);
    name[length > 0 ? length - 1 : 0] = '\0';
    fclose(file);
}

/* readdir() returns NULL at the end, and when it fails: only errno says which. */
static struct dirent *next_entry(DIR *folder)
{
    errno = 0;
    struct dirent *entry = readdir(folder);
    if (errno == ENOENT) /* this process has just ended */
        errno = 0;
    return entry;
}

/* Adds the sockets that one process has. A process that has ended, or that belongs to another
 * user, adds nothing. */
static int read_process(const char *processes, const char *pid, struct socket_owners *owners)
{
    char path[256], target[64];
    struct socket_owner owner = {.pid = strtol(pid, NULL, 10)}, *moved;
    snprintf(path, sizeof path, "%s/%s/fd", processes, pid);
    DIR *descriptors = opendir(path);
    if (descriptors == NULL && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        return failed(owners->problem, "opendir", path);
    if (descriptors == NULL)
        return 0;
    int result = 0;
    bool has_name = false;
    struct dirent *entry;
    while ((entry = next_entry(descriptors)) != NULL) {
        ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (sscanf(target, "socket:[%lu]", &owner.inode) != 1)
            continue;
        owner.fd = (int)strtol(entry->d_name, NULL, 10);
        if (!has_name) { /* this is its first socket */
            char comm[256];
            snprintf(comm, sizeof comm, "%s/%s/comm", processes, pid);
            read_name(comm, owner.name, sizeof owner.name);
            has_name = true;
        }
        moved = with_room(owners->owners, owners->count, &owners->room, sizeof owner);
        if (moved == NULL)
            break;
        owners->owners = moved;
        owners->owners[owners->count++] = owner;
    }
    int error = errno;
    if (error != 0)
        result = failed(owners->problem, entry == NULL ? "readdir" : "realloc for", path);
    closedir(descriptors);
    errno = error;
    return result;
}

int read_socket_owners(const char *processes, struct socket_owners *owners)
{
    *owners = (struct socket_owners){.owners = NULL};
    DIR *folder = opendir(processes);
    if (folder == NULL)
        return failed(owners->problem, "opendir", processes);
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (entry = next_entry(folder)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]))
            result = read_process(processes, entry->d_name, owners);
    if (result == 0 && errno != 0)
        result = failed(owners->problem, "readdir", processes);
    int error = errno;
    closedir(folder);
    if (result < 0)
        free_socket_owners(owners);
    else if (owners->count > 0)
        qsort(owners->owners, owners->count, sizeof *owners->owners, compare_owners);
    errno = error;
    return result;
}

void free_socket_owners(struct socket_owners *owners)
{
    free(owners->owners);
    owners->owners = NULL;
    owners->count = owners->room = 0;
}

const struct socket_owner *first_owner(const struct socket_owners *owners, unsigned long inode)
{
    size_t begin = 0, end = owners->count; /* it is in [begin, end), if it is there */
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (owners->owners[middle].inode < inode)
            begin = middle + 1;
        else
            end = middle;
    }
    bool found = begin < owners->count && owners->owners[begin].inode == inode && inode != 0;
    return found ? &owners->owners[begin] : NULL;
}

const struct socket_owner *next_owner(const struct socket_owners *owners,
                                      const struct socket_owner *owner)
{
    const struct socket_owner *next = owner + 1;
    return next < owners->owners + owners->count && next->inode == owner->inode ? next : NULL;
}
