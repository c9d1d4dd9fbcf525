/* proc-net-tcp.c: what is tried of the lines of /proc/net/tcp and tcp6 (lesson 04), by `make fuzz`.
 * libFuzzer calls the last function with millions of inputs, which it makes from those in the
 * folder proc-net-tcp/. A property that does not hold ends it, and so does all that the sanitizers
 * find. */
#define _GNU_SOURCE /* as stop.c does, for ppoll() */
#include "../../../common/arguments.c"
#include "../../../common/endpoints.c"
#include "../../../common/messages.c"
#include "../../../common/proc_net.c"
#include "../../../common/sockets.c"
#include "../../../common/stop.c"

static void must(bool holds, const char *property, const char *line)
{
    if (!holds) {
        printf("does not hold: %s: %s\n", property, line);
        fflush(stdout);
        abort();
    }
}

/* Writes a row's line as the kernel does: what is an address in memory is printed as one number of
 * this machine, or four. Returns how much of the line has fields of fixed length. */
static int put_line(const struct socket_row *row, const struct endpoint *peer, char *line,
                    size_t room)
{
    bool six = row->local.length == sizeof row->local.in6;
    char text[2][40] = {"", ""};
    for (int i = 0; i < 2; i++) {
        const struct endpoint *end = i == 0 ? &row->local : peer;
        unsigned words[4];
        memcpy(words, six ? (const void *)&end->in6.sin6_addr : &end->in.sin_addr, six ? 16 : 4);
        for (int w = 0; w < (six ? 4 : 1); w++)
            sprintf(text[i] + strlen(text[i]), "%08X", words[w]);
        sprintf(text[i] + strlen(text[i]), ":%04X", endpoint_port(end));
    }
    int fixed = snprintf(line, room, "   7: %s %s %02X %08X:%08X", text[0], text[1], row->state,
                         row->send_q, row->recv_q);
    snprintf(line + fixed, room - (size_t)fixed,
             " 02:00000A3C 00000003  1000        0 %lu 2 0000000000000000 20 4 30 10 -1\n",
             row->inode);
    return fixed;
}

static bool same_row(const struct socket_row *a, const struct socket_row *b)
{
    return same_endpoint(&a->local, &b->local) && same_endpoint(&a->peer, &b->peer) &&
           a->state == b->state && a->recv_q == b->recv_q && a->send_q == b->send_q &&
           a->inode == b->inode;
}

/* A line that is understood says what its row says: written again, it has the same beginning. */
static void try_line(const char *line)
{
    struct socket_row row;
    char again[400];
    if (!parse_socket_row(line, &row))
        return;
    struct endpoint peer = row.peer;
    int fixed = put_line(&row, &peer, again, sizeof again) - 5;
    must(strncmp(strchr(line, ':'), strchr(again, ':'), (size_t)fixed) == 0,
         "what is read is what was written", line);
    must(row.peer.length == 0 || row.peer.length == row.local.length, "one family", line);
    must(strcmp(tcp_state_name(row.state), "?") != 0, "the state has a name", line);
}

/* Every row that there can be is read from its line as what it is; and with a character less, or
 * one more, where the fields have a fixed length the line is not understood. */
static void try_row(const uint8_t *data, size_t size)
{
    struct {
        uint8_t addresses[2][16];
        in_port_t ports[2];
        unsigned recv_q, send_q;
        unsigned long inode;
        uint8_t state, six, place;
    } any = {.six = 0};
    memcpy(&any, data, size < sizeof any ? size : sizeof any);
    struct socket_row row = {
        .state = 1 + any.state % 12U, .recv_q = any.recv_q, .send_q = any.send_q};
    row.inode = any.inode;
    struct endpoint *ends[] = {&row.local, &row.peer};
    for (int i = 0; i < 2; i++)
        if (any.six % 2 != 0) {
            ends[i]->in6.sin6_family = AF_INET6;
            ends[i]->in6.sin6_port = any.ports[i];
            memcpy(&ends[i]->in6.sin6_addr, any.addresses[i], 16);
            ends[i]->length = sizeof ends[i]->in6;
        } else {
            ends[i]->in.sin_family = AF_INET;
            ends[i]->in.sin_port = any.ports[i];
            memcpy(&ends[i]->in.sin_addr, any.addresses[i], 4);
            ends[i]->length = sizeof ends[i]->in;
        }
    struct endpoint peer = row.peer;
    if (any.ports[1] == 0)
        row.peer.length = 0;

    struct socket_row read;
    char line[400];
    int fixed = put_line(&row, &peer, line, sizeof line);
    must(parse_socket_row(line, &read), "every row is read", line);
    must(same_row(&row, &read), "every row is read as what it is", line);
    must(parse_udp_row(line, &read) && same_row(&row, &read) && read.dropped == 20,
         "as one of udp, with one field more", line);

    char *place = line + 5 + any.place % (fixed - 5), spoilt = *place;
    *place = spoilt == '0' ? 'g' : spoilt == 'A' ? 'a' : '-';
    must(!parse_socket_row(line, &read), "with a wrong character it is not understood", line);
    *place = spoilt;
    memmove(place, place + 1, strlen(place));
    must(!parse_socket_row(line, &read), "with a character less it is not understood", line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char line[512];
    if (size >= sizeof line)
        return 0;
    memcpy(line, data, size);
    line[size] = '\0';
    try_line(line);
    try_row(data, size);
    return 0;
}
