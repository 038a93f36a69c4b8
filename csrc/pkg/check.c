#include "pkg/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "pkg/includes.h"
#include "pkg/plan.h"
#include "pkg/torch_symbols.h"
#include "pkg/variant.h"

static const char *clean_copy(km_arena *a, const char *text)
{
    char *copy = km_arena_strdup(a, text);

    if (copy)
        km_text_clean(copy);
    return copy;
}

int km_findings_add(km_findings *f, km_severity severity, const char *code, const char *place,
                    const char *hint, km_err *err, const char *format, ...)
{
    char message[1024];
    km_finding *item;
    va_list ap;

    if (!f->items)
        f->items = km_arena_array(&f->arena, KM_FINDINGS_MAX, sizeof *f->items);
    if (!f->items)
        return km_fail_nomem(err);
    if (f->count == KM_FINDINGS_MAX)
        return km_fail(err, KM_ELIMIT, "more than %d findings", KM_FINDINGS_MAX);
    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    km_text_clean(message);
    item = &f->items[f->count];
    *item = (km_finding){ severity, code, clean_copy(&f->arena, place),
                          km_arena_strdup(&f->arena, message), clean_copy(&f->arena, hint) };
    if (!item->place || !item->message || !item->hint)
        return km_fail_nomem(err);
    f->count++;
    f->errors += severity == KM_FINDING_ERROR;
    return 0;
}

void km_findings_release(km_findings *f)
{
    km_arena_release(&f->arena);
    *f = (km_findings){ 0 };
}

static bool is_listed(const km_list *src, const char *path)
{
    for (size_t i = 0; i < src->count; i++)
        if (strcmp(src->items[i], path) == 0)
            return true;
    return false;
}

/* A file that a source reaches must be in src: Hugging Face's builder copies nothing else. */
static int check_reached(km_findings *f, const km_manifest *m, const km_list *src,
                         const char *source, const char *path, const char *place, km_err *err)
{
    size_t n = strlen(m->dir);

    if (strncmp(path, m->dir, n) != 0 || path[n] != '/')
        return km_findings_add(f, KM_FINDING_WARNING, "header-outside", place,
                               "copy it into the repository: nobody else has it there", err,
                               "'%s' includes '%s', which is outside the repository", source, path);
    if (is_listed(src, path + n + 1))
        return 0;
    return km_findings_add(f, KM_FINDING_WARNING, "header-not-listed", place,
                           "add it to 'src': other builders copy nothing else", err,
                           "'%s' includes '%s', which this section's 'src' does not list", source,
                           path + n + 1);
}

static int check_includes(km_findings *f, const km_manifest *m, const km_list *src,
                          const km_list *include, km_err *err)
{
    const char **dirs = km_arena_array(&f->arena, include->count + 1, sizeof *dirs);
    km_includes files;

    if (!dirs)
        return km_fail_nomem(err);
    for (size_t i = 0; i < include->count; i++)
        dirs[i] = km_path_join(&f->arena, m->dir, include->items[i]);
    for (size_t i = 0; i < src->count; i++) {
        const char *full = km_path_join(&f->arena, m->dir, src->items[i]);
        char place[KM_ERR_PLACE_BYTES];
        snprintf(place, sizeof place, "%s:%u:%u", m->path, src->places[i]->line,
                 src->places[i]->column);
        if (!full)
            return km_fail_nomem(err);
        if (!km_file_exists(full)) {
            if (km_findings_add(f, KM_FINDING_ERROR, "source-missing", place, "", err,
                                "source file '%s' is not there", src->items[i]) < 0)
                return KM_ELIMIT;
            continue;
        }
        if (km_includes_scan(&f->arena, full, dirs, &files, err) < 0)
            return err ? err->code : KM_EIO;
        for (size_t j = 1; j < files.count; j++)
            if (check_reached(f, m, src, src->items[i], files.paths[j], place, err) < 0)
                return KM_ELIMIT;
    }
    return 0;
}

static int check_backends(km_findings *f, const km_manifest *m, km_err *err)
{
    for (int b = 0; b < KM_BACKEND_COUNT; b++) {
        bool has_section = m->framework != KM_TORCH;
        for (size_t i = 0; i < m->kernel_count; i++)
            has_section |= (int)m->kernels[i].backend == b;
        if (m->backends[b] && !has_section &&
            km_findings_add(f, KM_FINDING_WARNING, "backend-without-kernel", m->path, "", err,
                            "backend '%s' has no [kernel.*] section", km_backend_names[b]) < 0)
            return KM_ELIMIT;
    }
    return 0;
}

