/* 04-exercise: which program listens on this port?
 *
 * Run:       bin/06-accept-one        in one terminal
 *            bin/04-exercise 6666     in a second one
 *
 * It reads the lines itself, as a student does, without common/proc_net.h.
 *
 * Linux only: it reads the kernel's tables /proc/net/tcp and tcp6 (proc(5)). */
#include "common.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_listener(const char *line, long port, unsigned long *inode);
static int say_listeners(const char *table, long port);
static void say_owners(unsigned long inode);

int main(int argc, char **argv)
{
    const char *operand = read_arguments(
        argc, argv, "Prints the programs that listen on a port (6666): pid 4242 \"perl\".", NULL,
        "PORT");
    long port = operand != NULL ? parse_number(operand, "port", 1, 65535) : 6666;

    /* IPv4 and IPv6 sockets have a table each. */
    int found = say_listeners("/proc/net/tcp", port) + say_listeners("/proc/net/tcp6", port);
    if (found == 0) {
        fprintf(stderr, "04-exercise: no program listens on port %ld\n", port);
        return 1;
    }
    return 0;
}

/* Is this line of a table a socket that listens on that port? If so, its inode is in *inode. For
 * example, a listener on port 6666 with the inode 12345 (and the rest of the line):
 *
 *     0: 0100007F:1A0A 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 12345 ...
 */
static bool is_listener(const char *line, long port, unsigned long *inode)
{
    unsigned local_port, state;

    /* %* reads without storing. An IPv6 address has more digits: %*[0-9A-F] takes as many as there
     * are. The line with the headings has no numbers: it does not match. */
    if (sscanf(line, "%*d: %*[0-9A-F]:%4X %*[0-9A-F]:%*4X %2X %*8X:%*8X %*2X:%*8X %*8X %*u %*u %lu",
               &local_port, &state, inode) != 3)
        return false;
    return local_port == port && strcmp(tcp_state_name(state), "LISTEN") == 0;
}

/* Prints the owners of all listeners on that port in a table. Returns how many listeners there are.
 */
static int say_listeners(const char *table, long port)
{
    FILE *file = fopen(table, "r");
    if (file == NULL) {
        if (errno != ENOENT)
            die("open %s", table);
        return 0; /* a kernel without IPv6 */
    }
    int found = 0;
    char line[512];
    unsigned long inode;
    while (fgets(line, sizeof line, file) != NULL)
        if (is_listener(line, port, &inode)) {
            say_owners(inode);
            found++;
        }
    fclose(file);
    return found;
}

/* Prints the programs that have the socket with this inode, one per line; "-" if it finds none. It
 * works as read_process() does in common/proc_net.c. */
static void say_owners(unsigned long inode)
{
    char wanted[64], path[64], target[64], name[64];
    bool known = false;
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    DIR *processes = opendir("/proc");
    if (processes == NULL)
        die("opendir /proc");
    for (struct dirent *p; (p = readdir(processes)) != NULL;) {
        int length = snprintf(path, sizeof path, "/proc/%.20s/fd", p->d_name);
        DIR *descriptors = isdigit((unsigned char)p->d_name[0]) ? opendir(path) : NULL;
        if (descriptors == NULL)
            continue; /* no process, or one of another user */
        bool has_it = false;
        for (struct dirent *d; !has_it && (d = readdir(descriptors)) != NULL;) {
            ssize_t n = readlinkat(dirfd(descriptors), d->d_name, target, sizeof target - 1);
            target[n > 0 ? n : 0] = '\0';
            has_it = strcmp(target, wanted) == 0;
        }
        closedir(descriptors);
        if (!has_it)
            continue;
        name[0] = '\0';
        snprintf(path + length - 2, sizeof path - (size_t)length + 2, "comm");
        FILE *comm = fopen(path, "r");
        if (comm != NULL) {
            size_t got = fread(name, 1, sizeof name - 1, comm);
            name[got > 0 ? got - 1 : 0] = '\0'; /* without the newline */
            fclose(comm);
        }
        say("pid %s %s\n", p->d_name, quoted(name, strlen(name)).s);
        known = true;
    }
    closedir(processes);
    if (!known)
        say("-\n");
}
