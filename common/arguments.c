#include "arguments.h"
#include "messages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *default_endpoint = DEFAULT_ENDPOINT;

static const char *program = "?";
static char usage[256]; /* "usage: 07-accept-many [--quiet] [HOST:PORT]" */

const char *program_name(void)
{
    return program;
}

void usage_error(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, values);
    fprintf(stderr, "\n%s\n", usage);
    va_end(values);
    exit(2);
}

/* Adds " [WORD]" to the usage; on one more line where its line would be longer than 80 columns. */
static void add_to_usage(const char *word)
{
    const char *line = strrchr(usage, '\n') != NULL ? strrchr(usage, '\n') + 1 : usage;
    size_t used = strlen(usage), length = strlen(line) + strlen(word) + 3;
    snprintf(usage + used, sizeof usage - used, "%s [%s]", length > 80 ? "\n      " : "", word);
}

const char *read_arguments(int argc, char **argv, const char *about, struct command_option *options,
                           const char *operand)
{
    static struct command_option none[] = {{NULL, false, NULL}};
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    if (argc > 0)
        program = slash != NULL ? slash + 1 : argv[0];

    /* socket() returns the lowest free descriptor. Were stdin closed, that would be 0. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0) {
            if (fd == STDOUT_FILENO)
                die("stdout");
            if (open("/dev/null", O_RDWR) < 0)
                die("open /dev/null");
        }

    if (options == NULL)
        options = none;
    snprintf(usage, sizeof usage, "usage: %s", program);
    for (struct command_option *o = options; o->name != NULL; o++)
        add_to_usage(o->name);
    if (operand != NULL)
        add_to_usage(operand);

    const char *found = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            say("%s\n%s\n", usage, about);
            if (operand != NULL && strcmp(operand, "HOST:PORT") == 0)
                say("HOST:PORT is %s, unless you give one; IPv6 is written [::1]:6666.\n",
                    default_endpoint);
            exit(0);
        }
        if (argv[i][0] != '-') {
            if (operand == NULL || found != NULL)
                usage_error("one argument too many: %s", quoted(argv[i], strlen(argv[i])).s);
            found = argv[i];
            continue;
        }
        struct command_option *o = options;
        size_t length = strlen(argv[i]);
        while (o->name != NULL &&
               (strcspn(o->name, " ") != length || strncmp(o->name, argv[i], length) != 0))
            o++;
        if (o->name == NULL)
            usage_error("there is no option %s", quoted(argv[i], length).s);
        o->given = true;
        if (o->name[length] == ' ') {
            if (++i == argc)
                usage_error("a value is missing: %s", o->name);
            o->value = argv[i];
        }
    }
    return found;
}

long parse_number(const char *text, const char *what, long least, long most)
{
    size_t digits = strspn(text, "0123456789");
    errno = 0;
    long number = strtol(text, NULL, 10);
    if (digits == 0 || text[digits] != '\0' || errno != 0 || number < least || number > most)
        usage_error("%s is not a %s from %ld to %ld", quoted(text, strlen(text)).s, what, least,
                    most);
    return number;
}
