/* core/arena.h: memory for things that are parsed once, read many times and freed together.
 *
 * An arena hands out zeroed memory from blocks and takes it all back in one call; there is no way
 * to free a single piece. Sanitizer builds give each piece a malloc of its own, so that an overrun
 * is seen where it happens.
 *
 *     km_arena a = KM_ARENA_INIT;
 *     const char *name = km_arena_printf(&a, "%s.%d", stem, n);
 *     ...
 *     km_arena_release(&a);
 */
#ifndef KERNMILL_CORE_ARENA_H
#define KERNMILL_CORE_ARENA_H

#include <stddef.h>

#include "core/err.h"

struct km_arena_block;

typedef struct {
    struct km_arena_block *blocks; /* newest first; owned */
    size_t used_bytes;             /* handed out so far, at most KM_ARENA_BYTES_MAX */
} km_arena;

#define KM_ARENA_INIT { NULL, 0 }

/* Zeroed memory, aligned for any type, or NULL when there is none or the arena is full. */
void *km_arena_alloc(km_arena *a, size_t size_bytes);

/* `count` items of `size_bytes`; NULL also when the product overflows. */
void *km_arena_array(km_arena *a, size_t count, size_t size_bytes);

/* Terminated copies; NULL when out of memory. */
char *km_arena_strdup(km_arena *a, const char *text);
char *km_arena_strndup(km_arena *a, const char *text, size_t length);
char *km_arena_printf(km_arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Frees everything; the arena can be used again. */
void km_arena_release(km_arena *a);

#endif
