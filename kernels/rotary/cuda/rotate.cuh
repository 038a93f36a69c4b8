/* cuda/rotate.cuh: what all kernels do with some pairs of a head.
 *
 * PAIRS: the elements of a pair lie side by side, else in the halves of what is rotated. A slot is
 * what a thread takes at once: N pairs, which have a 16-byte vector in each of two places, or one.
 */
#ifndef KERNMILL_ROTATE_CUH
#define KERNMILL_ROTATE_CUH

#include <kernmill/row.cuh>
#include <kernmill/vec.cuh>

#include "rotary_args.h"

/* One head of one position. Where its second halves are is looked up when it is asked for: it is
 * the same for all threads but for the choice between q and k. */
template <class T> struct head_rows {
    const T *from;
    T *to;
    bool key;

    __device__ __forceinline__ const T *from_second(const rotary_args &a) const
    {
        return (const T *)((const char *)from + (key ? a.k.from_gap : a.q.from_gap));
    }

    __device__ __forceinline__ T *to_second(const rotary_args &a) const
    {
        return (T *)((char *)to + (key ? a.k.to_gap : a.q.to_gap));
    }
};

__device__ __forceinline__ long long offset(const long long (&strides)[3], long long batch,
                                            long long position, int head)
{
    return batch * strides[0] + position * strides[1] + head * strides[2];
}

/* Heads count through q's and then k's. */
template <class T>
__device__ __forceinline__ head_rows<T> rows_of(const rotary_args &a, long long batch,
                                                long long position, int head)
{
    const bool key = head >= a.q_heads;
    const rotary_heads_args &x = key ? a.k : a.q;
    const int h = key ? head - a.q_heads : head;

    return { (const T *)x.from + offset(x.from_strides, batch, position, h),
             (T *)x.to + offset(x.to_strides, batch, position, h), key };
}

/* Which row of the tables a position reads; -1 when there is none. */
__device__ __forceinline__ long long table_row(const rotary_args &a, long long position)
{
    if (!a.positions)
        return position;
    long long row;
    if (a.long_positions)
        asm volatile("ld.global.b64 %0, [%1];"
                     : "=l"(row)
                     : "l"((const long long *)a.positions + position)
                     : "memory");
    else
        row = __float_as_int(load_one((const float *)a.positions + position));
    return row >= 0 && row < a.table_rows ? row : -1;
}

/* N pairs of a head or of its weight: N elements in each of two places, which adjoin with PAIRS. */
template <class T, int N, bool PAIRS> struct packed_pairs {
    static constexpr int L = lanes<T>::value, V = N / L;
    packed<T> v[2 * V]; /* the first place's, and then the second's */

    __device__ __forceinline__ void load(const T *p, const T *q)
    {
#pragma unroll
        for (int i = 0; i < V; i++) {
            v[i].load(p + i * L);
            v[V + i].load(q + i * L);
        }
    }

    __device__ __forceinline__ void store(T *p, T *q, bool streaming) const
    {
#pragma unroll
        for (int i = 0; i < V; i++) {
            v[i].store(p + i * L, streaming);
            v[V + i].store(q + i * L, streaming);
        }
    }

    /* Pairs k and k + 1; k is even. */
    __device__ __forceinline__ void get(float (&x1)[2], float (&x2)[2], int k) const
    {
        if constexpr (PAIRS) {
            float a[2], b[2];
            v[2 * k / L].get(a, 2 * k % L);
            v[(2 * k + 2) / L].get(b, (2 * k + 2) % L);
            x1[0] = a[0];
            x1[1] = b[0];
            x2[0] = a[1];
            x2[1] = b[1];
        } else {
            v[k / L].get(x1, k % L);
            v[V + k / L].get(x2, k % L);
        }
    }

    __device__ __forceinline__ void put(int k, const float (&x1)[2], const float (&x2)[2])
    {
        if constexpr (PAIRS) {
            const float a[2] = { x1[0], x2[0] }, b[2] = { x1[1], x2[1] };
            v[2 * k / L].put(2 * k % L, a);
            v[(2 * k + 2) / L].put((2 * k + 2) % L, b);
        } else {
            v[k / L].put(k % L, x1);
            v[V + k / L].put(k % L, x2);
        }
    }
};

