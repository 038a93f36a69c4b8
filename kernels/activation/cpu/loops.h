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

/* One vector between the loops. In the backward the slope's, and the value's where that is used and
 * differs. */
typedef struct {
    ISA(begun) value, slope;
} ISA(between);

VEC_FN bool ISA(has_both)(const ISA(piece_of_row) * p, km_dtype dtype, act_kind kind)
{
    return p->up && ISA(wants_half_exp)(dtype, kind);
}

VEC_FN void ISA(forward_begin)(ISA(between) * b, const ISA(piece_of_row) * p, km_dtype dtype,
                               act_kind kind, int64_t at, int64_t n)
{
    vec x;

    ISA(load)(&x, dtype, p->gate, at, n);
    ISA(begin)(&b->value, &x, dtype, kind, true);
}

VEC_FN void ISA(forward_go_on)(ISA(between) * b, const ISA(piece_of_row) * p, km_dtype dtype,
                               act_kind kind, int64_t at, int64_t n)
{
    (void)p, (void)at, (void)n;
    ISA(go_on)(&b->value, dtype, kind, true);
}

/* 16-bit types, which have roundings to come, make the activation here, and leave it in value.e. */
VEC_FN void ISA(forward_settle)(ISA(between) * b, const ISA(piece_of_row) * p, km_dtype dtype,
                                act_kind kind, int64_t at, int64_t n)
{
    vec x;

    if (dtype == KM_FLOAT32)
        return;
    ISA(load)(&x, dtype, p->gate, at, n);
    ISA(activate)(&b->value.e, &x, &b->value, dtype, kind);
}

VEC_FN void ISA(forward_vector)(const ISA(between) * b, const ISA(piece_of_row) * p, km_dtype dtype,
                                act_kind kind, int64_t at, int64_t n)
{
    vec x, y = b->value.e;

    if (dtype == KM_FLOAT32) {
        ISA(load)(&x, dtype, p->gate, at, n);
        ISA(activate)(&y, &x, &b->value, dtype, kind);
    }
    if (p->up) {
        if (p->round_act)
            ISA(round_to)(&y, dtype);
        ISA(load)(&x, dtype, p->up, at, n);
        y *= x;
    }
    ISA(store)(dtype, p->y, at, n, &y);
}

VEC_FN void ISA(backward_begin)(ISA(between) * b, const ISA(piece_of_row) * p, km_dtype dtype,
                                act_kind kind, int64_t at, int64_t n)
{
    vec x;

    ISA(load)(&x, dtype, p->gate, at, n);
    ISA(begin)(&b->slope, &x, dtype, kind, false);
    if (ISA(has_both)(p, dtype, kind))
        ISA(begin)(&b->value, &x, dtype, kind, true);
}

VEC_FN void ISA(backward_go_on)(ISA(between) * b, const ISA(piece_of_row) * p, km_dtype dtype,
                                act_kind kind, int64_t at, int64_t n)
{
    (void)at, (void)n;
    ISA(go_on)(&b->slope, dtype, kind, false);
    if (ISA(has_both)(p, dtype, kind))
        ISA(go_on)(&b->value, dtype, kind, true);
}

VEC_FN void ISA(backward_settle)(ISA(between) * b, const ISA(piece_of_row) * p, km_dtype dtype,
                                 act_kind kind, int64_t at, int64_t n)
{
    (void)b, (void)p, (void)dtype, (void)kind, (void)at, (void)n;
}

VEC_FN void ISA(backward_vector)(const ISA(between) * b, const ISA(piece_of_row) * p,
                                 km_dtype dtype, act_kind kind, int64_t at, int64_t n)
{
    const ISA(begun) *value = ISA(wants_half_exp)(dtype, kind) ? &b->value : &b->slope;
    vec dy, x, up, act, slope;

    ISA(load)(&dy, dtype, p->dy, at, n);
    ISA(load)(&x, dtype, p->gate, at, n);
    ISA(slope_of)(&slope, &x, &b->slope, kind);
    if (p->up) {
        ISA(load)(&up, dtype, p->up, at, n);
        ISA(activate)(&act, &x, value, dtype, kind);
        if (p->round_act)
            ISA(round_to)(&act, dtype);
        act *= dy;
        dy *= up;
        ISA(store)(dtype, p->dup, at, n, &act);
    }
    dy *= slope;
    ISA(store)(dtype, p->dgate, at, n, &dy);
}

/* STAGE columns through each of the loops. */
#define EACH_VECTOR_ONCE(function)                                                                 \
    for (i = from, k = 0; i + VEC_LANES <= to; i += VEC_LANES)                                     \
        ISA(function)(&held[k++], p, dtype, kind, i, VEC_LANES);                                   \
    if (i < to)                                                                                    \
    ISA(function)(&held[k], p, dtype, kind, i, to - i)
#define EACH_VECTOR(function)                                                                      \
    VEC_FN void ISA(function##_piece)(const ISA(piece_of_row) * p, km_dtype dtype, act_kind kind)  \
    {                                                                                              \
        ISA(between) held[STAGE / VEC_LANES];                                                      \
        for (int64_t from = 0, to, i, k; from < p->columns; from = to) {                           \
            to = from + STAGE < p->columns ? from + STAGE : p->columns;                            \
            EACH_VECTOR_ONCE(function##_begin);                                                    \
            EACH_VECTOR_ONCE(function##_go_on);                                                    \
            EACH_VECTOR_ONCE(function##_settle);                                                   \
            EACH_VECTOR_ONCE(function##_vector);                                                   \
        }                                                                                          \
    }
EACH_VECTOR(forward)
EACH_VECTOR(backward)
#undef EACH_VECTOR
#undef EACH_VECTOR_ONCE

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
