/* An operator library that launches through kernmill/launch.h; drive_launch.c calls it through
 * mocks of torch and of the CUDA driver. */
#include <kernmill/launch.h>

const unsigned char km_fatbin_first[] = "the first image", km_fatbin_second[] = "the second";

KM_IMAGE(first)
KM_IMAGE(second)

static km_function plain = KM_FUNCTION("plain"), large = KM_FUNCTION("large"),
                   other = KM_FUNCTION("other");

static unsigned unsigned_at(km_call *c, int i)
{
    return (unsigned)km_arg_int(c, i);
}

/* (Tensor x, int blocks, int shared_bytes, int cluster, bool programmatic) */
static int launch(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    unsigned cluster = unsigned_at(c, 3);
    km_launch how = { .grid = { unsigned_at(c, 1), 2, 3 },
                      .block = { 256, 1, 1 },
                      .cluster = { cluster, cluster > 0, cluster > 0 },
                      .shared_bytes = unsigned_at(c, 2),
                      .programmatic = km_arg_bool(c, 4) };
    void *data = x->data, *arguments[] = { &data };

    return km_launch_kernel(c, &first_image, how.shared_bytes || cluster ? &large : &plain, &how,
                            arguments);
}
KM_KERNEL(launch)

/* A kernel of another image. */
static int launch_other(km_call *c)
{
    km_launch how = { .grid = { 1, 1, 1 }, .block = { 32, 1, 1 } };

    (void)km_arg_tensor(c, 0);
    return km_launch_kernel(c, &second_image, &other, &how, NULL);
}
KM_KERNEL(launch_other)

/* Says what km_call_device knows, as an error. */
static int device(km_call *c)
{
    const km_device *d = km_call_device(c);

    if (!d)
        return KM_FAILED;
    return km_error(c, "device %d: sm_%d, %d multiprocessors, %d bytes", d->index, d->sm,
                    d->sm_count, d->shared_bytes);
}
KM_KERNEL(device)

static const km_op ops[] = {
    { "launch(Tensor x, int blocks, int shared_bytes, int cluster, bool programmatic) -> ()",
      .cpu = &launch_kernel, .cuda = &launch_kernel },
    { "launch_other(Tensor x) -> ()", .cuda = &launch_other_kernel },
    { "device(Tensor x) -> ()", .cuda = &device_kernel },
};
KM_OPS(ops)