/* Hugging Face's format has kinds of kernels that are not built here. */
static int check_buildable(km_findings *f, const km_manifest *m, km_err *err)
{
    km_err why = KM_ERR_INIT;

    if (f->errors || km_plan_check(m, &why) == 0)
        return 0;
    return km_findings_add(f, KM_FINDING_WARNING, "not-built", *why.place ? why.place : m->path,
                           why.hint, err, "'kernmill build' refuses it: %s", why.message);
}

static int check_tests(km_findings *f, const km_manifest *m, km_err *err)
{
    const char *tests = km_path_join(&f->arena, m->dir, "tests");

    if (!tests)
        return km_fail_nomem(err);
    if (km_dir_exists(tests))
        return 0;
    return km_findings_add(f, KM_FINDING_WARNING, "tests-missing", m->path,
                           "tests/test_*.py take the built package from the fixture 'kernel'", err,
                           "the kernel has no tests");
}

int km_check_repository(km_findings *f, const km_manifest *m, km_err *err)
{
    const char *init = km_arena_printf(&f->arena, "%s/torch-ext/%s/__init__.py", m->dir,
                                       m->import_name);
    int rc = init ? 0 : km_fail_nomem(err);

    f->kind = "repository";
    if (rc == 0 && !km_file_exists(init))
        rc = km_findings_add(f, KM_FINDING_ERROR, "package-missing", init,
                             "the Python package stands in torch-ext/<name, '-' as '_'>", err,
                             "the kernel has no Python package");
    if (rc == 0 && !m->has_card)
        rc = km_findings_add(f, KM_FINDING_WARNING, "card-missing", m->path,
                             "card.toml holds the summary and the wheel's version", err,
                             "there is no card.toml beside build.toml");
    if (rc == 0)
        rc = check_backends(f, m, err);
    if (rc == 0)
        rc = check_includes(f, m, &m->torch_src, &m->torch_include, err);
    for (size_t i = 0; rc == 0 && i < m->kernel_count; i++)
        rc = check_includes(f, m, &m->kernels[i].src, &m->kernels[i].include, err);
    if (rc == 0)
        rc = check_buildable(f, m, err);
    return rc == 0 ? check_tests(f, m, err) : rc;
}

/* A folder: a repository, one Hub folder, or a root with build/<variant> in it. */
static int check_dir(km_findings *f, const char *path, km_err *err)
{
    const char *metadata = km_path_join(&f->arena, path, "metadata.json");
    const char *manifest = km_path_join(&f->arena, path, "build.toml");
    const char *build = km_path_join(&f->arena, path, "build");
    km_manifest m;
    km_names names;
    size_t found = 0;
    int rc;

    if (!metadata || !manifest || !build)
        return km_fail_nomem(err);
    if (km_file_exists(metadata))
        return km_check_hub_folder(f, path, err);
    if (km_file_exists(manifest)) {
        rc = km_manifest_read(&m, path, err);
        if (rc == 0) {
            rc = km_check_repository(f, &m, err);
            km_manifest_release(&m);
        }
        return rc;
    }
    if (!km_dir_exists(build))
        return km_fail(err, KM_EFORMAT,
                       "'%s' holds neither build.toml, nor metadata.json, nor a build folder",
                       path);
    rc = km_dir_list(&f->arena, build, &names, err);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        km_variant v;
        if (km_variant_parse(names.names[i], &v, NULL) < 0)
            continue;
        found++;
        rc = km_check_hub_folder(f, km_path_join(&f->arena, build, names.names[i]), err);
    }
    if (rc == 0 && !found)
        rc = km_fail(err, KM_EFORMAT, "'%s' holds no folder named like a variant", build);
    return rc;
}

static int check_file(km_findings *f, const char *path, km_err *err)
{
    static const km_library_rules rules = { .torch_minor = KM_TORCH_MINOR_OLDEST,
                                            .glibc_minor = 28 };
    size_t size;
    char *data;

    if (km_ends_with(path, ".toml")) {
        km_manifest m;
        int rc = km_manifest_read(&m, path, err);
        if (rc == 0) {
            rc = km_check_repository(f, &m, err);
            km_manifest_release(&m);
        }
        return rc;
    }
    if (km_file_read(&f->arena, path, KM_FILE_BYTES_MAX, &data, &size, err) < 0)
        return err ? err->code : KM_EIO;
    if (km_ends_with(path, ".whl"))
        return km_check_wheel(f, data, size, path, err);
    f->kind = "library";
    return km_check_library(f, data, size, path, &rules, err);
}

int km_check(km_findings *f, const char *path, km_err *err)
{
    int rc;

    *f = (km_findings){ 0 };
    rc = km_dir_exists(path) ? check_dir(f, path, err) : check_file(f, path, err);
    if (rc < 0)
        km_findings_release(f);
    return rc;
}
