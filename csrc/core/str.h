/* core/str.h: a growing text with a ceiling.
 *
 * Appending never returns an error: the first failure (no memory, or the ceiling) is remembered,
 * later appends do nothing, and km_str_check reports it once at the end. `data` is always a
 * terminated string, also when empty or failed.
 *
 *     km_str s = KM_STR_INIT;
 *     km_str_printf(&s, "rule %s\n", name);
 *     if (km_str_check(&s, err) < 0)
 *         goto out;
 *     ...
 *     out: km_str_release(&s);
 */
#ifndef KERNMILL_CORE_STR_H
#define KERNMILL_CORE_STR_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

typedef struct {
    char *data;      /* terminated; owned, or the shared empty string */
    size_t length;   /* bytes, without the terminator */
    size_t capacity; /* bytes owned */
    int failed;      /* 0, or the km_code of the first failure */
} km_str;

extern char km_str_empty[1];

#define KM_STR_INIT { km_str_empty, 0, 0, 0 }

void km_str_add(km_str *s, const char *text);
void km_str_add_bytes(km_str *s, const void *bytes, size_t length);
void km_str_add_char(km_str *s, char c);
void km_str_printf(km_str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* 0, or the first failure. */
int km_str_check(const km_str *s, km_err *err);

/* Empties, keeps the memory, forgets a failure. */
void km_str_clear(km_str *s);
void km_str_release(km_str *s);

/* Whether the character at `text` makes a line read as another: controls beyond ASCII, line
 * separators, those that turn the direction of writing, and the byte order mark. */
bool km_text_deceives(const char *text);

/* Makes a text safe for a terminal and for JSON, in place: control bytes other than newline and
 * tab, bytes that are no UTF-8, and what km_text_deceives finds, become '?'. */
void km_text_clean(char *text);

bool km_starts_with(const char *text, const char *prefix);
bool km_ends_with(const char *text, const char *suffix);

/* The candidate nearest to `word` in edit distance, when near enough to be a slip of the keyboard,
 * else NULL. `candidates` ends with NULL. Borrowed. */
const char *km_nearest(const char *word, const char *const *candidates);

#endif
