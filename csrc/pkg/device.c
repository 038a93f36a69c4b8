#include "pkg/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/nvrtc.h"
#include "core/path.h"
#include "core/proc.h"
#include "core/str.h"
#include "pkg/includes.h"

#define OPTIONS_MAX 256

struct options {
    const char *items[OPTIONS_MAX + 1];
    size_t count;
};

static void add(struct options *o, const char *option)
{
    if (o->count < OPTIONS_MAX)
        o->items[o->count++] = option;
    o->items[o->count] = NULL;
}

static void add_all(km_arena *a, struct options *o, const char *prefix, const char *const *list)
{
    for (; list && *list; list++)
        add(o, km_arena_printf(a, "%s%s", prefix, *list));
}

int km_device_compiler_version(km_arena *a, const km_toolkit *t, bool use_nvcc, const char **out,
                               km_err *err)
{
    const char *const argv[] = { t->nvcc, "--version", NULL };
    km_proc p = { .argv = argv, .timeout_ms = 30000 };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int major = 0, minor = 0, rc = 0;
    const char *version;
    km_nvrtc n;

    if (!use_nvcc) {
        if (km_nvrtc_open(&n, t->nvrtc, err) < 0 || n.version(&major, &minor) != 0)
            return KM_EENV;
        *out = km_arena_printf(a, "NVRTC %d.%d", major, minor);
        return *out ? 0 : km_fail_nomem(err);
    }
    if (!t->nvcc)
        return km_fail(err, KM_EENV, "program 'nvcc' is not found");
    rc = km_proc_check(&p, &r, err);
    version = rc == 0 ? strstr(r.out.data, ", V") : NULL;
    if (version)
        *out = km_arena_printf(a, "nvcc %.*s", (int)strcspn(version + 2, "\n"), version + 2);
    else if (rc == 0)
        rc = km_fail(err, KM_EENV, "'%s --version' says no version", t->nvcc);
    km_proc_result_release(&r);
    return rc;
}

int km_device_check_archs(const km_toolkit *t, const km_archs *archs, km_err *err)
{
    int known[KM_NVRTC_ARCHS_MAX], count;
    km_str names = KM_STR_INIT;
    km_nvrtc n;
    int rc = km_nvrtc_open(&n, t->nvrtc, err);

    if (rc < 0)
        return rc;
    count = km_nvrtc_archs(&n, known);
    for (size_t i = 0; rc == 0 && count && i < archs->count; i++) {
        int at = 0;
        while (at < count && known[at] != (int)archs->items[i].sm)
            at++;
        if (at < count)
            continue;
        for (int j = 0; j < count; j++)
            km_str_printf(&names, "%s%d", j ? ", " : "", known[j]);
        km_fail(err, KM_EUSAGE, "'%s' compiles nothing for sm_%u", t->nvrtc, archs->items[i].sm);
        rc = km_hint(err, "it knows %s", names.data);
    }
    km_str_release(&names);
    return rc;
}

static void make_options(km_arena *a, const km_toolkit *t, const km_device_job *job,
                         struct options *o)
{
    char arch[8];

    km_arch_name(&job->arch, arch);
    if (job->use_nvcc) {
        add(o, t->nvcc);
        add(o, job->arch.ptx ? "-ptx" : "-cubin");
        add(o, job->arch.ptx
                   ? km_arena_printf(a, "-arch=compute_%s", arch)
                   : km_arena_printf(a, "-gencode=arch=compute_%s,code=sm_%s", arch, arch));
        add(o, "-std=c++17");
    } else {
        add(o,
            km_arena_printf(a, "--gpu-architecture=%s_%s", job->arch.ptx ? "compute" : "sm", arch));
        add(o, "--std=c++17");
    }
    if (job->line_info)
        add(o, "-lineinfo");
    add_all(a, o, "-I", job->dirs);
    if (!job->use_nvcc)
        add_all(a, o, "-I", t->includes);
    add_all(a, o, "-D", job->definitions);
    add_all(a, o, "", job->flags);
}

/* Everything that decides the image's bytes. Toolkit folders are named by their content, not by
 * where they are. */
static int make_key(const km_device_job *job, const char *compiler, const struct options *o,
                    const km_includes *files, km_sha256 *key, km_err *err)
{
    km_hasher h;

    km_hasher_init(&h);
    km_hasher_add_text(&h, "device image 1");
    km_hasher_add_text(&h, compiler);
    for (size_t i = job->use_nvcc; i < o->count; i++)
        if (!km_starts_with(o->items[i], "-I"))
            km_hasher_add_text(&h, o->items[i]);
    for (size_t i = 0; i < files->count; i++) {
        km_sha256 content;
        km_hasher_add_text(&h, km_path_base(files->paths[i]));
        if (km_hash_file(files->paths[i], &content, err) < 0) {
            km_hasher_final(&h, key, NULL);
            return KM_EIO;
        }
        km_hasher_add(&h, content.bytes, sizeof content.bytes);
    }
    if (job->line_info) /* names the working folder */
        km_hasher_add_text(&h, job->source);
    return km_hasher_final(&h, key, err);
}

