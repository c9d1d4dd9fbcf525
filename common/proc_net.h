/* proc_net.h - the kernel's tables of sockets, and the processes that have them (proc(5)).
 * Lesson 04 explains both. Linux only. */
#ifndef PROC_NET_H
#define PROC_NET_H

#include "endpoints.h"

/* One socket: a line of /proc/net/tcp or tcp6, or of udp or udp6. The fields have the names that
 * `ss` gives them. */
struct socket_row {
    struct endpoint local;
    struct endpoint peer;  /* its length is 0 if there is none, as for a listener */
    unsigned state;        /* 1 to 12, the kernel's number: tcp_state_name() has its name. It says
                            * something about a TCP socket only. */
    unsigned recv_q;       /* bytes that have arrived and that the program has not read yet; for a
                            * listener, the number of pending connections */
    unsigned send_q;       /* bytes sent that the peer has not confirmed yet; for a listener, 0 */
    unsigned long inode;   /* the socket's number in the kernel; 0 if no program has it */
    bool is_udp;           /* a socket for datagrams (lesson 13); otherwise it is one of TCP */
    unsigned long dropped; /* for a UDP socket: datagrams that the kernel has dropped, because its
                            * receive buffer was full; for a TCP socket, 0 */
};

enum { PROBLEM_ROOM = 600 };

/* The sockets of a network. */
struct sockets {
    struct socket_row *rows; /* in the order of compare_sockets() */
    size_t count, room;
    char problem[PROBLEM_ROOM]; /* what failed, for die(): "open /proc/net/tcp" */
};

/* Reads the TCP sockets: the tables "tcp" and "tcp6" in a folder, "/proc/net" for the network of
 * this process,
 * "/proc/4242/net" for the network of process 4242. (A kernel without IPv6 has no tcp6. That is not
 * an error.) A socket is in *sockets once, even if the kernel has listed it twice.
 * Returns 0; then free_sockets() frees what it has read. Or returns -1, with errno and
 * sockets->problem, and with nothing to free. errno is EBADMSG if a line is not as proc(5)
 * describes it (the problem names the file and the line), ENOMEM, or that of open(2) or read(2). */
int read_sockets(const char *folder, struct sockets *sockets);
void free_sockets(struct sockets *sockets);

/* Adds the UDP sockets of the same folder, from the tables "udp" and "udp6", to those that
 * read_sockets() has read, or to none ({.rows = NULL}). Either table may be missing. A UDP socket
 * is in its table as soon as it has a port. Returns 0, or -1, with errno and sockets->problem as
 * read_sockets() does; then all of *sockets is freed. */
int add_udp_sockets(const char *folder, struct sockets *sockets);

/* Reads one line of the tables "tcp" and "tcp6" into *row; the other function, one of "udp" and
 * "udp6". Returns false if the line is not as proc(5) describes it; then *row has no meaning. */
bool parse_socket_row(const char *line, struct socket_row *row);
bool parse_udp_row(const char *line, struct socket_row *row);

/* The order of rows, for qsort(3) and bsearch(3): sockets without a peer come first, then IPv4
 * before IPv6, then by port, address, peer, TCP before UDP, and inode. Returns a number below,
 * equal to or above 0.
 */
int compare_sockets(const void *a, const void *b);

/* Is this the endpoint in a row? (The table has no scopes, such as eth0 in [fe80::1%eth0]: they are
 * not compared.) */
bool is_endpoint_in_row(const struct endpoint *endpoint, const struct endpoint *in_row);

/* A descriptor that is a socket, of TCP or of any other kind. */
struct socket_owner {
    unsigned long inode; /* of the socket, as in struct socket_row */
    long pid;
    int fd;
    char name[64]; /* the program's name, any bytes; "" if we may not read it */
};

struct socket_owners {
    struct socket_owner *owners; /* by inode, then by pid and descriptor */
    size_t count, room;
    char problem[PROBLEM_ROOM]; /* as in struct sockets */
};

/* Looks at the descriptors of all processes in a folder, "/proc". Only root sees those of
 * other users: what we may not see is left out. A socket can have several owners, after fork() for
 * example.
 * Returns 0; then free_socket_owners() frees what it has read. Or returns -1, with errno and
 * owners->problem, and with nothing to free. errno is ENOMEM, or that of opendir(3) or readdir(3).
 */
int read_socket_owners(const char *processes, struct socket_owners *owners);
void free_socket_owners(struct socket_owners *owners);

/* Returns the first owner of the socket with this inode; its others follow. NULL if we do not know
 * any. */
const struct socket_owner *first_owner(const struct socket_owners *owners, unsigned long inode);

/* Returns the next owner of the same socket, NULL after the last one. */
const struct socket_owner *next_owner(const struct socket_owners *owners,
                                      const struct socket_owner *owner);

#endif
