#include "../launch.h"

#include <kernmill/launch.h>

KM_IMAGE(launch)
static km_function reverse = KM_FUNCTION("reverse"), cluster_sum = KM_FUNCTION("cluster_sum"),
                   slow_step = KM_FUNCTION("slow_step");

int reverse_cuda(km_call *c, float *y, const float *x, int64_t count)
{
    int n = (int)count;
    km_launch how = { .grid = { 1, 1, 1 },
                      .block = { 256, 1, 1 },
                      .shared_bytes = (unsigned)count * sizeof(float) };
    void *arguments[] = { &y, &x, &n };

    return km_launch_kernel(c, &launch_image, &reverse, &how, arguments);
}

int cluster_sum_cuda(km_call *c, float *y, const float *x, unsigned blocks, unsigned cluster)
{
    km_launch how = { .grid = { blocks, 1, 1 }, .block = { 256, 1, 1 } };
    void *arguments[] = { &y, &x };

    if (cluster > 0) {
        how.cluster[0] = cluster;
        how.cluster[1] = how.cluster[2] = 1;
    }
    return km_launch_kernel(c, &launch_image, &cluster_sum, &how, arguments);
}

int slow_steps_cuda(km_call *c, float *y, int64_t count, int64_t steps, bool programmatic)
{
    int n = (int)count;
    km_launch how = { .grid = { (unsigned)((count + 127) / 128), 1, 1 },
                      .block = { 128, 1, 1 },
                      .programmatic = programmatic };
    void *arguments[] = { &y, &n };

    for (int64_t i = 0; i < steps; i++)
        if (km_launch_kernel(c, &launch_image, &slow_step, &how, arguments) < 0)
            return KM_FAILED;
    return 0;
}
