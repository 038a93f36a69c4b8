/* formats/cubin.h: what a cubin holds. A cubin is an ELF file of NVIDIA's machine; each entry point
 * (a
 * __global__ function) has its code in a section `.text.<name>`, and so has each device function
 * that was not inlined, which is told apart by the lack of a `.nv.constant0.<name>` section for its
 * parameters. */
#ifndef KERNMILL_FORMATS_CUBIN_H
#define KERNMILL_FORMATS_CUBIN_H

#include <stddef.h>

#include "core/err.h"

/* How many entry points the cubin of `size` bytes at `data` has; `name` is what errors call the
 * file. Errors: KM_EFORMAT when it is no cubin. */
int km_cubin_count_entries(const void *data, size_t size, const char *name, size_t *count,
                           km_err *err);

#endif
