/* arguments.h - the command line of a program. */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include <stdbool.h>

#define DEFAULT_ENDPOINT "127.0.0.1:6666"

/* Where a program listens or connects when its command line does not say where: DEFAULT_ENDPOINT,
 * unless it sets another one before read_arguments(). */
extern const char *default_endpoint;

/* An option of a program: "--quiet", or "--timeout SECONDS" where a value follows it. */
struct command_option {
    const char *name;
    bool given;        /* was it on the command line? */
    const char *value; /* the word after it; NULL for an option without a value */
};

/* Reads the command line: any of the options (an array that ends with a NULL name; NULL for none)
 * and at most one operand ("HOST:PORT", as the usage line names it; NULL for none).
 * `about` is the sentence that --help prints. Call it first: it also makes sure that
 * descriptors 0, 1 and 2 are open, so that no socket becomes the program's stdout.
 * Returns the operand, or NULL if there was none. Ends the program with status 0 after --help,
 * with status 2 if the command line is wrong, with status 1 if stdout is closed. */
const char *read_arguments(int argc, char **argv, const char *about, struct command_option *options,
                           const char *operand);

/* Says what is wrong with the command line (like printf, no newline at the end), then the usage
 * line, both on stderr, and ends the program with status 2. */
_Noreturn void usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Returns the number in `text`, from `least` to `most`. All of the text has to be digits:
 * "80x", " 80", "-1" and "" are usage errors, which call the number `what` ("port"). */
long parse_number(const char *text, const char *what, long least, long most);

/* The name of the program, with which each message begins: "06-accept-one". "?" before
 * read_arguments(). */
const char *program_name(void);

#endif
