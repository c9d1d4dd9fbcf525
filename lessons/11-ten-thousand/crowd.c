/* 11-crowd: what does a server do when ten thousand clients come?
 *
 * Run:       bin/11-ten-thousand --quiet                (or bin/07-accept-many --quiet)
 *            bin/11-crowd --clients 10000 --active 50   in another terminal
 * Look for:  what a message costs the server, and what a client costs it.
 *
 * This is a load generator, in three parts: the clients, the statistics, and what the clients cost
 * the server. All clients are sockets of this one process. Each has at most one message on its way:
 * it sends the message, waits for the answer, compares every byte, and sends the next one. No two
 * messages are alike, so an answer that was meant for another client is noticed.
 * epoll, /proc and IP_BIND_ADDRESS_NO_PORT exist only on Linux. */
#define _GNU_SOURCE /* for IP_BIND_ADDRESS_NO_PORT and epoll_pwait() */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    MESSAGE = 64,  /* bytes */
    AT_ONCE = 100, /* clients that connect at the same time: fewer than a server's backlog */
    PATIENCE = 60, /* seconds: after that time without any answer we give up */
};

/* One client. */
struct client {
    int fd; /* -1: none */
    bool connecting, waits_to_send;
    unsigned char sent, received; /* of its message: bytes sent, bytes that have come back */
    uint32_t round;               /* the number of its message */
    uint64_t begun;               /* when its message was sent, in ns */
};

/* How long messages took. A few numbers are enough for millions of messages: how many took how
 * long, up to 63 ns exactly, then in steps of 1/32. */
struct statistics {
    uint64_t messages, took[64 * 32];
};

static struct crowd {
    struct endpoint server;
    int epoll_fd;
    uint32_t count, active; /* clients, and how many of them talk; the others are idle */
    struct client *clients; /* `count` of them */
    uint32_t pending;       /* clients that wait for their connection, or for an answer */
    uint32_t connected, answered, refused, lost;
    uint32_t source;          /* they connect from this address, in host byte order */
    uint32_t source_since;    /* the first client that does */
    uint64_t talk_until;      /* the active clients talk until then, in ns; 0: they do not */
    struct statistics talked; /* the messages of that time */
} crowd = {.count = 100, .active = 10, .source = INADDR_LOOPBACK};

/* A process that listens at the server's endpoint. */
struct server_process {
    long pid;
    long sockets;
    long bytes; /* of memory that is its own */
};

struct servers {
    struct server_process all[16];
    size_t count;
};

static void raise_limit(uint32_t clients);
static bool run_clients(uint32_t first, uint32_t end, uint32_t at_once, bool (*start)(uint32_t));
static bool start_connecting(uint32_t i);
static bool start_talking(uint32_t i);
static bool start_message(uint32_t i);
static void add_message(struct statistics *statistics, uint64_t ns);
static double latency(const struct statistics *statistics, double part);
static struct servers find_servers(const struct endpoint *at);
static double processor_time(const struct servers *servers);
static void report_memory(const struct servers *before, const struct endpoint *at);
static uint64_t now(void);

/* Reads the command line. Returns how long the active clients talk, in seconds. */
static long read_options(int argc, char **argv)
{
    struct command_option options[] = {
        {.name = "--clients N"}, {.name = "--active M"}, {.name = "--seconds S"}, {.name = NULL}};
    const char *where =
        read_arguments(argc, argv,
                       "Connects many clients to a server that sends back what it receives.\n"
                       "--clients: the number of clients; 100.\n"
                       "--active: how many of them talk; 10. The others are idle.\n"
                       "--seconds: how long they talk; 1. With 0, each of them sends one message.",
                       options, "HOST:PORT");
    crowd.server = parse_endpoint(where);
    if (options[0].given)
        crowd.count = (uint32_t)parse_number(options[0].value, "number of clients", 1, 1000000);
    if (options[1].given)
        crowd.active = (uint32_t)parse_number(options[1].value, "number of clients", 1, 1000000);
    if (crowd.active > crowd.count)
        crowd.active = crowd.count;
    return options[2].given ? parse_number(options[2].value, "number of seconds", 0, 3600) : 1;
}

