/* cuda/rotary_args.h: the kernels' arguments, one struct by value; shared by the C that launches
 * and the device code. Strides and offsets in elements. */
#ifndef KERNMILL_ROTARY_ARGS_H
#define KERNMILL_ROTARY_ARGS_H

/* long long and int rather than stdint.h's names, which the run-time compiler does not have. */

/* Queries, or keys; strides of batch, position and head. */
typedef struct {
    const void *from;
    void *to;
    long long from_gap, to_gap; /* bytes from the first half to the second */
    const void *weight;         /* norm kernels only */
    long long from_strides[3], to_strides[3];
} rotary_heads_args;

typedef struct {
    rotary_heads_args q, k;
    int q_heads, heads; /* of q, and of both */
    const void *cos, *sin;
    long long cos_strides[2], sin_strides[2]; /* of batch and position */
    long long second;                         /* as in rotary.h */
    const void *positions;                    /* or NULL */
    long long table_rows;                     /* with positions */
    long long batch, length;
    long long columns, half;
    long long pair_slots; /* a thread's work: so many times some pairs */
    long long slots;      /* and after those, some elements that pass through */
    int long_positions;   /* int64 rather than int32 */
    int float_table;      /* cos and sin are float32, whatever x is */
    int conj, round_products;
    int streaming; /* stores leave the caches first */
    /* norm kernels only */
    int float_weight; /* weights are float32, whatever x is */
    int round_norm;
    float inverse_columns; /* 1 / columns */
    float eps, weight_offset;
} rotary_args;

#endif
