/* core/template.h: text with {{keys}}: what `init`, _ops.py and cards are made from. An unknown key
 * is an error, as is one that is never closed. */
#ifndef KERNMILL_CORE_TEMPLATE_H
#define KERNMILL_CORE_TEMPLATE_H

#include "core/err.h"
#include "core/str.h"

typedef struct {
    const char *key;
    const char *value;
} km_template_value;

/* Appends the expansion; `values` ends with a NULL key; `name` is what errors call the template. */
int km_template_expand(const char *text, const char *name, const km_template_value *values,
                       km_str *out, km_err *err);

/* As km_template_expand, from a file. */
int km_template_expand_file(const char *path, const km_template_value *values, km_str *out,
                            km_err *err);

#endif
