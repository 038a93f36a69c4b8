#include "pkg/explain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "pkg/explain_internal.h"

const char *const km_reason_names[] = { "for", "against", "note" };

void km_judge_say(struct judge *j, km_reason_side side, const char *code, const char *format, ...)
{
    km_candidate *c = j->c;
    char text[1024];
    char *copy;
    va_list ap;

    if (j->rc < 0)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    km_text_clean(text);
    copy = km_arena_strdup(j->a, text);
    if (!c->reasons)
        c->reasons = km_arena_array(j->a, KM_REASONS_MAX, sizeof *c->reasons);
    if (!copy || !c->reasons) {
        j->rc = km_fail_nomem(j->err);
        return;
    }
    if (side == KM_REASON_AGAINST) {
        c->fits = false;
        c->accepted = c->accepted && !j->choosing;
    }
    if (c->reason_count < KM_REASONS_MAX)
        c->reasons[c->reason_count++] = (km_reason){ side, j->choosing, code, copy };
}

void km_judge_fix(struct judge *j, unsigned cost, const char *format, ...)
{
    km_fix *fix = &j->c->fix;
    char text[KM_PATH_BYTES_MAX + 256];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    km_text_clean(text);
    for (size_t i = 0; i < fix->line_count; i++)
        if (fix->lines[i] && strcmp(fix->lines[i], text) == 0)
            return;
    fix->cost += cost;
    if (fix->line_count < sizeof fix->lines / sizeof *fix->lines) {
        fix->lines[fix->line_count++] = km_arena_strdup(j->a, text);
        if (!fix->lines[fix->line_count - 1] && j->rc == 0)
            j->rc = km_fail_nomem(j->err);
    }
}

void km_judge_impossible(struct judge *j)
{
    j->c->fix.impossible = true;
}

/* ---- what is judged ---- */

struct gathering {
    km_explanation *e;
    const km_system *s;
    const char *root;
    km_candidate *items;
    size_t count;
};

static struct judge begin(struct gathering *g, const char *dir, const char *name, km_err *err)
{
    km_candidate *c = &g->items[g->count];
    struct judge j = { .a = &g->e->arena, .s = g->s, .c = c, .root = g->root, .err = err };
    char *shown = km_arena_strdup(j.a, name);

    *c = (km_candidate){ .accepted = true, .fits = true };
    c->name = shown;
    c->path = km_path_join(j.a, dir, name);
    c->kernel = "";
    c->version = "";
    if (!c->name || !c->path) {
        j.rc = km_fail_nomem(err);
        return j;
    }
    km_text_clean(shown);
    g->count++;
    return j;
}

static int gather_variant(struct gathering *g, const char *dir, const char *name, km_err *err)
{
    km_metadata_facts m = { 0 };
    km_libraries l = { 0 };
    km_variant v;
    struct judge j;

    if (km_variant_parse(name, &v, NULL) < 0)
        return 0; /* as the client does */
    j = begin(g, dir, name, err);
    if (j.rc == 0)
        j.rc = km_metadata_facts_read(j.a, j.c->path, &m, err);
    if (j.rc == 0)
        j.rc = km_libraries_read(j.a, j.c->path, &l, err);
    if (j.rc < 0)
        return j.rc;
    km_judge_variant(&j, &v);
    km_judge_libraries(&j, &l, strcmp(v.compute, "cuda") == 0 ? g->s->cuda_major : v.cuda_major);
    km_judge_metadata(&j, &m, &v);
    if (m.name)
        j.c->kernel = m.name;
    return j.rc;
}

static int start(struct gathering *g, size_t most, km_err *err)
{
    if (most > KM_CANDIDATES_MAX)
        return km_fail(err, KM_ELIMIT, "'%s' has %zu entries; the limit is %d", g->root, most,
                       KM_CANDIDATES_MAX);
    g->items = km_arena_array(&g->e->arena, most + 1, sizeof *g->items);
    return g->items ? 0 : km_fail_nomem(err);
}

/* The folders of `dir` that are named like variants. */
static int gather_variants(struct gathering *g, const char *dir, km_err *err)
{
    km_names names;
    int rc = km_dir_list(&g->e->arena, dir, &names, err);

    g->count = 0;
    if (rc == 0)
        rc = start(g, names.count, err);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *path = km_path_join(&g->e->arena, dir, names.names[i]);
        if (path && km_dir_exists(path))
            rc = gather_variant(g, dir, names.names[i], err);
    }
    return rc;
}

