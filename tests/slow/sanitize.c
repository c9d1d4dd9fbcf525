/* sanitize.c: one more part of each program that `make test SANITIZE=1` builds. LeakSanitizer,
 * which looks for memory that nobody has freed, cannot work in a program that strace watches. It
 * asks this function; for such a program we say that it is not to look. */
#include <stdio.h>

int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    int tracer = 0;
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "TracerPid: %d", &tracer) == 1)
            break;
    if (status != NULL)
        fclose(status);
    return tracer != 0;
}
