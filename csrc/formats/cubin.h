/* formats/cubin.h: what a cubin holds. A cubin is an ELF file of NVIDIA's machine; each entry point
 * (a __global__ function) has its code in a section `.text.<name>`, and so has each device function
 * that was not inlined, which is told apart by the lack of a `.nv.constant0.<name>` section for its
 * parameters. */
#ifndef KERNMILL_FORMATS_CUBIN_H
#define KERNMILL_FORMATS_CUBIN_H

#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"

/* Adds the names of the entry points of the cubin of `size` bytes at `data`, copied into `a`, to
 * the *count that `names` has already, which has room for KM_CUBIN_ENTRIES_MAX; `name` is what
 * errors call the file. Errors: KM_EFORMAT when it is no cubin, KM_ELIMIT. */
int km_cubin_entries(km_arena *a, const void *data, size_t size, const char *name,
                     const char **names, size_t *count, km_err *err);

#endif