/* The cache's file for a key, or NULL when there is no home for a cache. */
static const char *cache_path(km_arena *a, const km_sha256 *key)
{
    const char *root = getenv("KERNMILL_CACHE"), *home = getenv("HOME"), *dir;
    char hex[KM_SHA256_HEX_BYTES];

    if (!root || !*root)
        root = home && *home ? km_path_join(a, home, ".cache/kernmill") : NULL;
    dir = root ? km_path_join(a, root, "device") : NULL;
    if (!dir || km_dir_make(dir, NULL) < 0)
        return NULL;
    km_hash_hex(key, hex);
    return km_path_join(a, dir, hex);
}

static int run_nvrtc(km_arena *a, const km_toolkit *t, const km_device_job *job,
                     const struct options *o, km_err *err)
{
    km_str image = KM_STR_INIT;
    km_nvrtc n;
    size_t size;
    char *text = NULL;
    int rc;

    if (km_nvrtc_open(&n, t->nvrtc, err) < 0)
        return KM_EENV;
    rc = km_file_read(a, job->source, KM_TEXT_BYTES_MAX, &text, &size, err);
    if (rc == 0)
        rc = km_nvrtc_compile(&n, text, job->source, o->items, o->count, job->arch.ptx, &image,
                              err);
    if (rc == 0)
        rc = km_file_write(job->output, image.data, image.length, 0666, err);
    km_str_release(&image);
    return rc;
}

static int run_nvcc(struct options *o, const km_device_job *job, km_err *err)
{
    km_proc p = { .argv = o->items };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int rc;

    add(o, "-o");
    add(o, job->output);
    add(o, job->source);
    rc = km_proc_check(&p, &r, err);
    km_proc_result_release(&r);
    return rc;
}

/* "output: file file", with spaces escaped as make has it. */
static int write_depfile(const km_device_job *job, const km_includes *files, km_err *err)
{
    km_str text = KM_STR_INIT;
    int rc;

    km_str_printf(&text, "%s:", job->output);
    for (size_t i = 0; i < files->count; i++) {
        km_str_add_char(&text, ' ');
        for (const char *c = files->paths[i]; *c; c++) {
            if (*c == ' ' || *c == '#')
                km_str_add_char(&text, '\\');
            km_str_add_char(&text, *c);
        }
    }
    km_str_add_char(&text, '\n');
    rc = km_str_check(&text, err);
    if (rc == 0)
        rc = km_file_write(job->depfile, text.data, text.length, 0666, err);
    km_str_release(&text);
    return rc;
}

static int scan(km_arena *a, const km_toolkit *t, const km_device_job *job, km_includes *out,
                km_err *err)
{
    const char *dirs[OPTIONS_MAX];
    size_t n = 0;

    for (const char *const *d = job->dirs; d && *d && n + 4 < OPTIONS_MAX; d++)
        dirs[n++] = *d;
    for (int i = 0; t->includes[i]; i++)
        dirs[n++] = t->includes[i];
    dirs[n] = NULL;
    return km_includes_scan(a, job->source, dirs, out, err);
}

static int compile(km_arena *a, const km_toolkit *t, const km_device_job *job, bool *cached,
                   km_err *err)
{
    struct options o = { .count = 0 };
    const char *compiler = NULL, *kept;
    km_includes files = { NULL, 0 };
    km_sha256 key;
    int rc;

    make_options(a, t, job, &o);
    rc = km_device_compiler_version(a, t, job->use_nvcc, &compiler, err);
    if (rc == 0)
        rc = scan(a, t, job, &files, err);
    if (rc == 0)
        rc = make_key(job, compiler, &o, &files, &key, err);
    if (rc < 0)
        return rc;
    kept = cache_path(a, &key);
    *cached = kept && km_file_exists(kept);
    if (*cached)
        rc = km_file_copy(kept, job->output, err);
    else
        rc = job->use_nvcc ? run_nvcc(&o, job, err) : run_nvrtc(a, t, job, &o, err);
    if (rc == 0 && kept && !*cached)
        km_file_copy(job->output, kept, NULL); /* a cache that cannot be written is no error */
    if (rc == 0 && job->depfile)
        rc = write_depfile(job, &files, err);
    return rc;
}

int km_device_compile(const km_toolkit *t, const km_device_job *job, bool *cached, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    int rc;

    *cached = false;
    rc = compile(&a, t, job, cached, err);
    km_arena_release(&a);
    return rc;
}