/* The active clients talk, all at the same time, for this many seconds. The others are idle. */
static bool talk(const struct servers *servers, long seconds)
{
    double used = processor_time(servers);
    uint64_t begun = now();
    crowd.talk_until = begun + (uint64_t)seconds * 1000000000;
    bool well = run_clients(0, crowd.active, crowd.active, start_talking);
    double took = (double)(now() - begun) / 1e9;
    crowd.talk_until = 0;
    used = processor_time(servers) - used;

    const struct statistics *talked = &crowd.talked;
    double messages = (double)talked->messages;
    if (talked->messages == 0)
        return well;
    say("talked: %u of %u, for %.2f s: %llu messages, each came back as it was\n", crowd.active,
        crowd.count, took, (unsigned long long)talked->messages);
    say("rate: %.0f messages a second\n", messages / took);
    say("latency: %.1f us median, %.1f us 99th percentile\n", latency(talked, 0.5),
        latency(talked, 0.99));
    if (used > 0)
        say("cost: %.2f us of the server's processor time for a message\n", used * 1e6 / messages);
    return well;
}

int main(int argc, char **argv)
{
    long seconds = read_options(argc, argv);
    catch_stop_signals();
    raise_limit(crowd.count);
    crowd.clients = calloc(crowd.count, sizeof *crowd.clients);
    if (crowd.clients == NULL)
        die("calloc");
    for (uint32_t i = 0; i < crowd.count; i++)
        crowd.clients[i].fd = -1;
    crowd.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (crowd.epoll_fd < 0)
        die("epoll_create1");

    /* 1. They connect, and each sends a message at once: a client that gets an answer has been
     *    accepted. (One that is only connected may still be pending: lesson 06.) The first client
     *    comes alone, and then we look at the server's memory: what it needs in addition at the end
     *    is for the other clients. */
    bool well = run_clients(0, 1, AT_ONCE, start_connecting);
    struct servers servers = find_servers(&crowd.server);
    well = well && run_clients(1, crowd.count, AT_ONCE, start_connecting);
    say("connected: %u of %u, %u refused; %u answered\n", crowd.connected, crowd.count,
        crowd.refused, crowd.answered);

    /* 2. Some of them talk. */
    well = well && talk(&servers, seconds);

    /* 3. Are all of them still connected, even those that were idle? Each sends one more message.
     */
    crowd.answered = 0;
    if (well && run_clients(0, crowd.count, AT_ONCE, start_message))
        say("answered again: %u of %u, %u of them idle\n", crowd.answered, crowd.count,
            crowd.count - crowd.active);
    report_memory(&servers, &crowd.server);

    for (uint32_t i = 0; i < crowd.count; i++)
        if (crowd.clients[i].fd >= 0)
            close(crowd.clients[i].fd);
    free(crowd.clients);
    close(crowd.epoll_fd);
    return stop_requested() || (well && crowd.answered == crowd.count) ? 0 : 1;
}

/* A client needs a descriptor, and a process may have only a limited number. Asks for enough. */
static void raise_limit(uint32_t clients)
{
    struct rlimit limit;
    rlim_t needed = clients + 16;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit RLIMIT_NOFILE");
    rlim_t allowed = limit.rlim_max;
    if (limit.rlim_cur < needed)
        limit.rlim_cur = needed; /* the soft limit: every process may raise it to the hard limit */
    if (allowed < needed)
        limit.rlim_max = needed; /* the hard limit: only root may raise it */
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return;
    complain(errno, "setrlimit RLIMIT_NOFILE to %llu", (unsigned long long)needed);
    fprintf(stderr,
            "  try: fewer clients. This process can have %llu descriptors (`ulimit -Hn`).\n"
            "  Root can allow more in /etc/security/limits.conf, from the next login on.\n",
            (unsigned long long)allowed);
    exit(1);
}

/* ---- The clients ---- */

/* The bytes of a message: they look random, and are the same for the same client and round. */
static void make_message(uint32_t i, uint32_t round, unsigned char *bytes)
{
    uint64_t seed = (uint64_t)i << 32 | round;
    for (size_t at = 0; at < MESSAGE; at += sizeof seed) {
        seed += 0x9E3779B97F4A7C15; /* SplitMix64 */
        uint64_t mixed = seed;
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
        mixed ^= mixed >> 31;
        memcpy(bytes + at, &mixed, sizeof mixed);
    }
}

/* Waits, from now on, for what the server sends to client i and, if `to_send`, for room to send. */
static void watch(uint32_t i, bool to_send, int operation)
{
    struct client *client = &crowd.clients[i];
    struct epoll_event event = {.events = to_send ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.u32 = i};
    if (epoll_ctl(crowd.epoll_fd, operation, client->fd, &event) < 0)
        die("epoll_ctl of fd %d", client->fd);
    client->waits_to_send = to_send;
}

