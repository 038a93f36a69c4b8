#include "hub/secrets.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/limits.h"

#define WINDOW_BYTES (256u << 10)
#define LOOK_BYTES   KM_TOKEN_BYTES_MAX /* the longest that is looked for is a token of ours */

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

/* A file of any size, a window of it at a time: what begins in one is seen whole, since the next
 * LOOK_BYTES are there too. */
struct window {
    int fd;
    const char *path;
    char *data;
    size_t size;      /* of what is in `data` */
    bool ended;       /* nothing follows in the file */
    bool starts[256]; /* whether anything that is looked for begins with this byte */
};

static int window_open(struct window *w, const char *path, const char *own, km_err *err)
{
    size_t size;

    *w = (struct window){ .fd = km_file_open(path, SIZE_MAX, &size, err), .path = path };
    if (w->fd < 0)
        return w->fd;
    w->data = malloc(WINDOW_BYTES);
    if (!w->data)
        return km_fail_nomem(err);
    for (size_t i = 0; i < SHAPES; i++)
        w->starts[(unsigned char)*shapes[i].prefix] = true;
    w->starts[(unsigned char)*KEY_BEGIN] = true;
    if (own)
        w->starts[(unsigned char)*own] = true;
    return 0;
}

/* Lets the first `done` bytes go, and reads on until the window is full or the file ends. */
static int window_move(struct window *w, size_t done, km_err *err)
{
    w->size -= done;
    memmove(w->data, w->data + done, w->size);
    while (w->size < WINDOW_BYTES && !w->ended) {
        ssize_t n = read(w->fd, w->data + w->size, WINDOW_BYTES - w->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "unable to read '%s'", w->path);
        w->ended = n == 0;
        w->size += (size_t)n;
    }
    return 0;
}

/* Looks at what begins in the first `count` bytes. */
static void look(const struct window *w, size_t count, const char *own, km_secret *out)
{
    const char *end = w->data + w->size;

    for (size_t i = 0; i < count; i++) {
        const char *at = w->data + i;
        if (w->starts[(unsigned char)*at] && (out->kind = kind_at(at, end, own)))
            return;
        out->line += *at == '\n';
    }
}

int km_secret_find(const char *path, const char *own, km_secret *out, km_err *err)
{
    struct window w;
    size_t done = 0;
    int rc = own && strlen(own) > LOOK_BYTES
                 ? km_fail(err, KM_ELIMIT, "the token has more than %d bytes", LOOK_BYTES)
                 : 0;

    *out = (km_secret){ NULL, 1 };
    if (rc < 0)
        return rc;
    rc = window_open(&w, path, own, err);
    while (rc == 0 && !out->kind && !w.ended) {
        rc = window_move(&w, done, err);
        done = w.ended ? w.size : w.size - LOOK_BYTES;
        if (rc == 0)
            look(&w, done, own, out);
    }
    free(w.data);
    if (w.fd >= 0)
        close(w.fd);
    return rc;
}
