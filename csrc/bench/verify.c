#include "bench/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/dtype.h"
#include "bench/gpu_values.h"

#include <kernmill/op.h>

km_view km_view_of(const km_torch *t, km_torch_tensor tensor)
{
    km_view v = { .dtype = km_torch_dtype(t, tensor) };
    int64_t *sizes = NULL, *strides = NULL;

    t->aoti_torch_get_numel(tensor, &v.count);
    t->aoti_torch_get_dim(tensor, &v.ndim);
    t->aoti_torch_get_sizes(tensor, &sizes);
    t->aoti_torch_get_strides(tensor, &strides);
    t->torch_get_mutable_data_ptr(tensor, &v.data);
    v.sizes = sizes;
    v.strides = strides;
    return v;
}

bool km_view_is_dense(const km_view *v)
{
    int64_t step = 1;

    if (!v->dtype)
        return false;
    for (int64_t i = v->ndim; i-- > 0;) {
        if (v->sizes[i] != 1 && v->strides[i] != step)
            return false;
        step *= v->sizes[i];
    }
    return true;
}

uint64_t km_view_extent(const km_view *v)
{
    return km_layout_extent(v->ndim, v->sizes, v->strides);
}

size_t km_view_bytes(const km_view *v)
{
    return km_view_extent(v) * km_dtype_bytes((km_dtype)v->dtype);
}

const char *km_view_mismatch(const km_view *got, const km_view *want)
{
    if (got->ndim != want->ndim ||
        memcmp(got->sizes, want->sizes, (size_t)got->ndim * sizeof *got->sizes) != 0)
        return "a result has other sizes than the reference's";
    if (!km_view_is_dense(got) || !km_view_is_dense(want) || want->dtype != KM_FLOAT64)
        return "a result's dtype or layout is not compared";
    return NULL;
}

const char *km_dtype_mismatch(km_arena *a, const km_torch *t, km_torch_tensor got,
                              km_torch_tensor like)
{
    int dtype = km_torch_dtype(t, got), wanted = like ? km_torch_dtype(t, like) : dtype;

    return dtype == wanted
               ? NULL
               : km_arena_printf(a, "a result is %s, the reference's %s",
                                 km_dtype_name((km_dtype)dtype), km_dtype_name((km_dtype)wanted));
}

bool km_shares_memory(const km_torch *t, const km_torch_tensor *results,
                      const km_torch_tensor *inputs, size_t count)
{
    for (int k = 0; k < KM_RETURNS_MAX && results[k]; k++)
        for (size_t i = 0; i < count; i++) {
            km_view r = km_view_of(t, results[k]), in = km_view_of(t, inputs[i]);
            uintptr_t at = (uintptr_t)r.data, from = (uintptr_t)in.data;
            if (r.count && at >= from && at < from + km_view_bytes(&in))
                return true;
        }
    return false;
}

static double root_mean_square(const double *x, int64_t count)
{
    double sum = 0;

    for (int64_t i = 0; i < count; i++)
        if (isfinite(x[i]))
            sum += x[i] * x[i];
    return sqrt(sum / (double)(count ? count : 1));
}

static double error_of(double got, double want, double epsilon, double scale)
{
    double size = fabs(want) > scale ? fabs(want) : scale;

    if (!isfinite(got) || !isfinite(want))
        return (isnan(got) && isnan(want)) || got == want ? 0 : INFINITY;
    if (got == want)
        return 0;
    return epsilon > 0 && size > 0 ? fabs(got - want) / (epsilon * size) : INFINITY;
}

static int verify_on_gpu(const km_gpu *g, const km_view *got, const km_view *want,
                         double *error_ulp, km_err *err)
{
    uint64_t from = (uint64_t)(uintptr_t)got->data, with = (uint64_t)(uintptr_t)want->data;
    uint64_t count = (uint64_t)got->count, words[2];

    if (km_gpu_wait(g, err) < 0 || km_gpu_clear_scratch(g, err) < 0 ||
        km_gpu_squares(g, with, count, 0, err) < 0 ||
        km_gpu_compare(g, from, got->dtype, with, count, 0, 1, err) < 0 ||
        km_gpu_read_scratch(g, words, 2, err) < 0)
        return err->code;
    memcpy(error_ulp, &words[1], sizeof words[1]);
    return 0;
}

int km_verify(const km_torch *t, km_torch_tensor got, km_torch_tensor want, double *error_ulp,
              km_err *err)
{
    enum { CHUNK = 4096 };
    km_view g = km_view_of(t, got), w = km_view_of(t, want);
    double values[CHUNK], epsilon = km_dtype_epsilon(g.dtype), scale;
    const char *mismatch = km_view_mismatch(&g, &w);
    const double *reference = w.data;

    *error_ulp = INFINITY;
    if (mismatch)
        return km_fail(err, KM_EFORMAT, "%s", mismatch);
    if (t->gpu)
        return verify_on_gpu(t->gpu, &g, &w, error_ulp, err);
    *error_ulp = 0;
    scale = root_mean_square(reference, w.count);
    for (int64_t at = 0; at < g.count; at += CHUNK) {
        size_t n = (size_t)(g.count - at < CHUNK ? g.count - at : CHUNK);
        const char *from = (const char *)g.data + (size_t)at * km_dtype_bytes((km_dtype)g.dtype);
        km_dtype_widen(g.dtype, from, values, n);
        for (size_t i = 0; i < n; i++) {
            double e = error_of(values[i], reference[(size_t)at + i], epsilon, scale);
            *error_ulp = e > *error_ulp ? e : *error_ulp;
        }
    }
    return 0;
}

int km_poison(const km_torch *t, km_torch_tensor tensor, km_err *err)
{
    km_view v = km_view_of(t, tensor);

    if (!km_view_is_dense(&v))
        return km_fail(err, KM_EFORMAT, "a result's dtype or layout is not compared");
    if (t->gpu)
        return km_gpu_check(t->gpu,
                            t->gpu->cuMemsetD8Async((uint64_t)(uintptr_t)v.data, 0xff,
                                                    km_view_bytes(&v), t->gpu->stream),
                            "poisoning results", err);
    memset(v.data, 0xff, km_view_bytes(&v)); /* in every float type a NaN */
    return 0;
}

uint64_t km_tensor_hash(const km_torch *t, km_torch_tensor tensor)
{
    km_view v = km_view_of(t, tensor);
    size_t n = km_view_bytes(&v);
    uint64_t hash = 0xcbf29ce484222325, word;

    for (size_t at = 0; at < n; at += sizeof word) {
        word = 0;
        memcpy(&word, (const char *)v.data + at, n - at < sizeof word ? n - at : sizeof word);
        hash = (hash ^ word) * 0x100000001b3;
    }
    return hash;
}
