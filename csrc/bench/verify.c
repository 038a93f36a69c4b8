#include "bench/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/dtype.h"

#include <kernmill/tensor.h>

struct view {
    void *data;
    int64_t count, ndim;
    const int64_t *sizes, *strides;
    int dtype;
};

static struct view view_of(const km_torch *t, km_torch_tensor tensor)
{
    struct view v = { .dtype = km_torch_dtype(t, tensor) };
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

static bool is_dense(const struct view *v)
{
    int64_t step = 1;

    for (int64_t i = v->ndim; i-- > 0;) {
        if (v->sizes[i] != 1 && v->strides[i] != step)
            return false;
        step *= v->sizes[i];
    }
    return true;
}

static size_t bytes_of(const struct view *v)
{
    return (size_t)v->count * km_dtype_bytes((km_dtype)v->dtype);
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

int km_verify(const km_torch *t, km_torch_tensor got, km_torch_tensor want, double *error_ulp,
              km_err *err)
{
    enum { CHUNK = 4096 };
    struct view g = view_of(t, got), w = view_of(t, want);
    double values[CHUNK], epsilon = km_dtype_epsilon(g.dtype), scale;
    const double *reference = w.data;

    *error_ulp = INFINITY;
    if (g.ndim != w.ndim || memcmp(g.sizes, w.sizes, (size_t)g.ndim * sizeof *g.sizes) != 0)
        return km_fail(err, KM_EFORMAT, "a result has other sizes than the reference's");
    if (!g.dtype || w.dtype != KM_FLOAT64 || !is_dense(&g) || !is_dense(&w))
        return km_fail(err, KM_EFORMAT, "a result's dtype or layout is not compared");
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
    struct view v = view_of(t, tensor);

    if (!v.dtype || !is_dense(&v))
        return km_fail(err, KM_EFORMAT, "a result's dtype or layout is not compared");
    memset(v.data, 0xff, bytes_of(&v)); /* in every float type a NaN */
    return 0;
}

uint64_t km_tensor_hash(const km_torch *t, km_torch_tensor tensor)
{
    struct view v = view_of(t, tensor);
    size_t n = bytes_of(&v);
    uint64_t hash = 0xcbf29ce484222325, word;

    for (size_t at = 0; at < n; at += sizeof word) {
        word = 0;
        memcpy(&word, (const char *)v.data + at, n - at < sizeof word ? n - at : sizeof word);
        hash = (hash ^ word) * 0x100000001b3;
    }
    return hash;
}