/* cos and sin of some pairs: [0] for y1, [1] for y2. */
template <int N> struct angles {
    float cos[2][N], sin[2][N];

    /* The rotation becomes its transpose. */
    __device__ __forceinline__ void turn_back()
    {
#pragma unroll
        for (int k = 0; k < N; k++) {
            const float s = sin[0][k];
            sin[0][k] = -sin[1][k];
            sin[1][k] = -s;
        }
    }
};

__device__ __forceinline__ long long cos_offset(const rotary_args &a, long long batch,
                                                long long row)
{
    return batch * a.cos_strides[0] + row * a.cos_strides[1];
}

__device__ __forceinline__ long long sin_offset(const rotary_args &a, long long batch,
                                                long long row)
{
    return batch * a.sin_strides[0] + row * a.sin_strides[1];
}

/* Those of as many pairs as a vector of TABLE has elements. SECOND: y2 may have angles of its own.
 * Turned back, each of y1 and y2 takes the other's sine, with the other sign. */
template <class TABLE, bool SECOND> struct packed_angles {
    static constexpr int N = lanes<TABLE>::value;
    packed<TABLE> cos[1 + SECOND], sin[1 + SECOND];

    /* From pair `at` of a row; without a row, NaN. */
    __device__ __forceinline__ void load(const rotary_args &a, long long batch, long long row,
                                         long long at)
    {
        const TABLE *c = (const TABLE *)a.cos + cos_offset(a, batch, row) + at;
        const TABLE *s = (const TABLE *)a.sin + sin_offset(a, batch, row) + at;

#pragma unroll
        for (int i = 0; i <= SECOND; i++) {
            if (row < 0) {
                cos[i].fill(__int_as_float(0x7fffffff));
                sin[i].fill(__int_as_float(0x7fffffff));
            } else {
                cos[i].load(c + (i ? a.second : 0));
                sin[i].load(s + (SECOND && i == !a.conj ? a.second : 0));
            }
        }
    }

    __device__ __forceinline__ void get(angles<2> &t, int k, int conj) const
    {
        const unsigned sign = conj ? 0x80000000 : 0;

#pragma unroll
        for (int i = 0; i < 2; i++) {
            cos[SECOND && i].get(t.cos[i], k);
            sin[SECOND && i].get(t.sin[i], k);
#pragma unroll
            for (int j = 0; j < 2; j++)
                t.sin[i][j] = __uint_as_float(__float_as_uint(t.sin[i][j]) ^ sign);
        }
    }
};

/* Those of pair `at`; without a row, NaN. */
template <class T, bool PAIRS>
__device__ __forceinline__ void load_angles(angles<1> &t, const rotary_args &a, long long batch,
                                            long long row, long long at)
{
    const long long cos = cos_offset(a, batch, row) + at, sin = sin_offset(a, batch, row) + at;
    const long long second = PAIRS ? 0 : a.second;

    if (row < 0) {
        t.cos[0][0] = t.cos[1][0] = t.sin[0][0] = t.sin[1][0] = __int_as_float(0x7fffffff);
        return;
    }
    load_weight<T>(t.cos[0], a.cos, a.float_table, cos);
    load_weight<T>(t.sin[0], a.sin, a.float_table, sin);
    load_weight<T>(t.cos[1], a.cos, a.float_table, cos + second);
    load_weight<T>(t.sin[1], a.sin, a.float_table, sin + second);
    if (a.conj)
        t.turn_back();
}

/* (x1, x2) becomes (y1, y2). Products and sums must not be fused: each is rounded by itself. */
template <class T, int N>
__device__ __forceinline__ void rotate(float (&x1)[N], float (&x2)[N], const angles<N> &t,
                                       int round_products)
{
    float p[N], q[N], y1[N];

#pragma unroll
    for (int k = 0; k < N; k++) {
        p[k] = __fmul_rn(x1[k], t.cos[0][k]);
        q[k] = __fmul_rn(x2[k], t.sin[0][k]);
    }
    if (round_products) {
        round_to<T>(p);
        round_to<T>(q);
    }
#pragma unroll
    for (int k = 0; k < N; k++) {
        y1[k] = __fsub_rn(p[k], q[k]);
        p[k] = __fmul_rn(x2[k], t.cos[1][k]);
        q[k] = __fmul_rn(x1[k], t.sin[1][k]);
    }
    if (round_products) {
        round_to<T>(p);
        round_to<T>(q);
    }
#pragma unroll
    for (int k = 0; k < N; k++) {
        x2[k] = __fadd_rn(p[k], q[k]);
        x1[k] = y1[k];
    }
}

#endif
