#include "pkg/variant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"

/* "210" is 2.10: one digit, then the rest. At least two digits. */
static bool split_version(const char *digits, size_t n, unsigned *major, unsigned *minor)
{
    char rest[8];

    if (n < 2 || n > 5 || strspn(digits, "0123456789") < n)
        return false;
    *major = (unsigned)(digits[0] - '0');
    memcpy(rest, digits + 1, n - 1);
    rest[n - 1] = '\0';
    *minor = (unsigned)atoi(rest);
    return true;
}

static bool copy_part(char *out, size_t size, const char *from, size_t n)
{
    if (!n || n >= size)
        return false;
    memcpy(out, from, n);
    out[n] = '\0';
    return true;
}

/* "cpu", or a family and at least two digits, the last of which is the minor: "cu126". */
static bool is_compute(const char *text)
{
    static const char *const names[] = { "cpu", "metal", "neuron", "tpu", NULL };
    static const char *const families[] = { "cu", "rocm", "xpu", "cann", NULL };

    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], text) == 0)
            return true;
    for (int i = 0; families[i]; i++) {
        const char *digits = text + strlen(families[i]);
        if (km_starts_with(text, families[i]) && strlen(digits) >= 2 &&
            !digits[strspn(digits, "0123456789")])
            return true;
    }
    return false;
}

/* compute "-" cpu "-" os */
static int parse_arch(const char *name, const char *text, km_variant *v, km_err *err)
{
    static const char *const cpus[] = { "x86_64", "aarch64", NULL };
    static const char *const systems[] = { "linux", "darwin", "windows", NULL };
    size_t a = strcspn(text, "-"), b;
    const char *cpu = text + a + (text[a] == '-'), *os;
    bool known = false;

    b = strcspn(cpu, "-");
    os = cpu + b + (cpu[b] == '-');
    if (!copy_part(v->compute, sizeof v->compute, text, a) ||
        !copy_part(v->cpu, sizeof v->cpu, cpu, b) ||
        !copy_part(v->os, sizeof v->os, os, strlen(os)) || strchr(os, '-'))
        return km_fail(err, KM_EFORMAT, "variant '%s' must end with <backend>-<cpu>-<system>",
                       name);
    if (!is_compute(v->compute))
        return km_fail(err, KM_EFORMAT, "variant '%s' names an unknown backend '%s'", name,
                       v->compute);
    for (int i = 0; cpus[i]; i++)
        known |= strcmp(cpus[i], v->cpu) == 0;
    if (!known)
        return km_fail(err, KM_EFORMAT, "variant '%s' names an unknown cpu '%s'", name, v->cpu);
    known = false;
    for (int i = 0; systems[i]; i++)
        known |= strcmp(systems[i], v->os) == 0;
    if (!known)
        return km_fail(err, KM_EFORMAT, "variant '%s' names an unknown system '%s'", name, v->os);
    if (km_starts_with(v->compute, "cu")) {
        unsigned number = (unsigned)atoi(v->compute + 2);
        v->cuda_major = number / 10;
        v->cuda_minor = number % 10;
    }
    return 0;
}

static int parse_noarch(const char *name, const char *text, km_variant *v, km_err *err)
{
    static const char *const names[] = { "cpu",  "cuda", "metal", "neuron",    "npu",
                                         "rocm", "tpu",  "xpu",   "universal", NULL };

    v->kind = KM_VARIANT_NOARCH;
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], text) == 0 &&
            copy_part(v->compute, sizeof v->compute, text, strlen(text)))
            return 0;
    return km_fail(err, KM_EFORMAT, "variant '%s' has an unknown backend '%s'", name, text);
}

int km_variant_parse(const char *name, km_variant *out, km_err *err)
{
    static const struct {
        const char *prefix;
        km_variant_kind kind;
    } known[] = { { "torch-stable-abi", KM_VARIANT_STABLE },
                  { "tvm-ffi", KM_VARIANT_TVM_FFI },
                  { "torch", KM_VARIANT_TORCH } };

    *out = (km_variant){ 0 };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *rest = name + strlen(known[i].prefix);
        size_t digits;
        if (!km_starts_with(name, known[i].prefix))
            continue;
        digits = strspn(rest, "0123456789");
        if (known[i].kind == KM_VARIANT_TORCH && *rest == '-')
            return parse_noarch(name, rest + 1, out, err);
        out->kind = known[i].kind;
        if (!split_version(rest, digits, &out->major, &out->minor) || rest[digits] != '-')
            return km_fail(err, KM_EFORMAT, "variant '%s' has no version after '%s'", name,
                           known[i].prefix);
        rest += digits + 1;
        if (known[i].kind == KM_VARIANT_TORCH &&
            (km_starts_with(rest, "cxx11-") || km_starts_with(rest, "cxx98-"))) {
            out->cxx = (unsigned)atoi(rest + strlen("cxx"));
            rest += strlen("cxx11-");
        }
        return parse_arch(name, rest, out, err);
    }
    return km_fail(err, KM_EFORMAT, "'%s' is no variant: it starts with neither torch nor tvm-ffi",
                   name);
}
