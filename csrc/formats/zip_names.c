#include "formats/zip_names.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/path.h"

static bool is_utf8(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;

    while (*p) {
        unsigned more = *p < 0x80 ? 0 : *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
        static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
        uint32_t c = more ? *p & (0x3fu >> more) : *p;
        if ((*p >= 0x80 && *p < 0xc2) || *p > 0xf4)
            return false;
        p++;
        for (unsigned i = 0; i < more; i++, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            c = c << 6 | (*p & 0x3f);
        }
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return false;
    }
    return true;
}

int km_zip_check_name(km_arena *a, const char *name, size_t length, km_err *err)
{
    char *bare;

    if (memchr(name, 0, length))
        return km_fail(err, KM_EFORMAT, "name '%s' goes on after a zero byte", name);
    if (length >= KM_PATH_BYTES_MAX)
        return km_fail(err, KM_EFORMAT, "name '%.64s...' has %zu bytes", name, length);
    if (!is_utf8(name))
        return km_fail(err, KM_EFORMAT, "name '%s' is not UTF-8", name);
    bare = km_arena_strndup(a, name, length - (length && name[length - 1] == '/'));
    return bare ? km_path_check_foreign(bare, err) : km_fail_nomem(err);
}

static unsigned fold(unsigned char c)
{
    if (c == '/')
        return 0; /* so that a folder's content stands right behind its name */
    return c >= 'A' && c <= 'Z' ? c + 32u : c;
}

/* A name as a disk would see it: without a folder's slash. */
struct key {
    const char *name;
    size_t length;
    bool folder;
};

static int compare_keys(const void *left, const void *right)
{
    const struct key *a = left, *b = right;

    for (size_t i = 0; i < a->length && i < b->length; i++) {
        unsigned ca = fold((unsigned char)a->name[i]), cb = fold((unsigned char)b->name[i]);
        if (ca != cb)
            return ca < cb ? -1 : 1;
    }
    return (a->length > b->length) - (a->length < b->length);
}

static bool starts_with_key(const struct key *k, const struct key *prefix)
{
    struct key start = { k->name, prefix->length, false };

    return k->length > prefix->length && k->name[prefix->length] == '/' &&
           compare_keys(&start, prefix) == 0;
}

static struct key make_key(const char *name)
{
    size_t n = strlen(name);
    bool folder = n && name[n - 1] == '/';

    return (struct key){ name, n - folder, folder };
}

int km_zip_check_names(km_arena *arena, const char *const *names, size_t count, km_err *err)
{
    struct key *keys = km_arena_array(arena, count, sizeof *keys);

    if (!keys)
        return km_fail_nomem(err);
    for (size_t i = 0; i < count; i++)
        keys[i] = make_key(names[i]);
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 1; i < count; i++) {
        const struct key *a = &keys[i - 1], *b = &keys[i];
        bool same = compare_keys(a, b) == 0;
        if (same && memcmp(a->name, b->name, a->length) == 0)
            return km_fail(err, KM_EFORMAT, "'%s' is there twice", b->name);
        if (same)
            return km_fail(err, KM_EFORMAT, "'%s' and '%s' differ in case only", a->name, b->name);
        if (!a->folder && starts_with_key(b, a))
            return km_fail(err, KM_EFORMAT, "'%s' is a file, yet '%s' is in it", a->name, b->name);
    }
    return 0;
}
