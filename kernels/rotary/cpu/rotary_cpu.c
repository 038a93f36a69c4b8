/* Rotary embedding on the CPU: one source of loops (rows.h), compiled for several instruction sets
 * and chosen when first used; positions are shared out over torch's threads.
 *
 * Bits are the same on every level: the loops fix the order of every sum, and multiplications and
 * additions are never fused.
 */
#include <math.h>
#include <string.h>

#include "../rotary.h"

#include <kernmill/isa.h>

#define GRAIN_ELEMENTS 16384 /* elements worth a thread */

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

void rotary_cpu(const rotary_call *r)
{
    int64_t elements = (r->x[0].heads + r->x[1].heads) * r->columns;
    int64_t grain = elements < GRAIN_ELEMENTS ? GRAIN_ELEMENTS / (elements + 1) + 1 : 1;
    void (*rotate)(int64_t, int64_t, void *) = rotate_positions_baseline;

#ifdef KM_HAS_AVX2_CODE
    if (km_isa_avx2())
        rotate = rotate_positions_avx2;
#endif
    km_parallel_for(r->batch * r->length, grain, rotate, (void *)(uintptr_t)r);
}
