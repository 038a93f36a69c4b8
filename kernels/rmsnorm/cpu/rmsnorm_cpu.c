/* RMSNorm on the CPU: one source of row loops (rows.h), compiled for several instruction sets and
 * chosen when first used; rows are shared out over torch's threads.
 *
 * Bits are the same on every level: the loops fix the order of every sum, and multiplications and
 * additions are never fused.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../rmsnorm.h"

#define BLOCK          1024  /* columns summed in float before a double takes over */
#define GRAIN_ELEMENTS 16384 /* elements worth a thread */

/* Rows in one partial sum of dweight: at most 64 parts, whatever the number of threads. */
static int64_t rows_of_part(int64_t rows)
{
    return rows <= 64 * 64 ? 64 : (rows + 63) / 64;
}

#define KM_ISA baseline
#define KM_TARGET
#include "rows.h"
#undef KM_ISA
#undef KM_TARGET

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#define KM_ISA    avx2
#define KM_TARGET __attribute__((target("avx2,f16c")))
#define KM_AVX2
#include "rows.h"
#undef KM_ISA
#undef KM_TARGET
#undef KM_AVX2

static bool cpu_has_avx2(void)
{
    unsigned a, b, c, d, low, high;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX) || !(c & bit_F16C))
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6) /* the operating system saves the upper halves */
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}
#endif

typedef struct {
    void (*forward)(int64_t, int64_t, void *);
    void (*backward)(int64_t, int64_t, void *);
    void (*add_parts)(int64_t, int64_t, void *);
} level;

static const level *choose_level(void)
{
    static const level baseline = { forward_rows_baseline, backward_parts_baseline,
                                    add_parts_baseline };
#ifdef __x86_64__
    static const level avx2 = { forward_rows_avx2, backward_parts_avx2, add_parts_avx2 };
    const char *asked = getenv("KERNMILL_CPU_ISA"); /* "x86-64" keeps to the baseline */
    if (!(asked && strcmp(asked, "x86-64") == 0) && cpu_has_avx2())
        return &avx2;
#endif
    return &baseline;
}

static const level *chosen_level(void)
{
    static _Atomic(const level *) chosen;
    const level *l = atomic_load_explicit(&chosen, memory_order_relaxed);

    if (!l) {
        l = choose_level();
        atomic_store_explicit(&chosen, l, memory_order_relaxed);
    }
    return l;
}

static int64_t grain(int64_t columns)
{
    return columns < GRAIN_ELEMENTS ? GRAIN_ELEMENTS / columns : 1;
}

void rms_norm_forward_cpu(const rms_norm_forward *f)
{
    km_parallel_for(f->rows, grain(f->columns), chosen_level()->forward, (void *)(uintptr_t)f);
}

int64_t rms_norm_parts_cpu(int64_t rows)
{
    int64_t each = rows_of_part(rows);

    return (rows + each - 1) / each;
}

void rms_norm_backward_cpu(const rms_norm_backward *b)
{
    const level *l = chosen_level();
    int64_t parts = rms_norm_parts_cpu(b->rows);

    km_parallel_for(parts, grain(b->columns * rows_of_part(b->rows)), l->backward,
                    (void *)(uintptr_t)b);
    if (b->dweight)
        km_parallel_for(b->columns, grain(parts), l->add_parts, (void *)(uintptr_t)b);
}
