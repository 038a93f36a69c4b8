/* RMSNorm on the CPU: one source of row loops (rows.h), compiled for several instruction sets and
 * chosen when first used; rows are shared out over torch's threads.
 *
 * Bits are the same on every level: the loops fix the order of every sum, and multiplications and
 * additions are never fused.
 */
#include <math.h>
#include <string.h>

#include "../rmsnorm.h"

#include <kernmill/isa.h>

#define BLOCK          1024  /* columns summed in float before a double takes over */
#define GRAIN_ELEMENTS 16384 /* elements worth a thread */

/* Rows in one partial sum of dweight, whatever the number of threads: a float holds the sum
 * of so many, and doubles add what they give. The partial sums take a 256th of what dy takes
 * in float32. */
static int64_t rows_of_part(int64_t rows)
{
    int64_t each = (rows + 63) / 64;

    return each < 64 ? 64 : each < 256 ? each : 256;
}

#define KM_ISA baseline
#define KM_TARGET
#include "rows.h"
#undef KM_ISA
#undef KM_TARGET

#ifdef KM_HAS_AVX2_CODE
#define KM_ISA    avx2
#define KM_TARGET KM_AVX2_TARGET
#define KM_AVX2
#include "rows.h"
#undef KM_ISA
#undef KM_TARGET
#undef KM_AVX2
#endif

typedef struct {
    void (*forward)(int64_t, int64_t, void *);
    void (*backward)(int64_t, int64_t, void *);
    void (*add_parts)(int64_t, int64_t, void *);
} level;

static const level *chosen_level(void)
{
    static const level baseline = { forward_rows_baseline, backward_parts_baseline,
                                    add_parts_baseline };
#ifdef KM_HAS_AVX2_CODE
    static const level avx2 = { forward_rows_avx2, backward_parts_avx2, add_parts_avx2 };

    if (km_isa_avx2())
        return &avx2;
#endif
    return &baseline;
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
