#include "bench/gpu_values.h"

static uint64_t word_at(const km_gpu *g, size_t word)
{
    return g->scratch + word * sizeof(uint64_t);
}

int km_gpu_fill(const km_gpu *g, const km_suite_input *in, uint64_t to, int dtype, uint64_t count,
                uint64_t seed, km_err *err)
{
    int kind = in->values == KM_VALUES_NORMAL ? 0 : in->values == KM_VALUES_UNIFORM ? 1 : 2;
    double low = kind ? in->low : 0, high = kind ? in->high : 1;
    void *arguments[] = { &to, &count, &dtype, &kind, &low, &high, &seed };

    return km_gpu_run_over(g, KM_DEVICE_FILL, count, arguments, err);
}

int km_gpu_widen(const km_gpu *g, uint64_t to, uint64_t from, int dtype, uint64_t count,
                 km_err *err)
{
    void *arguments[] = { &to, &from, &count, &dtype };

    return km_gpu_run_over(g, KM_DEVICE_WIDEN, count, arguments, err);
}

int km_gpu_squares(const km_gpu *g, uint64_t values, uint64_t count, size_t word, km_err *err)
{
    uint64_t sum = word_at(g, word);
    void *arguments[] = { &sum, &values, &count };

    return km_gpu_run_over(g, KM_DEVICE_SQUARES, count, arguments, err);
}

int km_gpu_compare(const km_gpu *g, uint64_t got, int dtype, uint64_t want, uint64_t count,
                   size_t squares, size_t word, km_err *err)
{
    uint64_t worst = word_at(g, word), sum = word_at(g, squares);
    double epsilon = km_dtype_epsilon(dtype);
    void *arguments[] = { &worst, &got, &want, &count, &dtype, &epsilon, &sum };

    return km_gpu_run_over(g, KM_DEVICE_COMPARE, count, arguments, err);
}

int km_gpu_hash(const km_gpu *g, uint64_t from, uint64_t bytes, size_t word, km_err *err)
{
    uint64_t sum = word_at(g, word);
    void *arguments[] = { &sum, &from, &bytes };

    return km_gpu_run_over(g, KM_DEVICE_HASH, (bytes + 7) / 8, arguments, err);
}
