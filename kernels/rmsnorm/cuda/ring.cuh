/* cuda/ring.cuh: bulk copies from global into shared memory, and the barriers that count their
 * bytes (PTX: cp.async.bulk, mbarrier; compute capability 9.0).
 */
#ifndef KERNMILL_RMSNORM_RING_CUH
#define KERNMILL_RMSNORM_RING_CUH

__device__ __forceinline__ unsigned shared_address(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

/* One arrival completes it, once the bytes that it expects are there. */
__device__ __forceinline__ void init_barrier(unsigned long long *barrier)
{
    asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
}

/* After the last init, before a copy uses a barrier. */
__device__ __forceinline__ void publish_barriers()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void expect_bytes(unsigned long long *barrier, unsigned bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}

/* Addresses and bytes are multiples of 16. */
__device__ __forceinline__ void copy_bulk(void *to, const void *from, unsigned bytes,
                                          unsigned long long *barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(barrier))
                 : "memory");
}

/* Until the barrier's phase of this parity is complete. */
__device__ __forceinline__ void wait_for_bytes(unsigned long long *barrier, unsigned parity)
{
    asm volatile("{\n\t.reg .pred done;\n"
                 "again:\n\t"
                 "mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n\t"
                 "@!done bra again;\n\t}" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

/* The threads of one group of a block; number 0 is __syncthreads'. */
__device__ __forceinline__ void sync_group(int group, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "r"(threads) : "memory");
}

#endif
