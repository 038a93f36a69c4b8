/* pkg/torch_symbols.h: which torch has which C function of the stable interface. */
#ifndef KERNMILL_PKG_TORCH_SYMBOLS_H
#define KERNMILL_PKG_TORCH_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *name;
    unsigned minor; /* torch 2.<minor> is the first known to export it; 10 may mean older */
    bool cuda;      /* by libtorch_cuda, which a CPU torch lacks, instead of libtorch_cpu */
} km_torch_symbol;

/* The oldest and newest minor versions that were looked at. */
#define KM_TORCH_MINOR_OLDEST 10
#define KM_TORCH_MINOR_NEWEST 15

/* NULL when no torch that was looked at exports `name`. */
const km_torch_symbol *km_torch_symbol_find(const char *name);

/* All of them, sorted by name. */
const km_torch_symbol *km_torch_symbols(size_t *count);

#endif
