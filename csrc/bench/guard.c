#include "bench/guard.h"

#include <string.h>

#define SELF "/proc/self/exe"

/* Once, and not NULL. */
static void add(km_guard *g, const char *path)
{
    for (size_t i = 0; path && i < g->count; i++)
        if (strcmp(g->paths[i], path) == 0)
            return;
    if (path)
        g->paths[g->count++] = path;
}

/* "file.py:name" -> "file.py"; NULL for a module. */
static const char *file_of(km_arena *a, const char *python)
{
    const char *end = python ? strstr(python, ".py:") : NULL;

    return end ? km_arena_strndup(a, python, (size_t)(end - python) + 3) : NULL;
}

static void list(km_arena *a, const km_session *s, km_guard *g)
{
    add(g, SELF);
    add(g, s->suite->path);
    if (km_suite_has_python(s->suite)) {
        add(g, s->host);
        add(g, s->engine);
    }
    for (const char *const *l = s->libraries; *l; l++)
        add(g, *l);
    for (size_t i = 0; i < s->suite->op_count; i++)
        for (size_t j = 0; j < s->suite->ops[i].call_count; j++) {
            add(g, file_of(a, s->suite->ops[i].calls[j].python));
        }
}

int km_guard_take(km_arena *a, const km_session *s, km_guard *out, km_err *err)
{
    size_t most = 4, kept = 0;

    for (const char *const *l = s->libraries; *l; l++)
        most++;
    for (size_t i = 0; i < s->suite->op_count; i++)
        most += s->suite->ops[i].call_count;
    *out = (km_guard){
        .paths = km_arena_array(a, most, sizeof *out->paths),
        .hashes = km_arena_array(a, most, sizeof *out->hashes),
    };
    if (!out->paths || !out->hashes)
        return km_fail_nomem(err);
    list(a, s, out);
    for (size_t i = 0; i < out->count; i++) {
        int rc = km_hash_file(out->paths[i], &out->hashes[kept], err);
        if (rc == 0)
            out->paths[kept++] = out->paths[i];
        else if (rc != KM_ENOENT) /* a peer's file that is not there: its call is missing */
            return rc;
    }
    out->count = kept;
    return 0;
}

int km_guard_check(const km_guard *g, km_err *err)
{
    for (size_t i = 0; i < g->count; i++) {
        km_sha256 now;
        if (km_hash_file(g->paths[i], &now, NULL) == 0 &&
            memcmp(&now, &g->hashes[i], sizeof now) == 0)
            continue;
        km_fail(err, KM_ECHILD, "'%s' changed while it was measured", g->paths[i]);
        return km_hint(err, "measure again while nothing writes to it; a candidate that does "
                            "edits the harness");
    }
    return 0;
}
