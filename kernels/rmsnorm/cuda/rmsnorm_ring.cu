/* RMSNorm backward, aligned rows of 17 to 2048 vectors of 16 bytes: bulk copies bring the rows of a
 * group of threads into a ring in shared memory, several rows ahead.
 *
 * Bytes:  3*H*sizeof(x) a row (dy and s read, dx written), 4*H*sizeof(x) with dsum; partial sums
 *         are parts*H*4, written once and read once, mostly in L2.
 *
 * Bound:  memory for thousands of rows.
 *
 * Bits:   those of rmsnorm_backward.cu with as many threads a row: dx of a row depends on the row,
 *         its length and the dtype; a group adds its rows to dweight in their order.
 *
 * Why:    one block a multiprocessor keeps dweight in registers, and the ring keeps 64 to 128 KB
 *         on their way without a register for them: 276 us at 32768 x 4096 bfloat16, 0.96 of a
 *         copy (H100, cold). A row is read from the ring twice, so that it
 *         need not stay in registers over the reduction; its slot is refilled one row later.
 *
 * Entry points: rms_norm_ring_<dtype>_<threads>x<vectors>.
 */
#include "backward.cuh"
#include "ring.cuh"

enum { STAGES_MAX = 8 };

/* What the threads of a group share. */
template <class T> struct ring {
    unsigned char *memory; /* [stages] rows of s, dy and dsum */
    unsigned long long *full;
    unsigned row_bytes, slot_bytes;

    __device__ __forceinline__ void fill(const rms_norm_backward_args &a, int slot, long long row)
    {
        unsigned char *to = memory + slot * slot_bytes;

        expect_bytes(&full[slot], slot_bytes);
        copy_bulk(to, (const T *)a.s + row * a.s_stride, row_bytes, &full[slot]);
        copy_bulk(to + row_bytes, (const T *)a.dy + row * a.dy_stride, row_bytes, &full[slot]);
        if (a.dsum)
            copy_bulk(to + 2 * row_bytes, (const T *)a.dsum + row * a.dsum_stride, row_bytes,
                      &full[slot]);
    }

    /* One vector of s, dy (1) or dsum (2). */
    template <int N>
    __device__ __forceinline__ void read(float (&out)[N], int slot, int which, long long at) const
    {
        const unsigned char *from = memory + slot * slot_bytes + which * row_bytes;

        unpack_16(out, *(const uint4 *)(from + at * sizeof(T)), T{});
    }
};

/* What dy is multiplied by, offset + weight or 1, for all vectors of a thread: kept as floats where
 * there are registers for them, else as loaded. */
template <class T, int VECTORS, bool HELD> struct scales {
    static constexpr int N = lanes<T>::value;
    float kept[HELD ? VECTORS : 1][N];
    uint4 packed[HELD ? 1 : VECTORS];

    __device__ __forceinline__ void load_vector(const rms_norm_backward_args &a, int v,
                                                long long at)
    {
        const bool inside = a.weight && at < a.columns;

        if constexpr (HELD) {
            float w[N] = {};
            if (inside)
                load_weight<T>(w, a.weight, a.float_weight, at);
#pragma unroll
            for (int k = 0; k < N; k++)
                kept[v][k] = a.weight ? __fadd_rn(w[k], a.weight_offset) : 1.0f;
        } else {
            packed[v] = inside && (sizeof(T) == sizeof(float) || !a.float_weight)
                            ? load_16((const T *)a.weight + at)
                            : make_uint4(0, 0, 0, 0);
        }
    }

    __device__ __forceinline__ void get(float (&out)[N], const rms_norm_backward_args &a, int v,
                                        long long at) const
    {
        if constexpr (HELD) {
#pragma unroll
            for (int k = 0; k < N; k++)
                out[k] = kept[v][k];
        } else {
            if (sizeof(T) != sizeof(float) && a.float_weight && a.weight)
                load(out, (const float *)a.weight + at);
            else
                unpack_16(out, packed[v], T{});
#pragma unroll
            for (int k = 0; k < N; k++)
                out[k] = a.weight ? __fadd_rn(out[k], a.weight_offset) : 1.0f;
        }
    }
};

/* g and n of one vector: see load_pair in rmsnorm_backward.cu. */
template <class T, int N>
__device__ __forceinline__ void pair_of(float (&dy)[N], float (&n)[N], float (&g)[N],
                                        const ring<T> &r, int slot, long long at, float rstd,
                                        const float (&scale)[N])
{
    r.read(n, slot, 0, at);
    r.read(dy, slot, 1, at);
#pragma unroll
    for (int k = 0; k < N; k++) {
        g[k] = __fmul_rn(dy[k], scale[k]);
        n[k] = __fmul_rn(n[k], rstd);
    }
}

/* sum_over_row with one barrier, of the group alone; `sums` has a float for each of its warps, and
 * is another one in the next row. */
template <int ROW_THREADS>
__device__ __forceinline__ float sum_over_group(float v, float *sums, int group)
{
    v = sum_over_lanes(v, 32);
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x % ROW_THREADS / 32] = v;
    sync_group(group, ROW_THREADS);
    v = 0;
