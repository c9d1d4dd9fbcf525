/* 11-crowd: what does a server do when ten thousand clients come?
 *
 * Run:       bin/11-ten-thousand --quiet                (or bin/07-accept-many --quiet)
 *            bin/11-crowd --clients 10000 --active 50   in another terminal
 * Look for:  what a message costs the server, and what a client costs it.
 *
 * All clients are sockets of this one process. Each has one message on its way at most: it sends,
 * waits for the answer, compares every byte, and sends the next one. No two messages are alike, so
 * an answer that belongs to somebody else is seen.
 * epoll, /proc and IP_BIND_ADDRESS_NO_PORT are Linux alone. */
#define _DEFAULT_SOURCE /* for IP_BIND_ADDRESS_NO_PORT */
#include "common.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    MESSAGE = 64,  /* bytes */
    AT_ONCE = 100, /* so many come at the same time: fewer than the backlog of a server bears */
    PATIENCE = 3,  /* when nobody at all has got an answer for so many seconds, we give up */
};

/* What we keep of a client. */
struct client {
    int fd; /* -1: none */
    bool connecting, asks_to_send;
    unsigned char sent, got; /* of its message: what has gone out, what has come back */
    uint32_t round;          /* the number of its message */
    uint64_t begun;          /* when its message went out, in ns */
};

static struct endpoint server;
static struct client *clients;
static uint32_t count, active = 10; /* clients, and how many of them talk */
static uint32_t connected, answered, refused, lost;
static uint32_t on_way; /* those who are to be connected, or to get an answer */
static int epoll;

/* While they talk: until when (in ns), how many messages have come back, and how many of them after
 * what time: see note_time(). */
static uint64_t talk_until, messages, times[64 * 32];

static void raise_limit(void);
static bool visit(uint32_t next, uint32_t end, uint32_t at_once, bool (*begin)(uint32_t));
static bool arrive(uint32_t i);
static bool talk(uint32_t i);
static bool speak(uint32_t i);
static double latency(double part);
static void look_at_servers(bool again);
static double processor_time(void);
static uint64_t now(void);

int main(int argc, char **argv)
{
    struct command_option options[] = {
        {.name = "--clients N"}, {.name = "--active M"}, {.name = "--seconds S"}, {.name = NULL}};
    const char *where =
        read_arguments(argc, argv,
                       "Visits a server that sends back what it receives, with many clients.\n"
                       "--clients: how many (100, unless you say it).\n"
                       "--active: how many of them talk (10). The others are silent.\n"
                       "--seconds: how long they talk (1). 0: each says one thing.",
                       options, "HOST:PORT");
    server = parse_endpoint(where);
    count = 100;
    if (options[0].given)
        count = (uint32_t)parse_number(options[0].value, "number of clients", 1, 1000000);
    if (options[1].given)
        active = (uint32_t)parse_number(options[1].value, "number of clients", 1, 1000000);
    long seconds = 1;
    if (options[2].given)
        seconds = parse_number(options[2].value, "number of seconds", 0, 3600);
    if (active > count)
        active = count;
    catch_stop_signals();

    raise_limit();
    clients = calloc(count, sizeof *clients);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (clients == NULL || epoll < 0)
        die(clients == NULL ? "calloc" : "epoll_create1");
    for (uint32_t i = 0; i < count; i++)
        clients[i].fd = -1;

    /* 1. They come, and each says something at once: who gets an answer has been accepted. (Who is
     *    only connected may still be in the queue: lesson 06.) The first one comes alone, and then
     *    we look at the memory of the server: what it has more at the end is for the others. */
    bool well = visit(0, 1, AT_ONCE, arrive);
    look_at_servers(false);
    well = well && visit(1, count, AT_ONCE, arrive);
    say("connected: %u of %u, %u refused; %u answered\n", connected, count, refused, answered);

    /* 2. Some of them talk, all at once and for so many seconds. The others are silent. */
    double used = processor_time();
    uint64_t begun = now();
    talk_until = begun + (uint64_t)seconds * 1000000000;
    well = well && visit(0, active, active, talk);
    double took = (double)(now() - begun) / 1e9;
    talk_until = 0;
    used = processor_time() - used;
    if (messages > 0) {
        say("talked: %u of %u, for %.2f s: %llu messages, each came back as it was\n", active,
            count, took, (unsigned long long)messages);
        say("rate: %.0f messages a second\n", (double)messages / took);
        say("latency: %.1f us median, %.1f us 99th percentile\n", latency(0.5), latency(0.99));
        if (used > 0)
            say("cost: %.2f us of the server's processor time for a message\n",
                used * 1e6 / (double)messages);
    }

    /* 3. Are all still there, also those who were silent? Each says something once more. */
    answered = 0;
    if (well && visit(0, count, AT_ONCE, speak))
        say("answered again: %u of %u, of which %u were silent\n", answered, count, count - active);
    look_at_servers(true);

    for (uint32_t i = 0; i < count; i++)
        if (clients[i].fd >= 0)
            close(clients[i].fd);
    free(clients);
    close(epoll);
    return stop_requested || (well && answered == count) ? 0 : 1;
}

