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

/* One head of one position. */
template <class T> struct head_rows {
    const T *from, *from_second;
    T *to, *to_second;
};

__device__ __forceinline__ long long offset(const long long (&strides)[3], long long batch,
                                            long long position, int head)
{
    return batch * strides[0] + position * strides[1] + head * strides[2];
}

template <class T>
__device__ __forceinline__ head_rows<T> rows_in(const rotary_heads_args &x, long long batch,
                                                long long position, int head)
{
    const long long from = offset(x.from_strides, batch, position, head);
    const long long to = offset(x.to_strides, batch, position, head);

    return { (const T *)x.from + from, (const T *)x.from_second + from, (T *)x.to + to,
             (T *)x.to_second + to };
}

/* Heads count through q's and then k's. */
template <class T>
__device__ __forceinline__ head_rows<T> rows_of(const rotary_args &a, long long batch,
                                                long long position, int head)
{
    if (head < a.q_heads)
        return rows_in<T>(a.q, batch, position, head);
    return rows_in<T>(a.k, batch, position, head - a.q_heads);
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

/* A vector as it lies in memory: unpacked two elements at a time, so that few are held as floats.
 */
template <class T> struct packed {
    unsigned w[4];

    __device__ __forceinline__ void load(const T *p)
    {
        const uint4 v = load_16(p);

        w[0] = v.x;
        w[1] = v.y;
        w[2] = v.z;
        w[3] = v.w;
    }

    __device__ __forceinline__ void store(T *p, bool streaming) const
    {
        const uint4 v = make_uint4(w[0], w[1], w[2], w[3]);

        if (streaming)
            stream_16(p, v);
        else
            store_16(p, v);
    }

    /* Two elements from an even one. */
    __device__ __forceinline__ void get(float (&out)[2], int k) const
    {
        unpack(w[k * sizeof(T) / 4], out, T{});
        if constexpr (sizeof(T) == 4)
            unpack(w[k + 1], out + 1, T{});
    }

    __device__ __forceinline__ void put(int k, const float (&in)[2])
    {
        w[k * sizeof(T) / 4] = pack(in, T{});
        if constexpr (sizeof(T) == 4)
            w[k + 1] = pack(in + 1, T{});
    }

    __device__ __forceinline__ void fill_nan()
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            w[i] = sizeof(T) == 4 ? 0x7fffffff : 0x7fff7fff;
    }
};

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

/* Those of as many pairs as a vector of TABLE has elements. */
template <class TABLE, bool PAIRS> struct packed_angles {
    packed<TABLE> cos[2], sin[2];

    /* From pair `at` of a row; without a row, NaN. */
    __device__ __forceinline__ void load(const rotary_args &a, long long batch, long long row,
                                         long long at)
    {
        const TABLE *c = (const TABLE *)a.cos + cos_offset(a, batch, row) + at;
        const TABLE *s = (const TABLE *)a.sin + sin_offset(a, batch, row) + at;

        if (row < 0) {
            cos[0].fill_nan();
            sin[0].fill_nan();
        } else {
            cos[0].load(c);
            sin[0].load(s);
        }
        if (PAIRS || !a.second || row < 0) {
            cos[1] = cos[0];
            sin[1] = sin[0];
        } else {
            cos[1].load(c + a.second);
            sin[1].load(s + a.second);
        }
    }

    __device__ __forceinline__ void get(angles<2> &t, int k, int conj) const
    {
        cos[0].get(t.cos[0], k);
        sin[0].get(t.sin[0], k);
        cos[1].get(t.cos[1], k);
        sin[1].get(t.sin[1], k);
        if (conj)
            t.turn_back();
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
