#include "pkg/metadata.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "pkg/package_digest.h"

static int digest_files(const char *dir, json_t *files, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_names names;
    int rc = km_dir_walk(&a, dir, &names, err);

    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        const char *path = km_path_join(&a, dir, names.names[i]);
        char text[KM_SHA256_BASE64_BYTES];
        km_sha256 hash;
        if (km_package_leaves_out(names.names[i]))
            continue;
        rc = path ? km_hash_file(path, &hash, err) : km_fail_nomem(err);
        if (rc < 0)
            break;
        km_hash_base64(&hash, text);
        if (json_object_set_new(files, names.names[i], json_string(text)) < 0)
            rc = km_fail_nomem(err);
    }
    km_arena_release(&a);
    return rc;
}

static json_t *string_array(const km_list *list, const km_list *more)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i]));
    for (size_t i = 0; i < more->count; i++)
        json_array_append_new(array, json_string(more->items[i]));
    return array;
}

static void add_kernel_depends(json_t *array, const km_kernel_depends *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const km_kernel_depend *d = &list->items[i];
        json_array_append_new(array, d->revision ? json_pack("{s:s,s:s}", "repo-id", d->repo_id,
                                                             "revision", d->revision)
                                                 : json_pack("{s:s,s:I}", "repo-id", d->repo_id,
                                                             "version", (json_int_t)d->version));
    }
}

/* Capabilities as Hugging Face writes them: "9.0a". */
static json_t *arch_array(const km_plan *p)
{
    json_t *array = json_array();

    for (size_t i = 0; i < p->archs.count; i++) {
        const km_arch *arch = &p->archs.items[i];
        char text[32];
        snprintf(text, sizeof text, "%u.%u%s%s", arch->sm / 10, arch->sm % 10,
                 arch->suffix == 'a'   ? "a"
                 : arch->suffix == 'f' ? "f"
                                       : "",
                 arch->ptx ? "+PTX" : "");
        json_array_append_new(array, json_string(text));
    }
    return array;
}

int km_metadata_write(const km_plan *p, km_flavor flavor, const char *dir, km_err *err)
{
    const km_manifest *m = p->m;
    km_backend backend = flavor == KM_FLAVOR_CUDA ? KM_BACKEND_CUDA : KM_BACKEND_CPU;
    json_t *kernel_depends = json_array(), *files = json_object();
    json_t *of_backend = json_pack("{s:s}", "type", km_flavor_names[flavor]);
    km_arena a = KM_ARENA_INIT;
    const char *path = km_path_join(&a, dir, "metadata.json");
    json_t *root;
    int rc;

    add_kernel_depends(kernel_depends, &m->kernel_depends);
    add_kernel_depends(kernel_depends, &m->of[backend].kernel_depends);
    if (flavor == KM_FLAVOR_CUDA)
        json_object_set_new(of_backend, "archs", arch_array(p));
    rc = digest_files(dir, files, err);
    root = json_pack("{s:s,s:s,s:I,s:s,s:s*,s:s*,s:o,s:o,s:o,s:{s:s,s:o},s:{s:s}}", "name", m->name,
                     "id", p->products[flavor].id, "version", (json_int_t)m->version, "license",
                     m->license, "upstream", m->upstream, "source", m->source, "python-depends",
                     string_array(&m->python_depends, &m->of[backend].python_depends),
                     "kernel-depends", kernel_depends, "backend", of_backend, "digest", "algorithm",
                     "sha256", "files", files, "kernmill", "version", KM_VERSION);
    if (rc == 0)
        rc = root && path ? km_json_write(path, root, err) : km_fail_nomem(err);
    json_decref(root);
    km_arena_release(&a);
    return rc;
}

static int compare_digests(const char *dir, const json_t *said, const json_t *found, km_err *err)
{
    const char *name;
    const json_t *value;

    json_object_foreach((json_t *)(uintptr_t)said, name, value)
    {
        const json_t *other = json_object_get(found, name);
        if (!other)
            return km_fail(err, KM_EFORMAT, "'%s/%s' is in metadata.json and not there", dir, name);
        if (!json_equal(value, other))
            return km_fail(err, KM_EFORMAT, "'%s/%s' is not the file that metadata.json describes",
                           dir, name);
    }
    json_object_foreach(
        (json_t *)(uintptr_t)found, name,
        value) if (!json_object_get(said, name)) return km_fail(err, KM_EFORMAT,
                                                                "'%s/%s' is not in metadata.json",
                                                                dir, name);
    return 0;
}

int km_metadata_verify(const char *dir, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *path = km_path_join(&a, dir, "metadata.json");
    json_t *root = NULL, *digest, *said, *found = json_object();
    const char *algorithm;
    int rc = path ? km_json_read(path, &root, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_json_object(root, "digest", &digest, path, err);
    if (rc == 0)
        rc = km_json_text(digest, "algorithm", &algorithm, path, err);
    if (rc == 0 && strcmp(algorithm, "sha256") != 0)
        rc = km_fail(err, KM_EFORMAT, "'%s': digest algorithm '%s' is not sha256", path, algorithm);
    if (rc == 0)
        rc = km_json_object(digest, "files", &said, path, err);
    if (rc == 0)
        rc = digest_files(dir, found, err);
    if (rc == 0)
        rc = compare_digests(dir, said, found, err);
    json_decref(found);
    json_decref(root);
    km_arena_release(&a);
    return rc;
}