/* A client is a descriptor, and a process may have so many. Asks for enough of them. */
static void raise_limit(void)
{
    struct rlimit limit;
    rlim_t needed = count + 16;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit RLIMIT_NOFILE");
    rlim_t allowed = limit.rlim_max;
    if (limit.rlim_cur < needed)
        limit.rlim_cur = needed; /* the soft limit: up to the hard one, everybody may */
    if (allowed < needed)
        limit.rlim_max = needed; /* the hard limit: only root may */
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return;
    complain(errno, "setrlimit RLIMIT_NOFILE to %llu, for %u clients", (unsigned long long)needed,
             count);
    fprintf(
        stderr,
        "  try: fewer clients; this process may have %llu descriptors (`ulimit -Hn`), and root\n"
        "  allows more in /etc/security/limits.conf, from the next login on\n",
        (unsigned long long)allowed);
    exit(1);
}

/* ---- The clients ---- */

/* The bytes of a message: numbers at random, but always the same for this client and this round. */
static void compose(uint32_t i, uint32_t round, unsigned char *bytes)
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

/* Asks epoll to tell of what comes for a client and, if `to_send`, of room to send. */
static void watch(uint32_t i, bool to_send, int how)
{
    struct epoll_event event = {.events = to_send ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.u32 = i};
    if (epoll_ctl(epoll, how, clients[i].fd, &event) < 0)
        die("epoll_ctl of fd %d", clients[i].fd);
    clients[i].asks_to_send = to_send;
}

/* This client is no more. (`error` 0: the server has closed the connection.) */
static void lose(uint32_t i, const char *call, int error)
{
    struct client *client = &clients[i];
    if (client->connecting || client->got < MESSAGE)
        on_way--;
    close(client->fd);
    client->fd = -1;
    if (client->connecting) {
        errno = error;
        if (connected == 0)
            die("%s %s", call, endpoint_text(&server).s);
        if (refused++ == 0)
            complain(error, "%s %s, client %u", call, endpoint_text(&server).s, i + 1);
    } else if (lost++ == 0) {
        if (error != 0)
            complain(error, "%s %s, client %u", call, endpoint_text(&server).s, i + 1);
        else
            fprintf(stderr, "11-crowd: client %u: the server has closed the connection\n", i + 1);
    }
}

/* Sends what is still to be sent of the message of client i. */
static void send_rest(uint32_t i)
{
    struct client *client = &clients[i];
    unsigned char bytes[MESSAGE];
    compose(i, client->round, bytes);
    ssize_t n = send(client->fd, bytes + client->sent, MESSAGE - client->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lose(i, "send to", errno);
        return;
    }
    client->sent = (unsigned char)(client->sent + (n > 0 ? n : 0));
    if (client->asks_to_send != (client->sent < MESSAGE))
        watch(i, client->sent < MESSAGE, EPOLL_CTL_MOD);
}

static void send_message(uint32_t i, uint64_t when)
{
    clients[i].round++;
    clients[i].sent = clients[i].got = 0;
    clients[i].begun = when;
    send_rest(i);
}

/* A message has come back after so many ns. We count how many took how long: up to 63 ns exactly,
 * then in steps of 1/32, so that a few numbers tell of millions of messages. */
static void note_time(uint64_t ns)
{
    size_t halved = 0;
    for (; ns >= 64; ns >>= 1)
        halved++;
    times[32 * halved + ns]++;
    messages++;
}

/* Receives what has come for client i. */
static void receive(uint32_t i)
{
    struct client *client = &clients[i];
    unsigned char bytes[MESSAGE], expected[MESSAGE];
    ssize_t n = recv(client->fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        lose(i, "recv from", n < 0 ? errno : 0);
        return;
    }
    compose(i, client->round, expected);
    if (n > client->sent - client->got || memcmp(bytes, expected + client->got, (size_t)n) != 0) {
        fprintf(stderr, "11-crowd: client %u: message %u has not come back as it was\n", i + 1,
                client->round);
        exit(1);
    }
    client->got = (unsigned char)(client->got + n);
    if (client->got < MESSAGE)
        return;
    uint64_t when = now();
    if (talk_until > 0)
        note_time(when - client->begun);
    if (when < talk_until && !stop_requested) {
        send_message(i, when);
    } else {
        answered++;
        on_way--;
    }
}

