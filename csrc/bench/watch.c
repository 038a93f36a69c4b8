#include "bench/watch.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static const char *volatile current;
static volatile sig_atomic_t target = -1;

/* Only what a signal handler may call. */
static void end_here(int number)
{
    static const char before[] = "{\"hangs\": \"", after[] = "\"}\n";
    char line[256];
    size_t n = 0;

    (void)number;
    for (const char *c = before; *c; c++)
        line[n++] = *c;
    for (const char *c = current; c && *c && n < sizeof line - sizeof after; c++)
        if ((unsigned char)*c >= ' ' && *c != '"' && *c != '\\')
            line[n++] = *c;
    for (const char *c = after; *c; c++)
        line[n++] = *c;
    _exit(write(target, line, n) == (ssize_t)n ? 1 : 2);
}

void km_watch_start(int fd)
{
    struct sigaction action = { .sa_handler = end_here };

    target = fd;
    sigaction(SIGTERM, &action, NULL);
}

void km_watch_call(const char *name)
{
    current = name;
}