/* Gives client i up: a call has failed. (`error` 0: the server has closed the connection.) */
static void lose_client(uint32_t i, const char *call, int error)
{
    struct client *client = &crowd.clients[i];
    struct text server = endpoint_text(&crowd.server);
    if (client->connecting || client->received < MESSAGE)
        crowd.pending--;
    close(client->fd);
    client->fd = -1;
    if (client->connecting) {
        errno = error;
        if (crowd.connected == 0)
            die("%s %s", call, server.s);
        if (crowd.refused++ == 0)
            complain(error, "%s %s, client %u", call, server.s, i + 1);
    } else if (crowd.lost++ == 0) {
        if (error != 0)
            complain(error, "%s %s, client %u", call, server.s, i + 1);
        else
            note("client %u: the server has closed the connection", i + 1);
    }
}

/* Sends the part of client i's message that has not been sent yet. */
static void send_rest(uint32_t i)
{
    struct client *client = &crowd.clients[i];
    unsigned char bytes[MESSAGE];
    make_message(i, client->round, bytes);
    ssize_t n = send(client->fd, bytes + client->sent, MESSAGE - client->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lose_client(i, "send to", errno);
        return;
    }
    client->sent = (unsigned char)(client->sent + (n > 0 ? n : 0));
    if (client->waits_to_send != (client->sent < MESSAGE))
        watch(i, client->sent < MESSAGE, EPOLL_CTL_MOD);
}

/* Client i sends its next message. */
static void send_next(uint32_t i, uint64_t when)
{
    struct client *client = &crowd.clients[i];
    client->round++;
    client->sent = client->received = 0;
    client->begun = when;
    send_rest(i);
}

/* Receives what has come for client i. When that completes the answer, an active client sends its
 * next message. */
static void receive(uint32_t i)
{
    struct client *client = &crowd.clients[i];
    unsigned char bytes[MESSAGE], expected[MESSAGE];
    ssize_t n = recv(client->fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        lose_client(i, "recv from", n < 0 ? errno : 0);
        return;
    }
    make_message(i, client->round, expected);
    if (n > client->sent - client->received ||
        memcmp(bytes, expected + client->received, (size_t)n) != 0)
        fail("client %u: message %u has not come back as it was", i + 1, client->round);
    client->received = (unsigned char)(client->received + n);
    if (client->received < MESSAGE)
        return;
    uint64_t when = now();
    if (crowd.talk_until > 0)
        add_message(&crowd.talked, when - client->begun);
    if (when < crowd.talk_until && !stop_requested()) {
        send_next(i, when);
    } else {
        crowd.answered++;
        crowd.pending--;
    }
}

/* epoll has reported client i. */
static void on_ready(uint32_t i)
{
    struct client *client = &crowd.clients[i];
    if (client->connecting) {
        int error;
        socklen_t length = sizeof error;
        if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
            die("getsockopt SO_ERROR of fd %d", client->fd);
        if (error != 0) {
            lose_client(i, "connect to", error);
            return;
        }
        client->connecting = false;
        crowd.connected++;
        send_next(i, now());
        return;
    }
    if (client->sent < MESSAGE)
        send_rest(i);
    if (client->fd >= 0)
        receive(i);
}

/* Starts the clients from `first` to before `end`, at most `at_once` at a time, and serves all of
 * them until none of them waits for anything. Returns false when that takes too long, when start()
 * says that there can be no more clients, and when the user ends the program. */
static bool run_clients(uint32_t first, uint32_t end, uint32_t at_once, bool (*start)(uint32_t))
{
    /* A terminal shows each second how far we are; a dumb one, which keeps a record, does not. */
    const char *terminal = getenv("TERM");
    bool shows_progress =
        isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
    uint64_t shown = now();
    uint32_t next = first;
    int seconds_without_answer = 0;
    for (;;) {
        for (; next < end && crowd.pending < at_once && !stop_requested(); next++)
            if (!start(next))
                return false;
        if (crowd.pending == 0 || stop_requested())
            return !stop_requested();

        struct epoll_event events[256];
        int ready = epoll_pwait(crowd.epoll_fd, events, 256, 1000, while_waiting);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int e = 0; e < ready; e++)
            on_ready(events[e].data.u32);

        seconds_without_answer = ready == 0 ? seconds_without_answer + 1 : 0;
        if (seconds_without_answer == PATIENCE) {
            note("no answer for %d s: %u of %u clients wait", PATIENCE, crowd.pending, crowd.count);
            return false;
        }
        if (crowd.talk_until == 0 && shows_progress && now() - shown >= 1000000000) {
            shown = now();
            fprintf(stderr, "%u of %u ...\n", next - crowd.pending, crowd.count);
        }
    }
}

