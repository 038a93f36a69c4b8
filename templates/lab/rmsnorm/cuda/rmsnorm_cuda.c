#include <kernmill/launch.h>

#include "../params.h"
#include "../rmsnorm.h"

KM_IMAGE(rmsnorm)
static km_function rmsnorm_rows = KM_FUNCTION("rmsnorm_rows");

int rmsnorm_cuda(km_call *c, const rmsnorm *r)
{
    int64_t blocks = (r->rows + ROWS - 1) / ROWS;
    int vectors = (int)(r->columns / 4);
    km_launch how = { .grid = { (unsigned)blocks, 1, 1 }, .block = { THREADS, 1, 1 } };
    void *arguments[] = { (void *)&r->y,    (void *)&r->x, (void *)&r->weight,
                          (void *)&r->rows, &vectors,      (void *)&r->eps };

    if (blocks > INT32_MAX)
        return km_error(c, "%lld rows are too many for one launch", (long long)r->rows);
    return km_launch_kernel(c, &rmsnorm_image, &rmsnorm_rows, &how, arguments);
}
