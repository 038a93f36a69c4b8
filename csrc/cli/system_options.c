#include "cli/system_options.h"

int km_cli_system(const km_system_options *o, km_system *out, km_err *err)
{
    int rc = km_system_find(out, err);

    return rc == 0 ? km_system_describe(out, o, err) : rc;
}

static json_t *text_or_null(km_arena *a, const km_version *v)
{
    return v->count ? json_string(km_version_text(a, v)) : json_null();
}

static json_t *gpus_json(const km_system *s)
{
    json_t *list = s->gpus_known ? json_array() : json_null();

    for (size_t i = 0; i < s->gpu_count; i++)
        json_array_append_new(list, json_sprintf("%u.%u", s->gpus[i] / 10, s->gpus[i] % 10));
    return list;
}

json_t *km_cli_system_json(km_arena *a, const km_system *s)
{
    json_t *driver = s->driver == KM_DRIVER_UNKNOWN ? json_null()
                     : s->driver == KM_DRIVER_NONE  ? json_string("none")
                                                    : json_sprintf("%d", s->driver);

    return json_pack(
        "{s:s,s:s,s:o,s:o,s:o,s:o,s:b,s:o,s:s,s:s,s:o,s:o,s:o,s:o}", "os", s->os, "cpu", s->cpu,
        "x86_level", s->x86_level ? json_integer(s->x86_level) : json_null(), "glibc",
        text_or_null(a, &s->glibc), "macos", text_or_null(a, &s->macos), "python",
        text_or_null(a, &s->python), "free_threaded", s->free_threaded, "torch",
        text_or_null(a, &s->torch), "backend", s->backend, "cxx_abi",
        s->cxx11_abi ? "cxx11" : "cxx98", "tvm_ffi", text_or_null(a, &s->tvm_ffi), "kernels",
        text_or_null(a, &s->kernels), "driver", driver, "gpus", gpus_json(s));
}
