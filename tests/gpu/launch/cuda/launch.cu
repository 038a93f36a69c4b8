/* The smallest kernels that cannot do without one attribute of their launch.
 *
 * Bytes:  few.
 * Bound:  launch; slow_step: its own clock.
 */
extern "C" __global__ void reverse(float *y, const float *x, int count)
{
    extern __shared__ float values[];

    for (int i = threadIdx.x; i < count; i += blockDim.x)
        values[i] = x[i];
    __syncthreads();
    for (int i = threadIdx.x; i < count; i += blockDim.x)
        y[i] = values[count - 1 - i];
}

/* Each block adds its row up; then every block reads the sums of its cluster where they are: in the
 * other blocks' shared memory. Without clusters the launch has a cluster of one. */
extern "C" __global__ void cluster_sum(float *y, const float *x)
{
#if __CUDA_ARCH__ >= 900
    __shared__ float sum;
    unsigned here = (unsigned)__cvta_generic_to_shared(&sum), ranks, there;
    float total = 0, part;

    if (threadIdx.x == 0)
        sum = 0;
    __syncthreads();
    atomicAdd(&sum, x[(long long)blockIdx.x * blockDim.x + threadIdx.x]);
    asm volatile("barrier.cluster.arrive.aligned;\n barrier.cluster.wait.aligned;" ::: "memory");
    asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(ranks));
    for (unsigned rank = 0; rank < ranks; rank++) {
        asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(rank));
        asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(part) : "r"(there) : "memory");
        total += part;
    }
    if (threadIdx.x == 0)
        y[blockIdx.x] = total;
    /* no block may end while another reads its shared memory */
    asm volatile("barrier.cluster.arrive.aligned;\n barrier.cluster.wait.aligned;" ::: "memory");
#endif
}

/* Lets its successor start at once, and writes late: right only if the successor waits. */
extern "C" __global__ void slow_step(float *y, int count)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;

#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
    for (int turn = 0; turn < 20; turn++)
        __nanosleep(500);
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
    if (i < count)
        y[i] += 1;
}
