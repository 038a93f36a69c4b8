/* Activations on the CPU: one source of loops (loops.h), compiled for several instruction sets and
 * chosen when first used; pieces of rows are shared out over torch's threads.
 *
 * Bits are the same on every level: multiplications and additions are never fused, and exp is our
 * own (math.h).
 */
#include <string.h>

#include "../activation.h"

#include <kernmill/isa.h>

#define PIECE          4096  /* columns taken at once: a row may be a whole tensor */
#define STAGE          256   /* columns in one loop: what is between two stays in the L1 cache */
#define GRAIN_ELEMENTS 16384 /* elements worth a thread */

static int64_t pieces_of(int64_t columns)
{
    return (columns + PIECE - 1) / PIECE;
}

static int64_t bytes_to(int64_t stride, km_dtype dtype, int64_t row, int64_t column)
{
    return (row * stride + column) * (int64_t)km_dtype_bytes(dtype);
}

static const void *input_at(const act_input *in, km_dtype dtype, int64_t row, int64_t column)
{
    return in->data ? (const char *)in->data + bytes_to(in->stride, dtype, row, column) : NULL;
}

static void *output_at(const act_output *out, km_dtype dtype, int64_t row, int64_t column)
{
    return out->data ? (char *)out->data + bytes_to(out->stride, dtype, row, column) : NULL;
}

#define KM_ISA baseline
#define KM_TARGET
#include "loops.h"
#undef KM_ISA
#undef KM_TARGET

#ifdef KM_HAS_AVX2_CODE
#define KM_ISA    avx2
#define KM_TARGET KM_AVX2_TARGET
#define KM_AVX2
#include "loops.h"
#undef KM_ISA
#undef KM_TARGET
#undef KM_AVX2
#endif

typedef struct {
    void (*forward)(int64_t, int64_t, void *);
    void (*backward)(int64_t, int64_t, void *);
} level;

static const level *chosen_level(void)
{
    static const level baseline = { forward_pieces_baseline, backward_pieces_baseline };
#ifdef KM_HAS_AVX2_CODE
    static const level avx2 = { forward_pieces_avx2, backward_pieces_avx2 };

    if (km_isa_avx2())
        return &avx2;
#endif
    return &baseline;
}

static int64_t grain(int64_t columns)
{
    int64_t piece = columns < PIECE ? columns : PIECE;

    return (GRAIN_ELEMENTS + piece - 1) / piece;
}

void act_forward_cpu(const act_forward *f)
{
    km_parallel_for(f->rows * pieces_of(f->columns), grain(f->columns), chosen_level()->forward,
                    (void *)(uintptr_t)f);
}

void act_backward_cpu(const act_backward *b)
{
    km_parallel_for(b->rows * pieces_of(b->columns), grain(b->columns), chosen_level()->backward,
                    (void *)(uintptr_t)b);
}
