#include "hub/secrets.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

/* A prefix, and how many letters and digits must follow. */
static const struct {
    const char *prefix, *kind;
    size_t digits;
} shapes[] = {
    { "hf_", "a Hugging Face token", 30 },   { "ghp_", "a GitHub token", 36 },
    { "gho_", "a GitHub token", 36 },        { "ghs_", "a GitHub token", 36 },
    { "github_pat_", "a GitHub token", 20 }, { "AKIA", "an AWS key", 16 },
    { "pypi-AgE", "a PyPI token", 40 },      { "xoxb-", "a Slack token", 10 },
};

#define SHAPES    (sizeof shapes / sizeof *shapes)
#define KEY_BEGIN "-----BEGIN "
#define KEY_END   "PRIVATE KEY-----"

static bool follows(const char *at, const char *end, size_t digits)
{
    size_t n = 0;

    while (at < end && n < digits && (isalnum((unsigned char)*at) || *at == '_' || *at == '-'))
        at++, n++;
    return n == digits;
}

/* What of the shapes stands at `at`, or NULL. */
static const char *kind_at(const char *at, const char *end, const char *own)
{
    size_t left = (size_t)(end - at);

    for (size_t i = 0; i < SHAPES; i++) {
        size_t n = strlen(shapes[i].prefix);
        if (left > n && memcmp(at, shapes[i].prefix, n) == 0 &&
            follows(at + n, end, shapes[i].digits))
            return shapes[i].kind;
    }
    if (left > strlen(KEY_BEGIN) && memcmp(at, KEY_BEGIN, strlen(KEY_BEGIN)) == 0 &&
        memmem(at, left < 64 ? left : 64, KEY_END, strlen(KEY_END)))
        return "a private key";
    if (own && left >= strlen(own) && memcmp(at, own, strlen(own)) == 0)
        return "your own token";
    return NULL;
}

int km_secret_find(const char *path, const char *own, km_secret *out, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    char *data;
    size_t size;
    int rc = km_file_read(&a, path, KM_ARENA_BYTES_MAX / 2, &data, &size, err);

    *out = (km_secret){ NULL, 1 };
    for (size_t i = 0; rc == 0 && i < size; i++) {
        if ((out->kind = kind_at(data + i, data + size, own)))
            break;
        out->line += data[i] == '\n';
    }
    km_arena_release(&a);
    return rc;
}
