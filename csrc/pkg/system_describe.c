/* A machine that is described, and a machine in words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "pkg/system.h"

static int refuse(km_err *err, const char *option, const char *text, const char *wanted)
{
    return km_fail(err, KM_EUSAGE, "option '--%s' wants %s, not '%s'", option, wanted, text);
}

static bool is_none(const char *text)
{
    return strcmp(text, "none") == 0;
}

/* `most` numbers are kept; with fewer than `least` it is an error. */
static int take_version(const char *option, const char *text, unsigned least, unsigned most,
                        km_version *out, km_err *err)
{
    km_version v = { 0 };
    char digits[32];

    snprintf(digits, sizeof digits, "%.*s", (int)strspn(text, "0123456789."), text);
    if (strcmp(digits, text) != 0 || !km_version_parse(text, &v) || v.count < least)
        return refuse(err, option, text, "a version like 2.9");
    for (; v.count > most; v.count--)
        v.part[v.count - 1] = 0;
    *out = v;
    return 0;
}

static int take_optional(const char *option, const char *text, km_version *out, km_err *err)
{
    if (!is_none(text))
        return take_version(option, text, 2, 2, out, err);
    *out = (km_version){ 0 };
    return 0;
}

static int take_name(const char *option, const char *text, const char *const *names, char out[16],
                     km_err *err)
{
    const char *near;

    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], text) == 0) {
            snprintf(out, 16, "%s", text);
            return 0;
        }
    near = km_nearest(text, names);
    km_fail(err, KM_EUSAGE, "option '--%s' does not know '%s'", option, text);
    return near ? km_hint(err, "did you mean '%s'?", near)
                : km_hint(err, "it knows %s, %s%s%s", names[0], names[1], names[2] ? ", " : "",
                          names[2] ? names[2] : "");
}

static int describe_place(km_system *s, const km_system_options *o, km_err *err)
{
    static const char *const systems[] = { "linux", "darwin", "windows", NULL };
    static const char *const cpus[] = { "x86_64", "aarch64", NULL };
    char os[16], cpu[16];
    int rc = 0;

    memcpy(os, s->os, sizeof os);
    memcpy(cpu, s->cpu, sizeof cpu);
    if (o->os)
        rc = take_name("os", o->os, systems, s->os, err);
    if (rc == 0 && o->cpu)
        rc = take_name("cpu", o->cpu, cpus, s->cpu, err);
    if (strcmp(os, s->os) != 0 || strcmp(cpu, s->cpu) != 0) {
        s->x86_level = 0;
        s->glibc = s->macos = (km_version){ 0 };
    }
    if (rc == 0 && o->glibc)
        rc = take_version("glibc", o->glibc, 2, 2, &s->glibc, err);
    if (rc == 0 && o->macos)
        rc = take_version("macos", o->macos, 1, 2, &s->macos, err);
    if (rc == 0 && o->x86_level) {
        const char *digit = o->x86_level + (*o->x86_level == 'v');
        if (*digit < '1' || *digit > '4' || digit[1])
            return refuse(err, "x86-level", o->x86_level, "v1, v2, v3 or v4");
        s->x86_level = (unsigned)(*digit - '0');
    }
    return rc;
}

static int describe_python(km_system *s, const km_system_options *o, km_err *err)
{
    char text[32];
    size_t n;
    int rc = 0;

    if (o->python) {
        n = strlen(o->python);
        s->free_threaded = n && o->python[n - 1] == 't';
        snprintf(text, sizeof text, "%.*s", (int)(n - s->free_threaded), o->python);
        rc = take_version("python", text, 2, 2, &s->python, err);
    }
    if (rc == 0 && o->torch)
        rc = take_optional("torch", o->torch, &s->torch, err);
    if (rc == 0 && o->cxx_abi) {
        s->cxx11_abi = strcmp(o->cxx_abi, "cxx11") == 0;
        if (!s->cxx11_abi && strcmp(o->cxx_abi, "cxx98") != 0)
            return refuse(err, "cxx-abi", o->cxx_abi, "cxx11 or cxx98");
    }
    if (rc == 0 && o->tvm_ffi)
        rc = take_optional("tvm-ffi", o->tvm_ffi, &s->tvm_ffi, err);
    if (rc == 0 && o->kernels)
        rc = take_version("kernels", o->kernels, 2, 3, &s->kernels, err);
    return rc;
}

static int describe_backend(km_system *s, const km_system_options *o, km_err *err)
{
    char text[32];
    km_version v = { 0 };

    if (o->cuda && o->backend)
        return km_fail(err, KM_EUSAGE, "options '--cuda' and '--backend' say the same thing");
    if (o->cuda && is_none(o->cuda)) {
        km_system_set_backend(s, "cpu");
    } else if (o->cuda) {
        if (take_version("cuda", o->cuda, 2, 2, &v, err) < 0)
            return KM_EUSAGE;
        snprintf(text, sizeof text, "cu%u%u", v.part[0], v.part[1]);
        if (!km_system_set_backend(s, text) || v.part[1] > 9)
            return refuse(err, "cuda", o->cuda, "a version like 12.4");
    } else if (o->backend && !km_system_set_backend(s, o->backend)) {
        refuse(err, "backend", o->backend, "what torch computes with, as variants write it");
        return km_hint(err, "like cpu, cu126, rocm71, xpu20253, metal");
    }
    return 0;
}

