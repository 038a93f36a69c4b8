/* rmsnorm.h: y = x / sqrt(mean(x^2) + eps) * weight over rows of `columns` floats. */
#ifndef RMSNORM_H
#define RMSNORM_H

#include <kernmill/op.h>

typedef struct {
    float *y;
    const float *x, *weight;
    int64_t rows, columns;
    float eps;
} rmsnorm;

void rmsnorm_cpu(const rmsnorm *r);

/* Launches on the call's stream; 0 or KM_FAILED. */
int rmsnorm_cuda(km_call *c, const rmsnorm *r);

#endif