/* Client i sends one message; while it is time to talk (talk_until), one after the other. */
static bool start_message(uint32_t i)
{
    if (crowd.clients[i].fd >= 0) {
        crowd.pending++;
        send_next(i, now());
    }
    return true;
}

/* Active client i, of crowd.active. They are spread evenly over all clients. */
static bool start_talking(uint32_t i)
{
    return start_message((uint32_t)((uint64_t)i * crowd.count / crowd.active));
}

/* Opens the socket of client i. A client does not need bind(): connect() takes 127.0.0.1, and an
 * ephemeral port (lesson 05). Only when no port is left there, the next clients come from
 * 127.0.0.2, which is this machine as well. IP_BIND_ADDRESS_NO_PORT keeps bind() from choosing a
 * port: then connect() can use a port again that has a connection to another server. */
static void open_socket(uint32_t i)
{
    struct client *client = &crowd.clients[i];
    struct endpoint from = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(crowd.source)},
                            .length = sizeof from.in};
    int on = 1;
    client->fd = socket(crowd.server.sa.sa_family, SOCK_STREAM, 0);
    if (client->fd < 0)
        die("socket for client %u", i + 1);
    if (!set_nonblocking(client->fd))
        die("fcntl O_NONBLOCK of fd %d", client->fd);
    if (crowd.source == INADDR_LOOPBACK)
        return;
    if (setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0)
        die("setsockopt IP_BIND_ADDRESS_NO_PORT of fd %d", client->fd);
    if (bind(client->fd, &from.sa, from.length) < 0)
        die("bind client %u to %s", i + 1, endpoint_text(&from).s);
}

/* No ephemeral port is left for client i. Returns whether there is another address to connect from:
 * 127.0.0.2 after 127.0.0.1. */
