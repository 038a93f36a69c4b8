/* cpu/loops.h: the loops of activation_cpu.c, compiled once for each instruction set
 * (kernmill/isa.h). Piece i of a matrix is the columns of row i / pieces from
 * i % pieces * PIECE on.
 */
#include "math.h"

typedef struct {
    const void *dy, *gate, *up; /* dy in the backward; up may be NULL */
    void *y, *dgate, *dup;
    int64_t columns;
    bool round_act;
} ISA(piece_of_row);

VEC_FN void ISA(forward_vector)(const ISA(piece_of_row) * p, km_dtype dtype, act_kind kind,
                                int64_t at, int64_t n)
{
    vec x, y;

    ISA(load)(&x, dtype, p->gate, at, n);
    ISA(activate)(&y, &x, dtype, kind);
    if (p->up) {
        if (p->round_act)
            ISA(round_to)(&y, dtype);
        ISA(load)(&x, dtype, p->up, at, n);
        y *= x;
    }
    ISA(store)(dtype, p->y, at, n, &y);
}

VEC_FN void ISA(backward_vector)(const ISA(piece_of_row) * p, km_dtype dtype, act_kind kind,
                                 int64_t at, int64_t n)
{
    vec dy, x, up, act, slope;

    ISA(load)(&dy, dtype, p->dy, at, n);
    ISA(load)(&x, dtype, p->gate, at, n);
    ISA(slope_of)(&slope, &x, kind);
    if (p->up) {
        ISA(load)(&up, dtype, p->up, at, n);
        ISA(activate)(&act, &x, dtype, kind);
        if (p->round_act)
            ISA(round_to)(&act, dtype);
        act *= dy;
        dy *= up;
        ISA(store)(dtype, p->dup, at, n, &act);
    }
    dy *= slope;
    ISA(store)(dtype, p->dgate, at, n, &dy);
}

#define EACH_VECTOR(function)                                                                      \
    VEC_FN void ISA(function##_piece)(const ISA(piece_of_row) * p, km_dtype dtype, act_kind kind)  \
    {                                                                                              \
        int64_t i = 0;                                                                             \
        for (; i + VEC_LANES <= p->columns; i += VEC_LANES)                                        \
            ISA(function##_vector)(p, dtype, kind, i, VEC_LANES);                                  \
        if (i < p->columns)                                                                        \
            ISA(function##_vector)(p, dtype, kind, i, p->columns - i);                             \
    }
EACH_VECTOR(forward)
EACH_VECTOR(backward)
#undef EACH_VECTOR

/* The loops, with dtype and kind made constants. */
#define EACH_KIND(dtype, kind, CALL)                                                               \
    do {                                                                                           \
        if ((kind) == ACT_SILU)                                                                    \
            CALL(dtype, ACT_SILU);                                                                 \
        else if ((kind) == ACT_GELU)                                                               \
            CALL(dtype, ACT_GELU);                                                                 \
        else if ((kind) == ACT_GELU_TANH)                                                          \
            CALL(dtype, ACT_GELU_TANH);                                                            \
        else                                                                                       \
            CALL(dtype, ACT_QUICK_GELU);                                                           \
    } while (0)
#define EACH_DTYPE(dtype, kind, CALL)                                                              \
    do {                                                                                           \
        if ((dtype) == KM_FLOAT32)                                                                 \
            EACH_KIND(KM_FLOAT32, kind, CALL);                                                     \
        else if ((dtype) == KM_BFLOAT16)                                                           \
            EACH_KIND(KM_BFLOAT16, kind, CALL);                                                    \
        else                                                                                       \
            EACH_KIND(KM_FLOAT16, kind, CALL);                                                     \
    } while (0)

KM_TARGET static void ISA(forward_pieces)(int64_t begin, int64_t end, void *context)
{
    const act_forward *f = context;
    int64_t pieces = pieces_of(f->columns);

    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / pieces, from = i % pieces * PIECE, left = f->columns - from;
        ISA(piece_of_row)
        p = { .gate = input_at(&f->gate, f->dtype, row, from),
              .up = input_at(&f->up, f->dtype, row, from),
              .y = output_at(&f->y, f->dtype, row, from),
              .columns = left < PIECE ? left : PIECE,
              .round_act = f->round_act };
#define FORWARD(t, k) ISA(forward_piece)(&p, t, k)
        EACH_DTYPE(f->dtype, f->kind, FORWARD);
#undef FORWARD
    }
}

KM_TARGET static void ISA(backward_pieces)(int64_t begin, int64_t end, void *context)
{
    const act_backward *b = context;
    int64_t pieces = pieces_of(b->columns);

    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / pieces, from = i % pieces * PIECE, left = b->columns - from;
        ISA(piece_of_row)
        p = { .dy = input_at(&b->dy, b->dtype, row, from),
              .gate = input_at(&b->gate, b->dtype, row, from),
              .up = input_at(&b->up, b->dtype, row, from),
              .dgate = output_at(&b->dgate, b->dtype, row, from),
              .dup = output_at(&b->dup, b->dtype, row, from),
              .columns = left < PIECE ? left : PIECE,
              .round_act = b->round_act };
#define BACKWARD(t, k) ISA(backward_piece)(&p, t, k)
        EACH_DTYPE(b->dtype, b->kind, BACKWARD);
#undef BACKWARD
    }
}

#undef EACH_DTYPE
#undef EACH_KIND