/* Something has happened to client i. */
static void attend(uint32_t i)
{
    struct client *client = &clients[i];
    if (client->connecting) {
        int error;
        socklen_t length = sizeof error;
        if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
            die("getsockopt SO_ERROR of fd %d", client->fd);
        if (error != 0) {
            lose(i, "connect to", error);
            return;
        }
        client->connecting = false;
        connected++;
        send_message(i, now());
        return;
    }
    if (client->sent < MESSAGE)
        send_rest(i);
    if (client->fd >= 0)
        receive(i);
}

/* Lets the clients from `next` to before `end` begin, not more than `at_once` at a time, and serves
 * all until there is nothing that they wait for. Returns false when that does not come, or when
 * begin() has said that there can be no more. */
static bool visit(uint32_t next, uint32_t end, uint32_t at_once, bool (*begin)(uint32_t))
{
    /* A terminal shows each second how far we are; a dumb one, which keeps a record, does not. */
    const char *terminal = getenv("TERM");
    bool shows_progress =
        isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
    uint64_t told = now();
    int silence = 0;
    for (;;) {
        for (; next < end && on_way < at_once && !stop_requested; next++)
            if (!begin(next))
                return false;
        if (on_way == 0 || stop_requested)
            return !stop_requested;

        struct epoll_event events[256];
        int ready = epoll_pwait(epoll, events, 256, 1000, while_waiting);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int e = 0; e < ready; e++)
            attend(events[e].data.u32);

        silence = ready == 0 ? silence + 1 : 0;
        if (silence == PATIENCE) {
            fprintf(stderr, "11-crowd: no answer for %d s: %u of %u clients wait\n", PATIENCE,
                    on_way, count);
            return false;
        }
        if (talk_until == 0 && shows_progress && now() - told >= 1000000000) {
            told = now();
            fprintf(stderr, "%u of %u ...\n", next - on_way, count);
        }
    }
}

/* Client i sends a message: once, or (talk) one after the other until the time is over. */
static bool speak(uint32_t i)
{
    if (clients[i].fd >= 0) {
        on_way++;
        send_message(i, now());
    }
    return true;
}

/* Those who talk are spread evenly over all. */
static bool talk(uint32_t i)
{
    return speak((uint32_t)((uint64_t)i * count / active));
}

/* Client i connects, and does not wait for that. Returns false when it cannot. */
static bool arrive(uint32_t i)
{
    static uint32_t source = 0x7F000001, /* 127.0.0.1, in host byte order */
        last_moved;
    struct client *client = &clients[i];
    for (;;) {
        struct endpoint from = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)},
                                .length = sizeof from.in};
        int on = 1;
        client->fd = socket(server.sa.sa_family, SOCK_STREAM, 0);
        if (client->fd < 0)
            die("socket for client %u", i + 1);
        if (!set_nonblocking(client->fd))
            die("fcntl O_NONBLOCK of fd %d", client->fd);

        /* A client needs no bind(): connect() takes 127.0.0.1, and an ephemeral port (lesson 05).
         * Only when these are used up, others come from 127.0.0.2, which is this machine, too. The
         * option keeps bind() from choosing a port: connect() can then share ports among servers.
         */
        bool moved = source != 0x7F000001;
        if (moved &&
            setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0)
            die("setsockopt IP_BIND_ADDRESS_NO_PORT of fd %d", client->fd);
        if (moved && bind(client->fd, &from.sa, from.length) < 0)
            die("bind client %u to %s", i + 1, endpoint_text(&from).s);
        if (connect(client->fd, &server.sa, server.length) == 0 || errno == EINPROGRESS ||
            errno == EINTR) { /* interrupted, it goes on all the same */
            client->connecting = true;
            on_way++;
            watch(i, true, EPOLL_CTL_ADD);
            return true;
        }
        if (errno != EADDRNOTAVAIL) {
            client->connecting = true;
            on_way++;
            lose(i, "connect to", errno);
            return true;
        }
        close(client->fd);
        client->fd = -1;
        bool loopback = server.sa.sa_family == AF_INET &&
                        ntohl(server.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        if (!loopback || (moved && last_moved == i)) {
            complain(EADDRNOTAVAIL, "connect to %s: after %u clients no ephemeral port is left",
                     endpoint_text(&server).s, i);
            return false;
        }
        last_moved = i;
        from.in.sin_addr.s_addr = htonl(++source);
        char name[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &from.in.sin_addr, name, sizeof name);
        say("ports: after %u clients no ephemeral port is left; the next come from %s\n", i, name);
    }
}

/* ---- What is measured ---- */

