#include "bench/report.h"

#include <math.h>
#include <stdio.h>

#include <kernmill/tensor.h>

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_string(value > 0 ? "inf" : "nan");
}

static json_t *call_json(const km_cell_result *r, const km_call_result *c)
{
    json_t *samples = json_array(), *call;
    bool timed = c->median_us > 0;

    for (size_t i = 0; timed && i < r->rounds; i++)
        json_array_append_new(samples, json_real(c->samples_us[i]));
    call = json_pack("{s:s,s:s,s:s?,s:o,s:o}", "name", c->call->name, "state",
                     km_call_state_names[c->state], "why", c->why, "error_ulp",
                     number(c->error_ulp), "samples_us", samples);
    if (call && timed)
        json_object_set_new(call, "median_us", json_real(c->median_us));
    if (call && timed && c->ratio.rounds) {
        json_object_set_new(call, "ratio",
                            json_pack("{s:f,s:f,s:f}", "median", c->ratio.median, "low",
                                      c->ratio.low, "high", c->ratio.high));
        json_object_set_new(call, "verdict", json_string(km_verdict_names[c->verdict]));
    }
    return call;
}

json_t *km_cell_json(const km_cell_result *r)
{
    json_t *shape = json_object(), *calls = json_array();
    const km_suite_op *op = r->cell.op;
    char seed[24];

    for (size_t i = 0; i < op->axis_count; i++)
        json_object_set_new(shape, op->axes[i], json_integer((json_int_t)r->cell.shape[i]));
    for (size_t i = 0; i < op->call_count; i++)
        json_array_append_new(calls, call_json(r, &r->results[i]));
    snprintf(seed, sizeof seed, "%016llx", (unsigned long long)r->seed);
    return json_pack("{s:s,s:o,s:s,s:s,s:f,s:f,s:I,s:I,s:I,s:I,s:s,s:i,s:o}", "op", op->name,
                     "shape", shape, "dtype", km_dtype_name((km_dtype)r->cell.dtype), "device",
                     "cpu", "bytes", r->bytes, "flops", r->flops, "sets", (json_int_t)r->sets,
                     "cache_bytes", (json_int_t)r->cache_bytes, "rounds", (json_int_t)r->rounds,
                     "calls_a_sample", (json_int_t)r->calls_a_sample, "seed", seed, "threads",
                     (int)r->threads, "calls", calls);
}