/* "sm_75", "sm75", "7.5" or "75". */
static bool parse_gpu(const char *text, size_t n, unsigned *sm)
{
    char digits[8];
    size_t count = 0, skip = n > 3 && strncmp(text, "sm_", 3) == 0  ? 3
                             : n > 2 && strncmp(text, "sm", 2) == 0 ? 2
                                                                    : 0;

    if (n > skip && text[n - 1] == 'a') /* of an image; the chip is the same */
        n--;
    for (size_t i = skip; i < n && count < sizeof digits - 1; i++) {
        if (text[i] == '.' && i + 2 == n)
            continue;
        if (text[i] < '0' || text[i] > '9')
            return false;
        digits[count++] = text[i];
    }
    digits[count] = '\0';
    *sm = (unsigned)atoi(digits);
    return count == 2 || count == 3;
}

static int describe_gpus(km_system *s, const char *text, km_err *err)
{
    s->gpu_count = 0;
    s->gpus_known = true;
    if (is_none(text))
        return 0;
    for (;;) {
        size_t n = strcspn(text, ",");
        if (s->gpu_count == KM_GPUS_MAX || !parse_gpu(text, n, &s->gpus[s->gpu_count++])) {
            km_fail(err, KM_EUSAGE, "option '--arch' does not know '%.*s'", (int)n, text);
            return km_hint(err, "a GPU is like sm_75, 7.5 or 75; several have commas; or none");
        }
        if (!text[n])
            return 0;
        text += n + 1;
    }
}

static int describe_driver(km_system *s, const km_system_options *o, km_err *err)
{
    km_version v = { 0 };

    if (o->cuda || o->backend || o->arch) {
        if (s->driver == KM_DRIVER_NONE)
            s->driver = KM_DRIVER_UNKNOWN;
        if (!s->gpu_count)
            s->gpus_known = false;
    }
    if (o->driver && is_none(o->driver)) {
        s->driver = KM_DRIVER_NONE;
    } else if (o->driver) {
        if (take_version("driver", o->driver, 1, 1, &v, err) < 0 || v.part[0] < 100)
            return refuse(err, "driver", o->driver, "a branch like 580");
        s->driver = (int)v.part[0];
        if (!s->gpu_count)
            s->gpus_known = false;
    }
    return o->arch ? describe_gpus(s, o->arch, err) : 0;
}

int km_system_describe(km_system *s, const km_system_options *o, km_err *err)
{
    int rc = describe_place(s, o, err);

    if (rc == 0)
        rc = describe_python(s, o, err);
    if (rc == 0)
        rc = describe_backend(s, o, err);
    return rc == 0 ? describe_driver(s, o, err) : rc;
}

char *km_version_text(km_arena *a, const km_version *v)
{
    return v->count == 0   ? km_arena_strdup(a, "none")
           : v->count == 1 ? km_arena_printf(a, "%u", v->part[0])
           : v->count == 2 ? km_arena_printf(a, "%u.%u", v->part[0], v->part[1])
                           : km_arena_printf(a, "%u.%u.%u", v->part[0], v->part[1], v->part[2]);
}

static void say_gpus(km_str *out, const km_system *s)
{
    if (s->driver == KM_DRIVER_NONE)
        km_str_add(out, ", no NVIDIA driver");
    else if (s->driver == KM_DRIVER_UNKNOWN)
        km_str_add(out, ", driver unknown");
    else
        km_str_printf(out, ", driver %d", s->driver);
    if (s->driver == KM_DRIVER_NONE && !s->gpu_count)
        return;
    if (!s->gpu_count)
        km_str_add(out, s->gpus_known ? ", no GPU" : ", GPU unknown");
    for (size_t i = 0; i < s->gpu_count; i++)
        if (i == 0 || s->gpus[i] != s->gpus[i - 1])
            km_str_printf(out, ", sm_%u", s->gpus[i]);
}

char *km_system_text(km_arena *a, const km_system *s)
{
    km_str out = KM_STR_INIT;
    char *copy;

    km_str_printf(&out, "%s %s", s->os, s->cpu);
    if (s->glibc.count)
        km_str_printf(&out, ", glibc %s", km_version_text(a, &s->glibc));
    if (s->macos.count)
        km_str_printf(&out, ", macOS %s", km_version_text(a, &s->macos));
    km_str_add(&out, ", Python ");
    km_str_add(&out, s->python.count ? km_version_text(a, &s->python) : "unknown");
    if (s->free_threaded)
        km_str_add(&out, " without the GIL");
    if (s->torch.count)
        km_str_printf(&out, ", torch %s for %s", km_version_text(a, &s->torch), s->backend);
    else
        km_str_add(&out, ", no torch");
    say_gpus(&out, s);
    copy = km_arena_strdup(a, out.data);
    km_str_release(&out);
    return copy;
}