static int gather_wheel(struct gathering *g, const char *dir, const char *name, km_err *err)
{
    struct judge j;
    int rc;

    if (!km_ends_with(name, ".whl"))
        return 0;
    j = begin(g, dir, name, err);
    rc = j.rc < 0 ? j.rc : km_judge_wheel(&j, j.c->path);
    return rc < 0 ? rc : j.rc;
}

/* A folder of wheels, or an index with a folder for each project. */
static int gather_wheels(struct gathering *g, const char *dir, km_err *err)
{
    km_names names, inner;
    bool flat;
    int rc = km_dir_list(&g->e->arena, dir, &names, err);

    g->count = 0;
    if (rc == 0)
        rc = start(g, KM_CANDIDATES_MAX, err);
    for (size_t i = 0; rc == 0 && i < names.count && g->count < KM_CANDIDATES_MAX; i++)
        rc = gather_wheel(g, dir, names.names[i], err);
    flat = g->count > 0;
    for (size_t i = 0; rc == 0 && !flat && i < names.count; i++) {
        const char *path = km_path_join(&g->e->arena, dir, names.names[i]);
        if (!path || !km_dir_exists(path) || km_dir_list(&g->e->arena, path, &inner, NULL) < 0)
            continue;
        for (size_t n = 0; rc == 0 && n < inner.count && g->count < KM_CANDIDATES_MAX; n++)
            if (km_ends_with(inner.names[n], ".whl"))
                rc = gather_wheel(g, path, inner.names[n], err);
    }
    return rc;
}

/* ---- the choice ---- */

static int by_preference(const void *x, const void *y)
{
    const km_candidate *a = x, *b = y;
    int name = strcmp(a->name, b->name);

    if (strcmp(a->kernel, b->kernel) != 0)
        return strcmp(a->kernel, b->kernel);
    if (a->accepted != b->accepted)
        return a->accepted ? -1 : 1;
    if (!a->accepted)
        return name;
    for (size_t i = 0; i < sizeof a->key / sizeof *a->key; i++)
        if (a->key[i] != b->key[i])
            return a->key[i] < b->key[i] ? -1 : 1;
    return name;
}

static int decide(km_explanation *e, const km_system *s, km_choice *c, km_err *err)
{
    bool hub = strcmp(e->kind, "hub folder") == 0;
    const km_candidate *second = c->count > 1 && c->items[1].accepted ? &c->items[1] : NULL;

    c->name = c->items[0].kernel;
    if (c->items[0].accepted) {
        c->items[0].chosen = true;
        c->chosen = &c->items[0];
        c->fits = c->items[0].fits;
        c->why = km_explain_preference(&e->arena, e->kind, c->chosen, second);
    } else {
        c->why = hub ? "the client accepts none" : "pip accepts none";
    }
    e->fits = e->fits && c->fits;
    return c->why ? km_explain_fix(&e->arena, s, c, hub, err) : km_fail_nomem(err);
}

/* The variants of one folder are one kernel's, whatever their metadata.json says. */
static int name_alike(struct gathering *g, km_err *err)
{
    char *name = NULL;

    for (size_t i = 0; !name && i < g->count; i++)
        if (*g->items[i].kernel)
            name = km_arena_strdup(&g->e->arena, g->items[i].kernel);
    if (!name)
        name = km_arena_strdup(&g->e->arena, km_path_base(g->root));
    if (!name)
        return km_fail_nomem(err);
    km_text_clean(name);
    for (size_t i = 0; i < g->count; i++)
        g->items[i].kernel = name;
    return 0;
}

static int choose(struct gathering *g, km_err *err)
{
    km_explanation *e = g->e;
    int rc = 0;

    qsort(g->items, g->count, sizeof *g->items, by_preference);
    e->fits = true;
    e->choices = km_arena_array(&e->arena, g->count + 1, sizeof *e->choices);
    if (!e->choices)
        return km_fail_nomem(err);
    for (size_t i = 0; rc == 0 && i < g->count;) {
        km_choice *c = &e->choices[e->count++];
        c->items = &g->items[i];
        while (i < g->count && strcmp(g->items[i].kernel, c->items[0].kernel) == 0) {
            c->count++;
            i++;
        }
        rc = decide(e, g->s, c, err);
    }
    return rc;
}

