#include "core/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char km_str_empty[1];

/* Room for `extra` more bytes and the terminator, or false with the failure noted. */
static bool reserve(km_str *s, size_t extra)
{
    size_t need, capacity;
    char *data;

    if (s->failed)
        return false;
    if (extra >= KM_STR_BYTES_MAX - s->length) {
        s->failed = KM_ELIMIT;
        return false;
    }
    need = s->length + extra + 1;
    if (need <= s->capacity)
        return true;
    capacity = s->capacity ? s->capacity : 64;
    while (capacity < need)
        capacity *= 2;
    data = realloc(s->capacity ? s->data : NULL, capacity);
    if (!data) {
        s->failed = KM_ENOMEM;
        return false;
    }
    data[s->length] = '\0';
    s->data = data;
    s->capacity = capacity;
    return true;
}

void km_str_add_bytes(km_str *s, const void *bytes, size_t length)
{
    if (!reserve(s, length) || !length)
        return;
    memcpy(s->data + s->length, bytes, length);
    s->length += length;
    s->data[s->length] = '\0';
}

void km_str_add(km_str *s, const char *text)
{
    km_str_add_bytes(s, text, strlen(text));
}

void km_str_add_char(km_str *s, char c)
{
    km_str_add_bytes(s, &c, 1);
}

void km_str_printf(km_str *s, const char *format, ...)
{
    va_list ap, again;
    int length;

    va_start(ap, format);
    va_copy(again, ap);
    length = vsnprintf(NULL, 0, format, ap);
    if (length >= 0 && reserve(s, (size_t)length)) {
        vsnprintf(s->data + s->length, (size_t)length + 1, format, again);
        s->length += (size_t)length;
    }
    va_end(again);
    va_end(ap);
}

int km_str_check(const km_str *s, km_err *err)
{
    if (s->failed == KM_ELIMIT)
        return km_fail(err, KM_ELIMIT, "text is longer than %u bytes", KM_STR_BYTES_MAX);
    return s->failed ? km_fail_nomem(err) : 0;
}

void km_str_clear(km_str *s)
{
    s->length = 0;
    s->failed = 0;
    if (s->capacity)
        s->data[0] = '\0';
}

void km_str_release(km_str *s)
{
    if (s->capacity)
        free(s->data);
    *s = (km_str)KM_STR_INIT;
}

/* How many bytes the UTF-8 character at `s` has, or 0 when it is none. */
static size_t character_bytes(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    if (s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || /* surrogates */
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return n;
}

/* U+0080 to U+009F; U+2028 to U+202E; U+2066 to U+2069; U+FEFF. */
bool km_text_deceives(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    if (s[0] == 0xc2)
        return s[1] >= 0x80 && s[1] < 0xa0;
    if (s[0] == 0xe2 && s[1] == 0x80)
        return s[2] >= 0xa8 && s[2] <= 0xae;
    if (s[0] == 0xe2 && s[1] == 0x81)
        return s[2] >= 0xa6 && s[2] <= 0xa9;
    return s[0] == 0xef && s[1] == 0xbb && s[2] == 0xbf;
}

void km_text_clean(char *text)
{
    unsigned char *s = (unsigned char *)text;

    while (*s) {
        size_t n = character_bytes(s);
        if (n > 1 && !km_text_deceives((const char *)s)) {
            s += n;
            continue;
        }
        if (n != 1 || (*s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7f)
            *s = '?';
        s++;
    }
}

bool km_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool km_ends_with(const char *text, const char *suffix)
{
    size_t a = strlen(text), b = strlen(suffix);

    return a >= b && memcmp(text + a - b, suffix, b) == 0;
}

#define WORD_MAX 64

/* Optimal string alignment distance (insert, delete, replace, swap neighbours). */
static unsigned edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned d[3][WORD_MAX + 1];

    for (size_t j = 0; j <= nb; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);
            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            row[j] = best;
        }
    }
    return d[na % 3][nb];
}

const char *km_nearest(const char *word, const char *const *candidates)
{
    const char *nearest = NULL;
    size_t length = strlen(word);
    unsigned best = length < 5 ? 1 : (unsigned)(length / 3) + 1;

    if (length > WORD_MAX)
        return NULL;
    for (; *candidates; candidates++) {
        size_t n = strlen(*candidates);
        unsigned d = n <= WORD_MAX ? edit_distance(word, length, *candidates, n) : WORD_MAX;
        if (d <= best && (!nearest || d < best)) {
            best = d;
            nearest = *candidates;
        }
    }
    return nearest;
}