static bool use_next_source(uint32_t i)
{
    const struct endpoint *server = &crowd.server;
    bool loopback = server->sa.sa_family == AF_INET &&
                    ntohl(server->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    if (!loopback || (crowd.source != INADDR_LOOPBACK && crowd.source_since == i)) {
        complain(EADDRNOTAVAIL, "connect to %s", endpoint_text(server).s);
        fprintf(stderr, "  After %s no ephemeral port is left.\n", counted(i, "client").s);
        return false;
    }
    crowd.source++;
    crowd.source_since = i;
    struct in_addr address = {.s_addr = htonl(crowd.source)};
    char name[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address, name, sizeof name);
    say("ports: after %s no ephemeral port is left; the next come from %s\n",
        counted(i, "client").s, name);
    return true;
}

/* Client i starts to connect, and does not wait for that. Returns false when it cannot. */
static bool start_connecting(uint32_t i)
{
    struct client *client = &crowd.clients[i];
    do {
        open_socket(i);
        int error = connect(client->fd, &crowd.server.sa, crowd.server.length) < 0 ? errno : 0;
        if (error != EADDRNOTAVAIL) {
            client->connecting = true;
            crowd.pending++;
            if (error == 0 || error == EINPROGRESS || error == EINTR) /* EINTR: it goes on */
                watch(i, true, EPOLL_CTL_ADD);
            else
                lose_client(i, "connect to", error);
            return true;
        }
        close(client->fd);
        client->fd = -1;
    } while (use_next_source(i));
    return false;
}

/* ---- The statistics ---- */

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A message has come back after this time. */
static void add_message(struct statistics *statistics, uint64_t ns)
{
    size_t halved = 0;
    for (; ns >= 64; ns >>= 1)
        halved++;
    statistics->took[32 * halved + ns]++;
    statistics->messages++;
}

/* Returns the time, in microseconds, that this part of the messages (0 to 1) did not exceed. */
static double latency(const struct statistics *statistics, double part)
{
    const size_t steps = sizeof statistics->took / sizeof statistics->took[0];
    uint64_t seen = 0;
    size_t t = 0;
    while (t < steps - 1 &&
           (double)(seen += statistics->took[t]) < part * (double)statistics->messages)
        t++;
    size_t halved = t < 64 ? 0 : t / 32 - 1;
    return (double)(((t - 32 * halved + 1) << halved) - 1) / 1e3; /* where that step ends */
}

/* ---- The server's cost ---- */

/* Is this a listener that connections to the endpoint come to? One at 0.0.0.0, or at [::], is. */
static bool listens_at(const struct socket_row *row, const struct endpoint *at)
{
    const struct endpoint *local = &row->local;
    bool ipv4 = local->sa.sa_family == AF_INET;
    bool anywhere = ipv4 ? local->in.sin_addr.s_addr == htonl(INADDR_ANY)
                         : IN6_IS_ADDR_UNSPECIFIED(&local->in6.sin6_addr);
    return row->state == TCP_LISTEN && endpoint_port(local) == endpoint_port(at) &&
           (is_endpoint_in_row(at, local) || (anywhere && (!ipv4 || at->sa.sa_family == AF_INET)));
}

/* Returns the memory that is this process's own, in bytes; -1 where we may not see it. (proc(5)) */
static long memory_of(long pid)
{
    char path[64], line[128];
    long kilobytes = -1;
    snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Anonymous: %ld kB", &kilobytes);
    fclose(file);
    return kilobytes < 0 ? -1 : kilobytes * 1024;
}

static const struct server_process *find_process(const struct servers *servers, long pid)
{
    for (size_t i = 0; i < servers->count; i++)
        if (servers->all[i].pid == pid)
            return &servers->all[i];
    return NULL;
}

/* Adds the processes that have this listener. */
static void add_owners(struct servers *servers, unsigned long inode,
                       const struct socket_owners *owners)
{
    const struct socket_owner *owner = first_owner(owners, inode);
    for (; owner != NULL; owner = next_owner(owners, owner)) {
        struct server_process process = {.pid = owner->pid, .bytes = memory_of(owner->pid)};
        for (size_t i = 0; i < owners->count; i++)
            process.sockets += owners->owners[i].pid == owner->pid;
        if (process.bytes >= 0 && find_process(servers, process.pid) == NULL &&
            servers->count < sizeof servers->all / sizeof servers->all[0])
            servers->all[servers->count++] = process;
    }
}

/* Returns the processes that listen at the endpoint (lesson 04): 16 at most, and only those that we
 * may look into. */
static struct servers find_servers(const struct endpoint *at)
{
    struct servers servers = {.count = 0};
    struct sockets sockets;
    struct socket_owners owners;
    if (read_sockets("/proc/net", &sockets) < 0)
        return servers;
    if (read_socket_owners("/proc", &owners) == 0) {
        for (size_t i = 0; i < sockets.count; i++)
            if (listens_at(&sockets.rows[i], at))
                add_owners(&servers, sockets.rows[i].inode, &owners);
        free_socket_owners(&owners);
    }
    free_sockets(&sockets);
    return servers;
}

/* Prints how many more clients the servers have than before, and how much more memory. */
static void report_memory(const struct servers *before, const struct endpoint *at)
{
    struct servers servers = find_servers(at);
    for (size_t i = 0; i < before->count; i++) {
        const struct server_process *then = &before->all[i];
        const struct server_process *process = find_process(&servers, then->pid);
        if (process == NULL)
            continue;
        long clients = process->sockets - then->sockets, bytes = process->bytes - then->bytes;
        say("memory: pid %ld has %ld more clients and %ld more bytes", then->pid, clients, bytes);
        if (clients >= 900) /* memory comes in pages of 4096 bytes: few clients say little */
            say(", %ld per client", bytes / clients);
        say("\n");
    }
    if (before->count == 0)
        say("memory: not visible; the server is another user's, or on another machine\n");
}

/* Returns the processor time, in seconds, that these processes have used until now: in their own
 * code, and in the kernel on their behalf. Each process has a clock for it. */
static double processor_time(const struct servers *servers)
{
    double seconds = 0;
    for (size_t i = 0; i < servers->count; i++) {
        clockid_t its_clock;
        struct timespec t;
        if (clock_getcpuclockid((pid_t)servers->all[i].pid, &its_clock) == 0 &&
            clock_gettime(its_clock, &t) == 0)
            seconds += (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    }
    return seconds;
}
