/* libasks.so: asks for memory and gives it back, as libc10.so does. */
#include <stdlib.h>

void *asks_take(size_t bytes)
{
    void *p = NULL;

    return posix_memalign(&p, 64, bytes) == 0 ? p : NULL;
}

void asks_free(void *p)
{
    free(p);
}
