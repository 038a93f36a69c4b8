#include "core/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define BLOCK_BYTES 0 /* every piece is a block */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BLOCK_BYTES 0
#endif
#endif
#ifndef BLOCK_BYTES
#define BLOCK_BYTES KM_ARENA_BLOCK_BYTES
#endif

struct km_arena_block {
    struct km_arena_block *next;
    size_t size_bytes; /* of data */
    size_t used_bytes;
    alignas(max_align_t) unsigned char data[];
};

static struct km_arena_block *add_block(km_arena *a, size_t need_bytes)
{
    size_t size = need_bytes > BLOCK_BYTES ? need_bytes : BLOCK_BYTES;
    struct km_arena_block *b = calloc(1, sizeof *b + size);

    if (!b)
        return NULL;
    b->size_bytes = size;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

void *km_arena_alloc(km_arena *a, size_t size_bytes)
{
    const size_t align = alignof(max_align_t);
    struct km_arena_block *b = a->blocks;
    size_t need = size_bytes;
    void *piece;

    if (need > KM_ARENA_BYTES_MAX - a->used_bytes)
        return NULL;
    if (BLOCK_BYTES)
        need = (need + align - 1) / align * align;
    if (!b || b->size_bytes - b->used_bytes < need || !need)
        b = add_block(a, need);
    if (!b)
        return NULL;
    piece = b->data + b->used_bytes;
    b->used_bytes += need;
    a->used_bytes += size_bytes;
    return piece;
}

void *km_arena_array(km_arena *a, size_t count, size_t size_bytes)
{
    if (size_bytes && count > SIZE_MAX / size_bytes)
        return NULL;
    return km_arena_alloc(a, count * size_bytes);
}

char *km_arena_strndup(km_arena *a, const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? km_arena_alloc(a, length + 1) : NULL;

    if (copy && length)
        memcpy(copy, text, length);
    return copy;
}

char *km_arena_strdup(km_arena *a, const char *text)
{
    return km_arena_strndup(a, text, strlen(text));
}

char *km_arena_printf(km_arena *a, const char *format, ...)
{
    va_list ap, again;
    char *text = NULL;
    int length;

    va_start(ap, format);
    va_copy(again, ap);
    length = vsnprintf(NULL, 0, format, ap);
    if (length >= 0)
        text = km_arena_alloc(a, (size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(ap);
    return text;
}

void km_arena_release(km_arena *a)
{
    while (a->blocks) {
        struct km_arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    a->used_bytes = 0;
}
