/* A variant by its name, rule for rule as kernels 0.17.2 has it in variants.py; there the first
 * rule that fails is told, here all of them. */
#include <stdio.h>
#include <string.h>

#include "core/str.h"
#include "pkg/explain_internal.h"

#define METAL_MACOS 26

static void place(struct judge *j, const km_variant *v)
{
    const km_system *s = j->s;
    bool cpu = strcmp(v->cpu, s->cpu) == 0, os = strcmp(v->os, s->os) == 0;

    if (s->free_threaded && s->python.part[0] == 3 && s->python.part[1] < 15) {
        km_judge_say(j, KM_REASON_AGAINST, "free-threaded",
                     "compiled variants are left out on Python without the GIL before 3.15; here "
                     "it is %s",
                     km_version_text(j->a, &s->python));
        km_judge_fix(j, KM_COST_PYTHON, "python%u.%u -m venv .venv   # one with the GIL",
                     s->python.part[0], s->python.part[1]);
    }
    if (cpu && os) {
        km_judge_say(j, KM_REASON_FOR, "platform", "made for %s on %s, as here", v->cpu, v->os);
        return;
    }
    if (!cpu)
        km_judge_say(j, KM_REASON_AGAINST, "cpu", "made for %s; the processor here is %s", v->cpu,
                     s->cpu);
    if (!os)
        km_judge_say(j, KM_REASON_AGAINST, "os", "made for %s; the system here is %s", v->os,
                     s->os);
    km_judge_impossible(j);
}

static void want_torch(struct judge *j, const char *relation, unsigned major, unsigned minor)
{
    j->c->fix.torch = km_arena_printf(j->a, "torch%s%u.%u%s", relation, major, minor,
                                      strcmp(relation, "==") == 0 ? ".*" : "");
    j->c->fix.cost += KM_COST_TORCH;
}

static void one_torch(struct judge *j, const km_variant *v)
{
    const km_system *s = j->s;

    if (!s->torch.count || v->major != s->torch.part[0] || v->minor != s->torch.part[1]) {
        km_judge_say(j, KM_REASON_AGAINST, "torch",
                     "made for torch %u.%u alone; here it is %s (a stable-ABI variant would take "
                     "newer ones)",
                     v->major, v->minor, km_version_text(j->a, &s->torch));
        want_torch(j, "==", v->major, v->minor);
    } else {
        km_judge_say(j, KM_REASON_FOR, "torch", "made for torch %u.%u, as here", v->major,
                     v->minor);
    }
    if (!v->cxx)
        return;
    if (strcmp(s->os, "linux") == 0 && s->torch.count && s->cxx11_abi == (v->cxx == 11)) {
        km_judge_say(j, KM_REASON_FOR, "cxx-abi", "the C++ ABI is cxx%u, as torch's", v->cxx);
        return;
    }
    km_judge_say(j, KM_REASON_AGAINST, "cxx-abi",
                 "made for the C++ ABI cxx%u, which torch here "
                 "has not",
                 v->cxx);
    if (v->cxx == 11)
        want_torch(j, "==", v->major, v->minor);
    else
        km_judge_impossible(j);
}

static void framework(struct judge *j, const km_variant *v)
{
    const km_system *s = j->s;
    km_version least = { 2, { v->major, v->minor } };

    if (v->kind == KM_VARIANT_TORCH) {
        one_torch(j, v);
    } else if (v->kind == KM_VARIANT_STABLE) {
        if (s->torch.count && km_version_compare(&s->torch, &least) >= 0) {
            km_judge_say(j, KM_REASON_FOR, "torch", "needs torch %u.%u or newer; here it is %s",
                         v->major, v->minor, km_version_text(j->a, &s->torch));
            return;
        }
        km_judge_say(j, KM_REASON_AGAINST, "torch", "needs torch %u.%u or newer; here it is %s",
                     v->major, v->minor, km_version_text(j->a, &s->torch));
        want_torch(j, ">=", v->major, v->minor);
    } else {
        bool same = s->tvm_ffi.count && km_version_compare(&s->tvm_ffi, &least) == 0;
        km_judge_say(j, same ? KM_REASON_FOR : KM_REASON_AGAINST, "tvm-ffi",
                     "made for tvm-ffi %u.%u alone; here it is %s", v->major, v->minor,
                     km_version_text(j->a, &s->tvm_ffi));
        if (!same)
            km_judge_fix(j, KM_COST_PIP, "pip install 'apache-tvm-ffi==%u.%u.*'", v->major,
                         v->minor);
    }
}

/* The client can be asked for the CPU; where there is a GPU that is hardly what is wanted. */
static void want_cpu(struct judge *j)
{
    bool gpu = j->s->gpu_count || j->s->driver > 0;

    km_judge_fix(j, gpu ? KM_COST_UNWANTED : KM_COST_ARGUMENT,
                 "python3 -c \"import kernels, pathlib; "
                 "kernels.get_local_kernel(pathlib.Path('%s'), backend='cpu')\"",
                 j->root);
}

