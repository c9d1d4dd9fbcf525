/* endpoint.c: what is tried of HOST:PORT and of numbers, by `make fuzz`. libFuzzer calls the last
 * function with millions of inputs, which it makes from those in the folder endpoint/. A property
 * that does not hold ends it, and so does all that the sanitizers find. */
#define _GNU_SOURCE /* as stop.c does, for ppoll() */
#include <netdb.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is refused ends the program. Here it comes back to the latest setjmp(), and the memory that
 * the end of the program would have freed is freed. */
static jmp_buf before;
static char *copied;
#define exit(status)          longjmp(before, status)
#define strndup(text, length) (copied = strndup(text, length))
#include "../../../common/arguments.c"
#include "../../../common/endpoints.c"
#include "../../../common/messages.c"
#include "../../../common/sockets.c"
#include "../../../common/stop.c"
#undef exit
#undef strndup

static char complaint[4096];
static size_t complained;

static void begin(void)
{
    copied = NULL;
    rewind(stderr);
}

static void must(bool holds, const char *property, const char *text)
{
    if (!holds) {
        printf("does not hold: %s: %s\n", property, quoted(text, strlen(text)).s);
        fflush(stdout);
        abort();
    }
}

/* What ends the program, does so with two lines that any terminal can show: what is wrong, and the
 * usage. */
static bool end(int status)
{
    complained = (size_t)ftell(stderr);
    fflush(stderr);
    int lines = 0;
    for (size_t i = 0; i < complained; i++) {
        lines += complaint[i] == '\n';
        must(complaint[i] == '\n' || (complaint[i] >= ' ' && complaint[i] <= '~'),
             "a complaint is printable", complaint);
    }
    must(lines == (status == 0 ? 0 : 2), "a complaint is two lines", complaint);
    if (status != 0)
        free(copied);
    return status != 0;
}

static bool number_refused(const char *text, long least, long most, long *number)
{
    begin();
    if (setjmp(before) != 0)
        return end(2);
    *number = parse_number(text, "port", least, most);
    return end(0);
}

static bool parts_refused(const char *text, char **host, uint16_t *port)
{
    begin();
    if (setjmp(before) != 0)
        return end(2);
    *host = split_endpoint(text, port);
    return end(0);
}

static bool endpoint_refused(const char *text, struct endpoint *endpoint)
{
    begin();
    if (setjmp(before) != 0)
        return end(2);
    *endpoint = parse_endpoint(text);
    return end(0);
}

/* A number is digits and nothing else, and lies between the limits. */
static void try_number(const char *text, long least, long most)
{
    bool right = text[0] != '\0';
    long expected = 0, number = -1;
    for (const char *c = text; *c != '\0'; c++) {
        right = right && *c >= '0' && *c <= '9';
        if (right && expected <= most)
            expected = 10 * expected + (*c - '0');
    }
    right = right && expected >= least && expected <= most;
    bool refused = number_refused(text, least, most, &number);
    must(refused != right, "a number is digits, within the limits", text);
    must(refused || number == expected, "a number is that number", text);
}

/* What is HOST:PORT is put together again from its two parts. */
static void try_parts(const char *text)
{
    char *host, again[600];
    uint16_t port;
    if (parts_refused(text, &host, &port))
        return;
    const char *digits = strrchr(text, ':') + 1;
    snprintf(again, sizeof again, text[0] == '[' ? "[%s]:%s" : "%s:%s", host, digits);
    must(host[0] != '\0' && strcmp(again, text) == 0, "the host and the digits make the text",
         text);
    must(strtol(digits, NULL, 10) == port, "the port is what the digits say", text);
    free(host);
}

/* What is an endpoint is the same to getaddrinfo(), and what it is printed as is the same again. */
static void try_endpoint(const char *text)
{
    struct endpoint first, second;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *answer;
    char host[600], longer[600];
    if (endpoint_refused(text, &first))
        return;
    struct text printed = endpoint_text(&first);
    must(!endpoint_refused(printed.s, &second), "what is printed is read", text);
    must(same_endpoint(&first, &second), "what is printed is read as the same", text);

    bool brackets = text[0] == '[', six = first.sa.sa_family == AF_INET6;
    must(brackets || !six, "IPv6 needs brackets", text);
    snprintf(host, sizeof host, "%s", text + brackets);
    host[strcspn(host, brackets ? "]" : ":")] = '\0';
    if (strchr(host, '%') == NULL) { /* an interface's name: getaddrinfo() reads fewer of them */
        must(getaddrinfo(host, NULL, &hints, &answer) == 0, "getaddrinfo() reads it", text);
        must(answer->ai_addrlen == first.length, "getaddrinfo() finds this family", text);
        must(six ? memcmp(&((struct sockaddr_in6 *)(void *)answer->ai_addr)->sin6_addr,
                          &first.in6.sin6_addr, 16) == 0
                 : memcmp(&((struct sockaddr_in *)(void *)answer->ai_addr)->sin_addr,
                          &first.in.sin_addr, 4) == 0,
             "getaddrinfo() finds this address", text);
        freeaddrinfo(answer);
    }
    const char *const spoilt[] = {"%sx", "%s ", " %s", "%s:1", "[%s", "x%s", "%s\n"};
    for (size_t i = 0; i < sizeof spoilt / sizeof spoilt[0]; i++) {
        snprintf(longer, sizeof longer, spoilt[i], text);
        must(endpoint_refused(longer, &second), "with one character more it is refused", longer);
    }
}

/* Every endpoint that there can be is printed as what is read as the same. */
static void try_bytes(const uint8_t *data, size_t size)
{
    struct endpoint read;
    for (int six = 0; six < 2; six++) {
        struct endpoint any = {.length = six ? sizeof any.in6 : sizeof any.in};
        any.sa.sa_family = six ? AF_INET6 : AF_INET;
        void *address = six ? (void *)&any.in6.sin6_addr : (void *)&any.in.sin_addr;
        size_t most = six ? 16 : 4;
        memcpy(address, data, size < most ? size : most);
        memcpy(six ? &any.in6.sin6_port : &any.in.sin_port, data, size < 2 ? size : 2);
        struct text text = endpoint_text(&any);
        must(!endpoint_refused(text.s, &read), "every endpoint is read", text.s);
        must(same_endpoint(&any, &read), "every endpoint is read as what it is", text.s);
        must(endpoint_port(&read) == (size > 1   ? data[0] << 8 | data[1]
                                      : size > 0 ? data[0] << 8
                                                 : 0),
             "the first byte of a port is the greater one", text.s);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[512];
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (usage[0] == '\0') {
        snprintf(usage, sizeof usage, "usage: fuzz");
        stderr = fmemopen(complaint, sizeof complaint, "w");
    }
    try_number(text, 0, 65535);
    try_number(text, 1, 9);
    try_parts(text);
    try_endpoint(text);
    try_bytes(data, size);
    return 0;
}
