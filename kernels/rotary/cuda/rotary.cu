/* Rotary embedding of queries and keys, in one launch.
 *
 * Bytes:  2*D*sizeof(x) a head (read once, written once; in place 2*R, what is rotated); a row of
 *         the tables a position, which its heads share through the caches.
 *
 * Bound:  memory for thousands of positions; launch, ramp and drain below.
 *
 * Bits:   a pair is rotated by one thread, products and sums rounded one by one, by vectors or
 *         element by element: there is nothing that the rest of the launch could change.
 *
 * Why:    a thread takes a vector of x1 and the vector of x2 that belongs to it, so that all loads
 *         are whole and nothing is exchanged. Threads run over vectors, then heads, then
 *         positions: a block shares the rows of its tables, and few positions still make many
 *         threads. The block's three dimensions are these three, which saves every division. Four
 *         blocks of 320 threads with 48 registers, and all loads under way before the first is
 *         used: 230 us at 32768 positions, 301 us with three of 56 (H100, 32 and 8 heads of 128
 *         bfloat16; a copy takes 222).
 *
 * Entry points: rotary_<halves or pairs>_<dtype>[_any]; _any is for what is not made of whole
 * aligned vectors. The readable form of what they compute is cpu/rows.h.
 */
#include "rotate.cuh"

/* Slot `slot` of a head: a vector's pairs, or a vector that passes through. */
template <class T, class TABLE, bool PAIRS> struct vectors {
    static constexpr bool loops = false; /* a thread has one slot of one batch */
    static constexpr int N = lanes<T>::value, M = lanes<TABLE>::value;

    static __device__ __forceinline__ void rotate_slot(const rotary_args &a, const head_rows<T> &h,
                                                       long long batch, long long row,
                                                       long long slot)
    {
        const long long at = slot * N, first = PAIRS ? 2 * at : at;
        packed_pairs<T, N, PAIRS> x;

        x.load(h.from + first, PAIRS ? h.from + first + N : h.from_second(a) + at);
        if (!PAIRS && a.second)
            rotate_all<!PAIRS>(a, x, batch, row, at);
        else
            rotate_all<false>(a, x, batch, row, at);
        x.store(h.to + first, PAIRS ? h.to + first + N : h.to_second(a) + at, a.streaming);
    }

    /* All angles are asked for before the first is used, unless they take half a thread's
     * registers. */
    template <bool SECOND>
    static __device__ __forceinline__ void rotate_all(const rotary_args &a,
                                                      packed_pairs<T, N, PAIRS> &x, long long batch,
                                                      long long row, long long at)
    {
        constexpr int PARTS = N / M, AHEAD = SECOND ? 1 : PARTS;
        packed_angles<TABLE, SECOND> of[AHEAD];

#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            if (part % AHEAD == 0)
#pragma unroll
                for (int i = 0; i < AHEAD; i++)
                    of[i].load(a, batch, row, at + (part + i) * M);
            if (part == PARTS - AHEAD)
                let_successor_start();
            rotate_part(a, x, part * M, of[part % AHEAD]);
        }
    }

    template <bool SECOND>
    static __device__ __forceinline__ void rotate_part(const rotary_args &a,
                                                       packed_pairs<T, N, PAIRS> &x, int from,
                                                       const packed_angles<TABLE, SECOND> &of)
    {
#pragma unroll
        for (int k = 0; k < M; k += 2) {
            float x1[2], x2[2];
            angles<2> t;
            x.get(x1, x2, from + k);
            of.get(t, k, a.conj);
            rotate<T>(x1, x2, t, a.round_products);
            x.put(from + k, x1, x2);
        }
    }

    static __device__ __forceinline__ void pass_slot(const rotary_args &a, const head_rows<T> &h,
                                                     long long slot)
    {
        const long long at = 2 * a.half + (slot - a.pair_slots) * lanes<T>::value;
        const uint4 v = load_16(h.from + at);

        let_successor_start();
        store_16(h.to + at, v, a.streaming);
    }
};

/* The same of one pair, or one element. */
template <class T, class, bool PAIRS> struct elements {
    static constexpr bool loops = true;

    static __device__ __forceinline__ void rotate_slot(const rotary_args &a, const head_rows<T> &h,
                                                       long long batch, long long row,
                                                       long long slot)
    {
        const long long at = PAIRS ? 2 * slot : slot;
        float x1[1], x2[1];
        angles<1> t;

        load(x1, h.from + at);
        load(x2, PAIRS ? h.from + at + 1 : h.from_second(a) + at);
        load_angles<T, PAIRS>(t, a, batch, row, slot);
        let_successor_start();
        rotate<T>(x1, x2, t, a.round_products);
        store(h.to + at, x1);
        store(PAIRS ? h.to + at + 1 : h.to_second(a) + at, x2);
    }

    static __device__ __forceinline__ void pass_slot(const rotary_args &a, const head_rows<T> &h,
                                                     long long slot)
    {
        const long long at = 2 * a.half + slot - a.pair_slots;

        h.to[at] = load_one(h.from + at);
    }
};

template <class T, class SLOT>
__device__ __forceinline__ void rotate_head(const rotary_args &a, long long position, int head)
{
    const long long row = table_row(a, position);
    long long batch = blockIdx.z;

    do {
        const head_rows<T> h = rows_of<T>(a, batch, position, head);
        long long slot = threadIdx.x;
        do {
            if (slot < a.pair_slots)
                SLOT::rotate_slot(a, h, batch, row, slot);
            else
                SLOT::pass_slot(a, h, slot);
            slot += blockDim.x;
        } while (SLOT::loops && slot < a.slots);
        batch += gridDim.z;
    } while (SLOT::loops && batch < a.batch);
}

template <class T, template <class, class, bool> class SLOT, bool PAIRS>
__device__ __forceinline__ void rotary(const rotary_args &a)
{
    const long long position = (long long)blockIdx.x * blockDim.z + threadIdx.z;
    const int head = blockIdx.y * blockDim.y + threadIdx.y;

    wait_for_predecessor();
    if (position >= a.length || head >= a.heads)
        return;
    if (sizeof(T) == sizeof(float) || a.float_table)
        rotate_head<T, SLOT<T, float, PAIRS>>(a, position, head);
    else
        rotate_head<T, SLOT<T, T, PAIRS>>(a, position, head);
}

#define ROTARY(name, T, slot, pairs)                                                               \
    extern "C" __global__ void __launch_bounds__(320, 4) rotary_##name(rotary_args a)              \
    {                                                                                              \
        rotary<T, slot, pairs>(a);                                                                 \
    }

#define ROTARY_DTYPE(dtype, T)                                                                     \
    ROTARY(halves_##dtype, T, vectors, false)                                                      \
    ROTARY(pairs_##dtype, T, vectors, true)                                                        \
    ROTARY(halves_##dtype##_any, T, elements, false)                                               \
    ROTARY(pairs_##dtype##_any, T, elements, true)

ROTARY_DTYPE(f32, float)
ROTARY_DTYPE(f16, half_t)
ROTARY_DTYPE(bf16, bfloat_t)
