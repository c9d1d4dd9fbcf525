/* checkers.c: one more part of each exercise. The compiler's checkers (Makefile) ask this function
 * what to do. They do not look for memory that is not freed: no exercise is about that, and it
 * fails in a program that strace watches. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
