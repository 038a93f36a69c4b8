/* bench/images.h: the device code that the measured libraries bring, and which kernels are in it.
 *
 * A library whose kernels are not in its own `.nv_fatbin` section has them from elsewhere: from
 * torch, from a compiler at run time, or from an image that is hidden in it. That is no mistake by
 * itself, but nobody takes it for granted. */
#ifndef KERNMILL_BENCH_IMAGES_H
#define KERNMILL_BENCH_IMAGES_H

#include "bench/gpu.h"

#define KM_IMAGES_MAX 1024 /* beyond that, the rest is not read */

typedef struct {
    km_cu_module modules[KM_IMAGES_MAX];
    size_t count;
} km_images;

/* Adds the images of the shared library at `path`; one that has none, or none that the driver
 * takes, adds nothing. */
void km_images_add(km_images *images, const km_gpu *g, const char *path);

/* Whether any has an entry point of that name. */
bool km_images_have(const km_images *images, const km_gpu *g, const char *kernel);

#endif
