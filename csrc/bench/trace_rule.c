#include "bench/trace_rule.h"

#include <math.h>

static void add_one(km_rule_sum *s, km_trace_format format, const km_trace_bounds *b, double got,
                    double want)
{
    double off = fabs(got - want), size = fabs(want), relative;
    bool in;

    s->count++;
    if (!isfinite(got) || !isfinite(want)) {
        s->nan |= isnan(got) || isnan(want);
        s->inf |= isinf(got) || isinf(want);
        s->beyond++;
        return;
    }
    if (format == KM_TRACE_SOL) {
        relative = off > 0 ? off / (size > b->atol ? size : b->atol) : 0;
        in = off <= b->atol + b->rtol * size;
    } else {
        relative = off / (size + 1e-8);
        in = off <= b->atol || relative <= b->rtol;
    }
    s->beyond += !in;
    s->something |= got != 0;
    s->something_wanted |= want != 0;
    s->max_absolute = off > s->max_absolute ? off : s->max_absolute;
    s->max_relative = relative > s->max_relative ? relative : s->max_relative;
}

void km_rule_add(km_rule_sum *s, km_trace_format format, const km_trace_bounds *b,
                 const double *got, const double *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!b->allow_negative_inf || got[i] != -INFINITY || want[i] != -INFINITY)
            add_one(s, format, b, got[i], want[i]);
}

double km_rule_matched(const km_rule_sum *s)
{
    return s->count ? 1 - (double)s->beyond / (double)s->count : 1;
}

bool km_rule_holds(const km_rule_sum *s, km_trace_format format, const km_trace_bounds *b)
{
    if (s->nan || s->inf || km_rule_matched(s) < b->matched)
        return false;
    if (b->cap > 0 && s->max_absolute > b->cap)
        return false;
    return format != KM_TRACE_SOL || s->something || !s->something_wanted;
}