/* A torch for `compute`, and the driver that this torch needs. */
static void want_compute(struct judge *j, const char *compute)
{
    km_system other = *j->s;

    if (strcmp(compute, "cpu") == 0) {
        want_cpu(j);
        return;
    }
    if (!km_system_set_backend(&other, compute) ||
        (!other.cuda_major && !km_starts_with(compute, "rocm") &&
         !km_starts_with(compute, "xpu"))) {
        km_judge_impossible(j);
        return;
    }
    j->c->fix.compute = km_arena_strdup(j->a, compute);
    j->c->fix.cost += j->s->driver == KM_DRIVER_NONE ? KM_COST_UNWANTED : KM_COST_COMPUTE;
    if (other.cuda_major == j->s->cuda_major)
        return;
    j->choosing = false; /* the client does not ask for it */
    km_judge_driver(j, km_driver_for_cuda(other.cuda_major),
                    km_arena_printf(j->a, "torch for CUDA %u", other.cuda_major));
    j->choosing = true;
}

static void compute(struct judge *j, const km_variant *v)
{
    const km_system *s = j->s;

    if (s->cuda_major && v->cuda_major) {
        bool fits = v->cuda_major == s->cuda_major && v->cuda_minor <= s->cuda_minor;
        km_judge_say(j, fits ? KM_REASON_FOR : KM_REASON_AGAINST, "cuda",
                     "needs torch for CUDA %u.%u or a newer %u.x; here it is for %u.%u",
                     v->cuda_major, v->cuda_minor, v->cuda_major, s->cuda_major, s->cuda_minor);
        if (!fits)
            want_compute(j, v->compute);
        return;
    }
    if (strcmp(v->compute, s->backend) != 0) {
        km_judge_say(j, KM_REASON_AGAINST, "backend",
                     strcmp(v->compute, "cpu") == 0
                         ? "made for %s; torch here is for %s, and the client falls back to no "
                           "other"
                         : "made for %s; torch here is for %s",
                     v->compute, s->backend);
        want_compute(j, v->compute);
        return;
    }
    km_judge_say(j, KM_REASON_FOR, "backend", "made for %s, as torch here", v->compute);
    if (strcmp(v->compute, "metal") == 0 && (!s->macos.count || s->macos.part[0] < METAL_MACOS)) {
        km_judge_say(j, KM_REASON_AGAINST, "macos", "Metal kernels need macOS %d; here it is %s",
                     METAL_MACOS, km_version_text(j->a, &s->macos));
        km_judge_impossible(j);
    }
}

static void noarch(struct judge *j, const km_variant *v)
{
    char text[16];
    const char *family = km_system_family(j->s->backend, text);

    if (strcmp(v->compute, "universal") == 0) {
        km_judge_say(j, KM_REASON_FOR, "backend",
                     "holds no compiled code and is for every backend");
    } else if (strcmp(v->compute, family) == 0) {
        km_judge_say(j, KM_REASON_FOR, "backend",
                     "holds no compiled code and is for %s, as torch "
                     "here",
                     family);
    } else {
        km_judge_say(j, KM_REASON_AGAINST, "backend", "made for %s; torch here is for %s",
                     v->compute, j->s->backend);
        want_compute(j, strcmp(v->compute, "cuda") == 0   ? "cu130"
                        : strcmp(v->compute, "rocm") == 0 ? "rocm71"
                        : strcmp(v->compute, "xpu") == 0  ? "xpu20253"
                                                          : v->compute);
    }
}

/* _sort_variants: stable ABI (the newest first), one torch (without a tag first), tvm-ffi and
 * noarch, universal; then the higher minor of the backend. */
static void set_key(km_candidate *c, const km_variant *v)
{
    int *key = c->key, minor = v->cuda_major ? (int)v->cuda_minor : 0;

    switch (v->kind) {
    case KM_VARIANT_STABLE:
        key[1] = -(int)v->major;
        key[2] = -(int)v->minor;
        break;
    case KM_VARIANT_TORCH:
        key[0] = 1;
        key[2] = v->cxx != 0;
        break;
    case KM_VARIANT_TVM_FFI:
        key[0] = 2;
        break;
    case KM_VARIANT_NOARCH:
        key[0] = 2;
        key[3] = strcmp(v->compute, "universal") == 0;
        return;
    }
    key[3] = -minor;
}

void km_judge_variant(struct judge *j, const km_variant *v)
{
    j->choosing = true;
    if (v->kind == KM_VARIANT_NOARCH) {
        noarch(j, v);
    } else {
        place(j, v);
        framework(j, v);
        compute(j, v);
        if (j->c->fix.torch && !j->c->fix.compute && strcmp(v->compute, "cpu") != 0)
            /* not every torch is made for every CUDA; `v` is gone when the fix is written */
            j->c->fix.compute = km_arena_strdup(j->a, v->compute);
    }
    j->choosing = false;
    set_key(j->c, v);
}
