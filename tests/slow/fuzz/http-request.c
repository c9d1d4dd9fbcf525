/* http-request.c: what is tried of the requests of lesson 12, by `make fuzz`. libFuzzer calls the
 * last function with millions of inputs, which it makes from those in the folder http-request/. A
 * property that does not hold ends it, and so does all that the sanitizers find. */
#define _GNU_SOURCE /* as the program does, for ppoll() */
#define main        picture_main
#include "../../../lessons/12-picture/picture.c"
#undef main
#include "../../../common/arguments.c"
#include "../../../common/endpoints.c"
#include "../../../common/messages.c"
#include "../../../common/proc_net.c"
#include "../../../common/sockets.c"
#include "../../../common/stop.c"
/* (snapshot.c has other functions of the same name: what the requests do not need is not there.) */
int take_snapshot(bool all, struct snapshot *snapshot)
{
    (void)all;
    (void)snapshot;
    return -1;
}
void free_snapshot(struct snapshot *snapshot)
{
    (void)snapshot;
}
void forget_snapshots(void)
{
}
bool same_snapshot(const struct snapshot *a, const struct snapshot *b)
{
    return a == b;
}

static void must(bool holds, const char *property)
{
    if (!holds) {
        printf("does not hold: %s\n", property);
        fflush(stdout);
        abort();
    }
}

static bool is_in(struct piece piece, const char *text, size_t length)
{
    return piece.text == NULL || (piece.text >= text && piece.text + piece.length <= text + length);
}

/* Reads the first bytes of `data`, from memory that has exactly those. */
static size_t read_first(const uint8_t *data, size_t length, struct request *request)
{
    char *text = malloc(length + (length == 0));
    must(text != NULL, "there is memory");
    memcpy(text, data, length);
    size_t end = read_request(text, length, request);
    must(end <= length, "a request ends where there are bytes");
    must(request->refused == 0 || request->refused == 400, "what it is refused with");
    must(request->refused == 0 || end == length, "of what is refused nothing is left");
    struct piece pieces[] = {request->line,  request->method,  request->path,
                             request->query, request->version, request->host};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        must(is_in(pieces[i], text, length), "its pieces are in it");
    if (end > 0 && request->refused == 0) {
        must(text[end - 1] == '\n', "it ends with a line");
        must(is_token(request->method) && request->line.length >= 12 &&
                 !has_control_characters(request->line),
             "it has a method and a target, and nothing that a terminal would take for more");
        must(request->has_host || is(request->version, "HTTP/1.0"), "it says whom it means");
    }
    free(text);
    return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request request, part;
    size_t end = read_first(data, size, &request);
    if (end == 0 || request.refused != 0)
        return 0;
    /* Of a request that is understood, each part is one that is not complete yet; and what comes
     * behind it changes nothing. */
    for (size_t length = 0; length < end; length++)
        must(read_first(data, length, &part) == 0 && part.refused == 0, "a part is not refused");
    must(read_first(data, end, &part) == end && part.has_body == request.has_body &&
             part.is_last == request.is_last && part.has_host == request.has_host,
         "what comes behind it changes nothing");
    return 0;
}
