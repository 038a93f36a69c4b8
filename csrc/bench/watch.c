#include "bench/watch.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NAME_BYTES = 256 };

static const char *volatile current;
static char *shared; /* [NAME_BYTES]; NULL: none */
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

int km_watch_make(void)
{
    int page = memfd_create("kernmill-call", 0); /* the children inherit it */

    if (page >= 0 && ftruncate(page, NAME_BYTES) == 0)
        return page;
    if (page >= 0)
        close(page);
    return -1;
}

void km_watch_start(int fd, int page)
{
    struct sigaction action = { .sa_handler = end_here };
    void *at = mmap(NULL, NAME_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);

    shared = at == MAP_FAILED ? NULL : at;
    target = fd;
    sigaction(SIGTERM, &action, NULL);
}

void km_watch_call(const char *name)
{
    if (name == current)
        return;
    current = name;
    if (shared)
        snprintf(shared, NAME_BYTES, "%s", name ? name : "");
}

void km_watch_take(int page, char *out, size_t room)
{
    static const char nothing[NAME_BYTES];
    char name[NAME_BYTES] = "";

    if (pread(page, name, sizeof name - 1, 0) < 0 ||
        pwrite(page, nothing, sizeof nothing, 0) != (ssize_t)sizeof nothing)
        name[0] = '\0';
    snprintf(out, room, "%s", name);
}