static int fail_kind(const char *path, bool has_manifest, km_err *err)
{
    km_fail(err, KM_EFORMAT, "'%s' holds neither variants nor wheels", path);
    if (has_manifest)
        return km_hint(err,
                       "it is a source: 'kernmill build %s' makes its variants, 'kernmill "
                       "plan %s' lists them",
                       path, path);
    return km_hint(err, "a Hub folder has build/<variant>/, a static index has *.whl");
}

static int explain_dir(struct gathering *g, const char *path, km_err *err)
{
    km_arena *a = &g->e->arena;
    const char *build = km_path_join(a, path, "build"), *manifest;
    char *real, *parent;
    int rc;

    manifest = km_path_join(a, path, "build.toml");
    if (!build || !manifest)
        return km_fail_nomem(err);
    g->e->kind = "hub folder";
    rc = gather_variants(g, path, err);
    if (rc == 0 && !g->count && km_dir_exists(build))
        rc = gather_variants(g, build, err);
    if (rc == 0 && !g->count) { /* one variant */
        if (km_path_real(a, path, &real, err) < 0)
            return KM_EIO;
        parent = km_path_dir(a, real);
        rc = parent ? gather_variant(g, parent, km_path_base(real), err) : km_fail_nomem(err);
    }
    if (rc == 0 && g->count)
        return name_alike(g, err);
    g->e->kind = "wheels";
    if (rc == 0)
        rc = gather_wheels(g, path, err);
    return rc == 0 && !g->count ? fail_kind(path, km_file_exists(manifest), err) : rc;
}

static int explain_file(struct gathering *g, const char *path, km_err *err)
{
    const char *dir = strchr(path, '/') ? km_path_dir(&g->e->arena, path) : "";

    if (!km_ends_with(path, ".whl")) {
        km_fail(err, KM_EFORMAT, "'%s' is no wheel, and no folder", path);
        return km_hint(err, "explain a Hub folder, a wheel, or a folder of wheels; 'kernmill "
                            "check' reads a library");
    }
    g->e->kind = "wheel";
    return start(g, 1, err) < 0 || !dir ? KM_ENOMEM : gather_wheel(g, dir, km_path_base(path), err);
}

int km_explain(km_explanation *out, const char *path, const km_system *system, km_err *err)
{
    struct gathering g = { .e = out, .s = system, .root = path };
    int rc;

    *out = (km_explanation){ 0 };
    if (km_dir_exists(path))
        rc = explain_dir(&g, path, err);
    else if (km_file_exists(path))
        rc = explain_file(&g, path, err);
    else
        rc = km_fail(err, KM_ENOENT, "'%s' is not there", path);
    if (rc == 0)
        rc = choose(&g, err);
    if (rc < 0)
        km_explanation_release(out);
    return rc;
}

int km_explain_names(km_explanation *out, const char *kernel, const char *const *names,
                     size_t count, const km_system *system, km_err *err)
{
    struct gathering g = { .e = out, .s = system, .root = kernel };
    int rc;

    *out = (km_explanation){ .kind = "hub folder" };
    rc = start(&g, count, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        km_variant v;
        struct judge j;
        if (km_variant_parse(names[i], &v, NULL) < 0)
            continue;
        j = begin(&g, "", names[i], err);
        if (j.rc == 0)
            km_judge_variant(&j, &v);
        rc = j.rc;
    }
    if (rc == 0)
        rc = name_alike(&g, err);
    if (rc == 0)
        rc = choose(&g, err);
    if (rc < 0)
        km_explanation_release(out);
    return rc;
}

int km_explain_metadata(km_explanation *e, const char *text, size_t size, const km_system *system,
                        km_err *err)
{
    km_choice *c = e->count ? &e->choices[0] : NULL;
    km_metadata_facts m;
    km_variant v;
    struct judge j = { .a = &e->arena, .s = system, .err = err };

    if (!c || !c->chosen || km_variant_parse(c->chosen->name, &v, NULL) < 0)
        return 0;
    j.c = &c->items[0]; /* the chosen one is the first */
    j.root = c->name;
    if (km_metadata_facts_parse(j.a, text, size, &m, err) < 0)
        return KM_ENOMEM;
    km_judge_metadata(&j, &m, &v);
    c->fits = e->fits = j.c->fits;
    return j.rc;
}

const char *km_candidate_obstacle(const km_candidate *c)
{
    for (size_t i = 0; i < c->reason_count; i++)
        if (c->reasons[i].side == KM_REASON_AGAINST)
            return c->reasons[i].text;
    return NULL;
}

void km_explanation_release(km_explanation *e)
{
    km_arena_release(&e->arena);
    *e = (km_explanation){ 0 };
}
