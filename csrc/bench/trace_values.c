#include "bench/trace_values.h"

#include <string.h>

#include <kernmill/op.h>

struct values {
    const char *name; /* of the input; "*_x": ends with it, or is "x" */
    const char *text; /* NULL: cannot be drawn */
};

#define UNIFORM(low, high) ", values = \"uniform\", low = " low ", high = " high

/* SOL-ExecBench's floats by name (its bench/io.py); the first that fits counts. */
static const struct values sol_values[] = {
    { "*norm_weight", UNIFORM("0.5", "1.5") },
    { "*norm_bias", UNIFORM("-0.5", "0.5") },
    { "causal_mask", NULL },
    { "attention_mask", NULL },
    { "x_mask", ", values = \"integers\", low = 0, high = 1" },
    { "text_mask", ", values = \"integers\", low = 0, high = 1" },
    { "aspect_ratio_mask", ", values = \"integers\", low = 0, high = 1" },
    { "drop_mask", ", values = \"integers\", low = 0, high = 1" },
    { "cos", UNIFORM("-1.0", "1.0") },
    { "sin", UNIFORM("-1.0", "1.0") },
    { "cos_cached", UNIFORM("-1.0", "1.0") },
    { "sin_cached", UNIFORM("-1.0", "1.0") },
    { "rope_cos", UNIFORM("-1.0", "1.0") },
    { "rope_sin", UNIFORM("-1.0", "1.0") },
    { "*rstd", UNIFORM("0.1", "2.0") },
    { "*std", UNIFORM("0.1", "2.0") },
    { "*variance", UNIFORM("0.1", "2.0") },
    { "*var", UNIFORM("0.1", "2.0") },
    { "A_cumsum", NULL },
    { "A_log", UNIFORM("-5.0", "-1.0") },
    { "A", UNIFORM("-1.0", "-0.001") },
    { "g", UNIFORM("-5.0", "0.0") },
    { "attn_weights", NULL },
    { "attention_weights", NULL },
    { "routing_weights", NULL },
};

static bool fits(const char *pattern, const char *name)
{
    size_t n = strlen(name), end = strlen(pattern) - 1;

    if (*pattern != '*')
        return strcmp(pattern, name) == 0;
    return strcmp(pattern + 1, name) == 0 ||
           (n > end && strcmp(name + n - end, pattern + 1) == 0 &&
            (name[n - end - 1] == '_' || strstr(pattern, "norm_")));
}

static const struct values *by_name(const km_trace_problem *p, const km_trace_tensor *input)
{
    if (p->format != KM_TRACE_SOL || km_dtype_epsilon(input->dtype) == 0)
        return NULL;
    for (size_t i = 0; i < sizeof sol_values / sizeof *sol_values; i++)
        if (fits(sol_values[i].name, input->name))
            return &sol_values[i];
    return NULL;
}

void km_trace_values_text(km_str *s, const km_trace_problem *p, const km_trace_tensor *input)
{
    const struct values *named = by_name(p, input);

    if (named && named->text)
        km_str_add(s, named->text);
    else if (input->dtype == KM_BOOL)
        km_str_add(s, ", values = \"integers\", low = 0, high = 1");
    else if (input->dtype == KM_INT8)
        km_str_add(s, ", values = \"integers\", low = -128, high = 127");
    else if (input->dtype == KM_UINT8)
        km_str_add(s, ", values = \"integers\", low = 0, high = 255");
    else if (km_dtype_epsilon(input->dtype) == 0)
        km_str_add(s, ", values = \"integers\", low = -1024, high = 1023");
}

const char *km_trace_values_problem(const km_trace_problem *p, const km_trace_tensor *input)
{
    const struct values *named = by_name(p, input);

    return named && !named->text ? "has values of a form that suites do not draw (a mask, sums or "
                                   "shares)"
                                 : NULL;
}
