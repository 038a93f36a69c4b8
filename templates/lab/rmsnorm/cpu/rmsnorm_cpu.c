/* One row is summed and written by one thread; a task is ROWS rows at least. */
#include <math.h>

#include "../params.h"
#include "../rmsnorm.h"

#define LANES (8 * VECTORS)

static float sum_of_squares(const float *x, int64_t n)
{
    float lane[LANES] = { 0 }, sum = 0;
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += x[i + k] * x[i + k];
    for (int k = 0; k < LANES; k++)
        sum += lane[k];
    for (; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

static void run(int64_t begin, int64_t end, void *context)
{
    const rmsnorm *r = context;

    for (int64_t row = begin; row < end; row++) {
        const float *x = r->x + row * r->columns;
        float *y = r->y + row * r->columns;
        float scale = 1.0f / sqrtf(sum_of_squares(x, r->columns) / (float)r->columns + r->eps);
        for (int64_t i = 0; i < r->columns; i++) {
            if (PREFETCH && row + 1 < end && i % 16 == 0)
                __builtin_prefetch(x + r->columns + i);
            y[i] = x[i] * scale * r->weight[i];
        }
    }
}

void rmsnorm_cpu(const rmsnorm *r)
{
    km_parallel_for(r->rows, ROWS, run, (void *)r);
}
