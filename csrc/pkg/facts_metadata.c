/* metadata.json as the client's parser takes it (kernels 0.17.2). */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "formats/json.h"
#include "pkg/facts.h"
#include "pkg/manifest.h"

/* One file being read: the first thing that the client would refuse stays in `why`. */
struct reading {
    km_arena *a;
    const char *path;
    km_err why;
    km_metadata_facts *out;
};

static const char *keep(const struct reading *r, const char *text)
{
    return text ? km_arena_strdup(r->a, text) : NULL;
}

static bool is_kernel_name(const char *name)
{
    size_t n = strlen(name);

    return n >= 2 && name[0] >= 'a' && name[0] <= 'z' && name[n - 1] != '-' &&
           !name[strspn(name, "-abcdefghijklmnopqrstuvwxyz0123456789")];
}

static int take_names(struct reading *r, const json_t *root)
{
    const char *text = NULL, *unused;
    int64_t version = 0;

    if (km_json_text(root, "name", &text, r->path, &r->why) < 0 ||
        km_json_text(root, "id", &unused, r->path, &r->why) < 0 ||
        km_json_text(root, "license", &unused, r->path, &r->why) < 0 ||
        km_json_int(root, "version", &version, r->path, &r->why) < 0)
        return KM_EFORMAT;
    r->out->name = keep(r, text);
    if (!is_kernel_name(text))
        return km_fail(&r->why, KM_EFORMAT, "'name' is '%s', which is no kernel's name", text);
    if (version < 0)
        return km_fail(&r->why, KM_EFORMAT, "'version' is negative");
    text = NULL;
    if (km_json_text_optional(root, "kernels-minver", &text, r->path, &r->why) < 0)
        return KM_EFORMAT;
    if (text && (!km_version_parse(text, &r->out->minver) || r->out->minver.count != 3))
        return km_fail(&r->why, KM_EFORMAT,
                       "'kernels-minver' is '%s', and has to have three numbers", text);
    return 0;
}

/* An array of texts; `key` is the member that has the text when the items are objects, or NULL. */
static int take_list(struct reading *r, const json_t *array, const char *what, const char *key,
                     const char ***list, size_t *count)
{
    size_t n = json_array_size(array);

    *list = km_arena_array(r->a, n + 1, sizeof **list);
    for (size_t i = 0; *list && i < n; i++) {
        const json_t *item = json_array_get(array, i);
        const char *text = json_string_value(key ? json_object_get(item, key) : item);
        if (!text)
            return km_fail(&r->why, KM_EFORMAT, "'%s' holds something that is no %s", what,
                           key ? key : "text");
        (*list)[(*count)++] = keep(r, text);
    }
    return *list ? 0 : km_fail_nomem(&r->why);
}

static int take_depends(struct reading *r, const json_t *root)
{
    json_t *python = NULL, *kernels = NULL;
    int rc = km_json_array(root, "python-depends", &python, r->path, &r->why);

    if (rc == 0)
        rc = take_list(r, python, "python-depends", NULL, &r->out->depends, &r->out->depend_count);
    if (rc == 0 && json_object_get(root, "kernel-depends"))
        rc = km_json_array(root, "kernel-depends", &kernels, r->path, &r->why);
    if (rc == 0)
        rc = take_list(r, kernels, "kernel-depends", "repo-id", &r->out->kernels,
                       &r->out->kernel_count);
    return rc;
}

static int take_backend(struct reading *r, const json_t *root)
{
    json_t *backend = NULL, *archs = NULL;
    const char *type = NULL;
    bool known = false;

    if (km_json_object(root, "backend", &backend, r->path, &r->why) < 0 ||
        km_json_text(backend, "type", &type, r->path, &r->why) < 0 ||
        km_json_array_optional(backend, "archs", &archs, r->path, &r->why) < 0)
        return KM_EFORMAT;
    for (int i = 0; km_backend_names[i]; i++)
        known |= strcmp(km_backend_names[i], type) == 0;
    if (!known)
        return km_fail(&r->why, KM_EFORMAT, "the backend's 'type' is '%s', which is none", type);
    r->out->type = keep(r, type);
    return take_list(r, archs, "archs", NULL, &r->out->archs, &r->out->arch_count);
}

/* "demo-norm" has its module in the folder itself, or in demo_norm/. */
static bool has_module(km_arena *a, const char *dir, const char *name)
{
    char *inner = name ? km_arena_printf(a, "%s/%s/__init__.py", dir, name) : NULL;
    const char *outer = km_path_join(a, dir, "__init__.py");

    for (char *c = inner ? inner + strlen(dir) : NULL; c && *c; c++)
        if (*c == '-')
            *c = '_';
    return (outer && km_file_exists(outer)) || (inner && km_file_exists(inner));
}

/* `rc`: of reading the document, whose error is in r->why. */
static int take_all(struct reading *r, const json_t *root, int rc, km_err *err)
{
    if (rc == 0)
        rc = take_names(r, root);
    if (rc == 0)
        rc = take_depends(r, root);
    if (rc == 0)
        rc = take_backend(r, root);
    if (rc == 0)
        return 0;
    r->out->refused = km_arena_strdup(r->a, r->why.message);
    return r->out->refused ? 0 : km_fail_nomem(err);
}

int km_metadata_facts_parse(km_arena *a, const char *text, size_t size, km_metadata_facts *out,
                            km_err *err)
{
    struct reading r = { .a = a, .path = "metadata.json", .out = out };
    json_t *root = NULL;
    int rc;

    *out = (km_metadata_facts){ .has_module = true };
    rc = km_json_parse(text, size, r.path, &root, &r.why);
    rc = take_all(&r, root, rc, err);
    json_decref(root);
    return rc;
}

int km_metadata_facts_read(km_arena *a, const char *dir, km_metadata_facts *out, km_err *err)
{
    struct reading r = { .a = a, .path = km_path_join(a, dir, "metadata.json"), .out = out };
    json_t *root = NULL;
    int rc;

    *out = (km_metadata_facts){ 0 };
    if (!r.path)
        return km_fail_nomem(err);
    rc = km_json_read(r.path, &root, &r.why);
    rc = take_all(&r, root, rc, err);
    out->has_module = has_module(a, dir, out->name);
    json_decref(root);
    return rc;
}