/* Returns the time, in microseconds, that this part of the messages (0 to 1) did not exceed. */
static double latency(double part)
{
    uint64_t seen = 0;
    size_t t = 0;
    while (t < sizeof times / sizeof times[0] - 1 &&
           (double)(seen += times[t]) < part * (double)messages)
        t++;
    size_t halved = t < 64 ? 0 : t / 32 - 1;
    return (double)(((t - 32 * halved + 1) << halved) - 1) / 1e3; /* where that step ends */
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Finds the inodes of the sockets that listen at the server's endpoint, as lesson 04 does. Returns
 * how many there are, at most `room`. */
static size_t find_listeners(const char *path, unsigned long *inodes, size_t room)
{
    uint32_t words[4] = {0};
    char here[48], anywhere[48], local[48];
    size_t listeners = 0;
    bool six = strchr(path, '6') != NULL;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (server.sa.sa_family == AF_INET)
        memcpy(words, &server.in.sin_addr, 4);
    else
        memcpy(words, &server.in6.sin6_addr, 16);
    int port = endpoint_port(&server);
    snprintf(anywhere, sizeof anywhere, six ? "%032X:%04X" : "%08X:%04X", 0U, (unsigned)port);
    if (server.sa.sa_family == AF_INET)
        snprintf(here, sizeof here, "%08X:%04X", words[0], (unsigned)port);
    else
        snprintf(here, sizeof here, "%08X%08X%08X%08X:%04X", words[0], words[1], words[2], words[3],
                 (unsigned)port);
    char line[512];
    while (listeners < room && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "%*u: %47s %*s 0A %*s %*s %*s %*u %*u %lu", local, &inodes[listeners]) ==
                2 &&
            (strcmp(local, here) == 0 || strcmp(local, anywhere) == 0))
            listeners++;
    fclose(file);
    return listeners;
}

/* A process that listens there: its sockets, and the bytes of memory that are its own. */
struct process {
    char pid[24];
    long sockets, bytes;
};
static struct process servers[16];
static size_t found;

/* Looks at process `pid`: has it one of these sockets? How many in all, and how much memory that is
 * its own? Returns false where it has none of them, or we may not see it. */
static bool look_at(const char *pid, const unsigned long *inodes, size_t n, struct process *process)
{
    char path[64], link[64], line[128];
    bool listens = false;
    long kilobytes = -1;
    unsigned long inode;
    *process = (struct process){.sockets = 0};
    snprintf(process->pid, sizeof process->pid, "%.20s", pid);
    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    DIR *descriptors = opendir(path);
    if (descriptors == NULL)
        return false;
    for (struct dirent *d; (d = readdir(descriptors)) != NULL;) {
        ssize_t length = readlinkat(dirfd(descriptors), d->d_name, link, sizeof link - 1);
        link[length > 0 ? length : 0] = '\0';
        if (sscanf(link, "socket:[%lu]", &inode) != 1)
            continue;
        process->sockets++;
        for (size_t i = 0; i < n; i++)
            listens = listens || inode == inodes[i];
    }
    closedir(descriptors);
    snprintf(path, sizeof path, "/proc/%.20s/smaps_rollup", pid); /* see proc(5) */
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Anonymous: %ld kB", &kilobytes);
    if (file != NULL)
        fclose(file);
    process->bytes = kilobytes * 1024;
    return listens && kilobytes >= 0;
}

/* Looks for the processes that listen at the server's endpoint (`again` false), or says what they
 * have more than at that time. */
static void look_at_servers(bool again)
{
    unsigned long inodes[16];
    size_t n = find_listeners("/proc/net/tcp", inodes, 16);
    n += find_listeners("/proc/net/tcp6", inodes + n, 16 - n);
    DIR *processes = again ? NULL : opendir("/proc");
    for (struct dirent *p; processes != NULL && (p = readdir(processes)) != NULL && found < 16;)
        if (isdigit((unsigned char)p->d_name[0]) && look_at(p->d_name, inodes, n, &servers[found]))
            found++;
    if (processes != NULL)
        closedir(processes);
    for (size_t i = 0; again && i < found; i++) {
        struct process after;
        if (!look_at(servers[i].pid, inodes, n, &after))
            continue;
        long more = after.sockets - servers[i].sockets, bytes = after.bytes - servers[i].bytes;
        say("memory: pid %s has %ld clients more, and %ld bytes more", after.pid, more, bytes);
        if (more >= 900) /* memory is counted in pages of 4096 bytes: with few, that says little */
            say(", %ld for each", bytes / more);
        say("\n");
    }
    if (again && found == 0)
        say("memory: not to be seen; the server is another user's, or on another machine\n");
}

/* Returns the processor time, in seconds, that these processes have used so far: what they did
 * themselves, and what the kernel did for them. Each process has a clock for that. */
static double processor_time(void)
{
    double seconds = 0;
    for (size_t i = 0; i < found; i++) {
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid((pid_t)atol(servers[i].pid), &clock) == 0 &&
            clock_gettime(clock, &t) == 0)
            seconds += (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    }
    return seconds;
}
