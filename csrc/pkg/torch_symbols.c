#include "pkg/torch_symbols.h"

#include <stdlib.h>
#include <string.h>

static const km_torch_symbol symbols[] = {
#include "pkg/torch_symbols.inc"
};

#define COUNT (sizeof symbols / sizeof symbols[0])

static int by_name(const void *key, const void *symbol)
{
    return strcmp(key, ((const km_torch_symbol *)symbol)->name);
}

const km_torch_symbol *km_torch_symbol_find(const char *name)
{
    return bsearch(name, symbols, COUNT, sizeof symbols[0], by_name);
}

const km_torch_symbol *km_torch_symbols(size_t *count)
{
    *count = COUNT;
    return symbols;
}