#pragma unroll
    for (int i = 0; i < ROW_THREADS / 32; i++)
        v += sums[i];
    return v;
}

template <class T, int ROW_THREADS, int VECTORS, int GROUPS>
__device__ __forceinline__ void backward_ring(const rms_norm_backward_args &a)
{
    constexpr int N = lanes<T>::value;
    extern __shared__ __align__(128) unsigned char memory[];
    __shared__ __align__(8) unsigned long long full[GROUPS][STAGES_MAX];
    __shared__ float sums[2][GROUPS][32];
    const int group = threadIdx.x / ROW_THREADS, lane = threadIdx.x % ROW_THREADS;
    const long long part = (long long)blockIdx.x * GROUPS + group;
    const long long step = (long long)gridDim.x * GROUPS;
    ring<T> r = { memory, full[group], (unsigned)(a.columns * sizeof(T)), 0 };
    float dw[VECTORS][N] = {}, rstd;
    scales<T, VECTORS, (ROW_THREADS * VECTORS < 2048)> w;
    int slot = 0, parity = 0, side = 0;

    r.slot_bytes = r.row_bytes * (a.dsum ? 3 : 2);
    r.memory += (size_t)group * a.stages * r.slot_bytes;
    if (lane == 0) {
        for (int i = 0; i < a.stages; i++)
            init_barrier(&r.full[i]);
        publish_barriers();
    }
    wait_for_predecessor();
    if (lane == 0)
        for (int i = 0; i < a.stages && part + i * step < a.rows; i++)
            r.fill(a, i, part + i * step);
#pragma unroll
    for (int v = 0; v < VECTORS; v++)
        w.load_vector(a, v, (long long)(lane + v * ROW_THREADS) * N);
    rstd = load_rstd(a, part);
    sync_group(group, ROW_THREADS); /* the barriers are there */
    for (long long row = part; row < a.rows; row += step) {
        const float next_rstd = load_rstd(a, row + step);
        float dy[N], n[N], g[N], d[N], scale[N], total = 0;
        wait_for_bytes(&r.full[slot], parity);
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            const long long at = (long long)(lane + v * ROW_THREADS) * N;
            if (at >= a.columns)
                continue;
            w.get(scale, a, v, at);
            pair_of<T>(dy, n, g, r, slot, at, rstd, scale);
            accumulate<T>(dw[v], dy, n, a.round_normalized);
            total = dot(g, n, total);
        }
        total = sum_over_group<ROW_THREADS>(total, sums[side][group], group);
        if (lane == 0 && row != part) { /* all threads are done with the row before */
            const long long next = row + (a.stages - 1) * step;
            if (next < a.rows)
                r.fill(a, slot ? slot - 1 : a.stages - 1, next);
            else
                let_successor_start();
        }
        const float mean = __fmul_rn(total, a.inverse_columns);
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            const long long at = (long long)(lane + v * ROW_THREADS) * N;
            if (!a.dx || at >= a.columns)
                continue;
            w.get(scale, a, v, at);
            pair_of<T>(dy, n, g, r, slot, at, rstd, scale);
            dx_of(g, g, n, rstd, mean);
            if (a.dsum) {
                r.read(d, slot, 2, at);
#pragma unroll
                for (int k = 0; k < N; k++)
                    g[k] += d[k];
            }
            store((T *)a.dx + row * a.dx_stride + at, g, a.streaming);
        }
        rstd = next_rstd;
        side ^= 1;
        if (++slot == a.stages) {
            slot = 0;
            parity ^= 1;
        }
    }
    if (!a.partials)
        return;
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        const long long at = (long long)(lane + v * ROW_THREADS) * N;
        if (at < a.columns)
            store(a.partials + part * a.columns + at, dw[v]);
    }
    fold_groups(a, GROUPS);
}

#if __CUDA_ARCH__ >= 900
#define RUN(T, threads, vectors, groups) backward_ring<T, threads, vectors, groups>(a)
#else
#define RUN(T, threads, vectors, groups) __trap() /* never launched */
#endif

#define RING(dtype, T, threads, vectors, groups)                                                   \
    extern "C" __global__ void __launch_bounds__((threads) * (groups), 1)                          \
        rms_norm_ring_##dtype##_##threads##x##vectors(rms_norm_backward_args a)                    \
    {                                                                                              \
        RUN(T, threads, vectors, groups);                                                          \
    }

#define RING_SHAPES(dtype, T)                                                                      \
    RING(dtype, T, 32, 2, 8)                                                                       \
    RING(dtype, T, 64, 2, 4)                                                                       \
    RING(dtype, T, 256, 2, 1)                                                                      \
    RING(dtype, T, 256, 4, 1)                                                                      \
    RING(dtype, T, 512, 4, 1)

RING_SHAPES(f32, float)
RING_SHAPES(f16, half_t)
RING_SHAPES(bf16, bfloat_t)
