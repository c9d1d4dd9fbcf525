/* 08-exercise: each connection has two ends. How does the other end see it, and is it in the list?
 *
 * Run:       ss -Htn | awk '{ print $4, $5 }' | bin/08-exercise
 * Check:     make exercise-08         The task and three hints: README.md, under Make.
 */
#include "common.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One end of a connection, as its own program sees it. */
struct tuple {
    struct endpoint local, peer;
};

static struct tuple *tuples;
static size_t count;

static void read_tuples(void);
static void say_other_end(const struct tuple *tuple);

int main(int argc, char **argv)
{
    read_arguments(
        argc, argv,
        "Reads lines of two endpoints, LOCAL PEER, and prints each tuple as the other\n"
        "end has it; with \"here\" if that end is in the list as well, or \"elsewhere\".",
        NULL, NULL);
    read_tuples();
    for (size_t i = 0; i < count; i++)
        say_other_end(&tuples[i]);
    free(tuples);
    return 0;
}

/* Prints the tuple as the other end has it, and "here" if the list has that end as well. */
static void say_other_end(const struct tuple *tuple)
{
    /* --- your code: instead of this line, which prints the tuple as it came --- */
    say("%s %s\n", endpoint_text(&tuple->local).s, endpoint_text(&tuple->peer).s);
    /* --- to here --- */
}

/* Reads all lines of stdin into tuples[0..count-1]. A line that is not a tuple ends the program. */
static void read_tuples(void)
{
    char line[512], local[128], peer[128];
    size_t room = 0;
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "%127s %127s", local, peer) != 2)
            usage_error("%s is not LOCAL PEER", quoted(line, strlen(line)).s);
        if (count == room) {
            room = room == 0 ? 64 : 2 * room;
            tuples = realloc(tuples, room * sizeof *tuples);
            if (tuples == NULL)
                die("realloc");
        }
        tuples[count].local = parse_endpoint(local);
        tuples[count].peer = parse_endpoint(peer);
        count++;
    }
    if (ferror(stdin))
        die("read stdin");
}
