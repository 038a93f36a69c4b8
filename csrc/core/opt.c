#include "core/opt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"

#define NAMES_MAX 64

static const km_opt *find_long(const km_opt *options, const char *name, size_t length)
{
    for (const km_opt *o = options; o->name; o++)
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
            return o;
    return NULL;
}

static const km_opt *find_short(const km_opt *options, char letter)
{
    for (const km_opt *o = options; o->name; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

static int unknown(const km_opt *options, const char *word, size_t length, km_err *err)
{
    const char *names[NAMES_MAX], *near;
    char name[64] = "";
    size_t n = 0;

    for (const km_opt *o = options; o->name && n + 1 < NAMES_MAX; o++)
        names[n++] = o->name;
    names[n] = NULL;
    memcpy(name, word, length < sizeof name ? length : sizeof name - 1);
    km_fail(err, KM_EUSAGE, "unknown option '--%s'", name);
    near = km_nearest(name, names);
    return near ? km_hint(err, "did you mean '--%s'?", near) : KM_EUSAGE;
}

static int store(const km_opt *o, void *fields, const char *value, km_err *err)
{
    char *field = (char *)fields + o->offset, *end;
    long number;

    switch (o->kind) {
    case KM_OPT_KIND_FLAG:
        *(bool *)(void *)field = true;
        return 0;
    case KM_OPT_KIND_TEXT:
        *(const char **)(void *)field = value;
        return 0;
    case KM_OPT_KIND_INT:
        errno = 0;
        number = strtol(value, &end, 10);
        if (errno || end == value || *end)
            return km_fail(err, KM_EUSAGE, "option '--%s' wants a whole number, not '%s'", o->name,
                           value);
        *(long *)(void *)field = number;
        return 0;
    }
    return km_fail(err, KM_EBUG, "option '--%s' has no kind", o->name);
}

/* "-vq" and "-j4": flags, and at most one option with a value, which is what remains of `letters`
 * or the next argument. */
static int parse_letters(const km_opt *options, void *fields, const char *letters, int argc,
                         char **argv, int *i, km_err *err)
{
    for (; *letters; letters++) {
        const km_opt *o = find_short(options, *letters);
        if (!o)
            return km_fail(err, KM_EUSAGE, "unknown option '-%c'", *letters);
        if (o->kind == KM_OPT_KIND_FLAG) {
            if (store(o, fields, NULL, err) < 0)
                return KM_EUSAGE;
            continue;
        }
        if (letters[1])
            return store(o, fields, letters + 1, err);
        if (*i + 1 >= argc)
            return km_fail(err, KM_EUSAGE, "option '--%s' wants a value %s", o->name, o->value);
        return store(o, fields, argv[++*i], err);
    }
    return 0;
}

/* Handles argv[*i], which starts with '-', and moves *i over a value in the next argument. */
static int parse_one(const km_opt *options, void *fields, int argc, char **argv, int *i,
                     km_err *err)
{
    const char *word = argv[*i], *value = NULL;
    size_t length = strcspn(word, "=");
    const km_opt *o;

    if (word[1] != '-')
        return parse_letters(options, fields, word + 1, argc, argv, i, err);
    o = find_long(options, word + 2, length - 2);
    if (!o)
        return unknown(options, word + 2, length - 2, err);
    value = word[length] == '=' ? word + length + 1 : NULL;
    if (value && o->kind == KM_OPT_KIND_FLAG)
        return km_fail(err, KM_EUSAGE, "option '--%s' takes no value", o->name);
    if (!value && o->kind != KM_OPT_KIND_FLAG) {
        if (*i + 1 >= argc)
            return km_fail(err, KM_EUSAGE, "option '--%s' wants a value %s", o->name, o->value);
        value = argv[++*i];
    }
    return store(o, fields, value, err);
}

int km_opt_parse(const km_opt *options, void *fields, int argc, char **argv, const char **args,
                 size_t *arg_count, km_err *err)
{
    bool only_args = false;

    *arg_count = 0;
    for (int i = 1; i < argc; i++) {
        if (only_args || argv[i][0] != '-' || !argv[i][1])
            args[(*arg_count)++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_args = true;
        else if (parse_one(options, fields, argc, argv, &i, err) < 0)
            return KM_EUSAGE;
    }
    return 0;
}
