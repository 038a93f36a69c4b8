#include "bench/report.h"

#include <math.h>
#include <stdio.h>

#include "bench/trace_check.h"
#include "core/path.h"
#include "formats/json.h"

#include <kernmill/tensor.h>

static json_t *samples_json(const double *samples, size_t count)
{
    json_t *out = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(out, json_real(round(samples[i] * 1e4) / 1e4)); /* 0.1 ns */
    return out;
}

static json_t *column_json(const km_cell_result *r, const km_column *c)
{
    json_t *column = json_pack("{s:f,s:o}", "median_us", c->median_us, "samples_us",
                               samples_json(c->samples_us, r->rounds));

    if (column && c->ratio.rounds) {
        json_object_set_new(column, "ratio",
                            json_pack("{s:f,s:f,s:f}", "median", c->ratio.median, "low",
                                      c->ratio.low, "high", c->ratio.high));
        json_object_set_new(column, "verdict", json_string(km_verdict_names[c->verdict]));
    }
    return column;
}

/* SOL-ExecBench's score of a time: 0.5 at the baseline's, 1 at the speed of light
 * (arXiv 2603.19173). */
static double score(double us, double baseline_us, double light_us)
{
    if (baseline_us <= light_us)
        return us <= light_us ? 1 : 0;
    return 1 / (1 + (us - light_us) / (baseline_us - light_us));
}

/* The best cold time among the other calls that are right; 0 where there is none. */
static double best_peer_us(const km_cell_result *r, const km_call_result *c)
{
    double best = 0;

    for (size_t i = 0; i < r->cell.op->call_count; i++) {
        double us = r->results[i].columns[KM_COLUMN_COLD].median_us;
        if (&r->results[i] != c && r->results[i].state == KM_CALL_RIGHT && us > 0 &&
            (best == 0 || us < best))
            best = us;
    }
    return best;
}

/* Both of the score's: with an empty kernel as the least time, and by the memory's pins alone. */
static void add_score(json_t *call, const km_cell_result *r, const km_call_result *c)
{
    double cold = c->columns[KM_COLUMN_COLD].median_us, peer = best_peer_us(r, c);
    double pins = r->gpu && r->gpu->pin_gb_s > 0 ? r->bytes / r->gpu->pin_gb_s / 1e3 : 0;
    double empty = r->yards[KM_YARD_EMPTY_EARLY].median_us, light = pins > empty ? pins : empty;

    if (cold <= 0 || peer <= 0 || pins <= 0)
        return;
    json_object_set_new(call, "sol",
                        json_pack("{s:f,s:f,s:f,s:f,s:f}", "baseline_us", peer, "light_us", light,
                                  "score", score(cold, peer, light), "light_without_floor_us", pins,
                                  "score_without_floor", score(cold, peer, pins)));
}

static json_t *names_json(const char *const *names, size_t count)
{
    json_t *out = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(out, json_string(names[i]));
    return out;
}

static size_t count_names(const char *const *names)
{
    size_t n = 0;

    while (names[n])
        n++;
    return n;
}

/* What was called: an operator and the library that has it (none: torch), or a function of
 * Python's, and which inputs it overwrites. */
static void add_callee(json_t *call, const km_call_result *c)
{
    const km_suite_call *s = c->call;

    if (s->schema)
        json_object_set_new(call, "schema", json_string(s->schema));
    if (s->library)
        json_object_set_new(call, "library", json_string(km_path_base(s->library)));
    if (s->python)
        json_object_set_new(call, "python", json_string(km_path_base(s->python)));
    if (s->overwrites.count)
        json_object_set_new(call, "overwrites",
                            names_json(s->overwrites.items, s->overwrites.count));
}

static json_t *call_json(const km_cell_result *r, const km_call_result *c)
{
    json_t *columns = json_object(), *call;
    double light = km_cell_light_us(r), cold = c->columns[KM_COLUMN_COLD].median_us;

    for (int k = 0; k < KM_COLUMN_COUNT; k++)
        if (c->columns[k].median_us > 0)
            json_object_set_new(columns, km_column_names[k], column_json(r, &c->columns[k]));
    call = json_pack("{s:s,s:s,s:s?,s:s?,s:o,s:o}", "name", c->call->name, "state",
                     km_call_state_names[c->state], "why", c->why, "note", c->note, "error_ulp",
                     km_json_real(c->error_ulp), "columns", columns);
    if (call)
        add_callee(call, c);
    if (call && r->gpu)
        json_object_set_new(call, "kernels", json_integer((json_int_t)c->nodes));
    if (call && c->kernels)
        json_object_set_new(call, "kernel_names", names_json(c->kernels, count_names(c->kernels)));
    if (call && r->gpu)
        json_object_set_new(call, "first_s", json_real(c->first_s));
    if (call && c->rule)
        json_object_set_new(call, "rules", km_rule_json(c, r->cell.op->tolerance));
    if (call)
        add_score(call, r, c);
    if (call && light > 0 && cold > 0)
        json_object_set_new(call, "share_of_light", json_real(light / cold));
    return call;
}

static json_t *nvml_json(const km_nvml_state *s)
{
    return json_pack("{s:i,s:i,s:i,s:i}", "sm_mhz", s->sm_mhz, "memory_mhz", s->memory_mhz,
                     "celsius", s->celsius, "watts", s->watts);
}

/* What a GPU's cell has beyond a CPU's. */
static void add_gpu(json_t *cell, const km_cell_result *r)
{
    const km_gpu *g = r->gpu;
    json_t *yards = json_object(), *discarded = json_array(), *gpu;
    char driver[16];

    for (int k = 0; k < KM_YARD_COUNT; k++)
        json_object_set_new(yards, km_yard_names[k], column_json(r, &r->yards[k]));
    for (size_t i = 0; i < r->rounds; i++)
        if (r->discarded[i])
            json_array_append_new(discarded, json_integer((json_int_t)i));
    snprintf(driver, sizeof driver, "%d.%d", g->driver_version / 1000,
             g->driver_version % 1000 / 10);
    gpu = json_pack("{s:s,s:i,s:i,s:I,s:f,s:s}", "name", g->name, "arch", g->major * 10 + g->minor,
                    "sm_count", g->sm_count, "l2_bytes", (json_int_t)g->l2_bytes, "pin_gb_s",
                    g->pin_gb_s, "driver_cuda", driver);
    if (gpu && r->most.sm_mhz) {
        json_object_set_new(gpu, "least", nvml_json(&r->least));
        json_object_set_new(gpu, "most", nvml_json(&r->most));
        json_object_set_new(gpu, "throttle_reasons", json_integer((json_int_t)r->most.throttle));
    }
    json_object_set_new(cell, "yardsticks", yards);
    json_object_set_new(cell, "copy_shape", json_string(r->copy_shape));
    json_object_set_new(cell, "copy_plain_shape", json_string(r->copy_plain_shape));
    json_object_set_new(cell, "discarded_rounds", discarded);
    json_object_set_new(cell, "light_us", json_real(km_cell_light_us(r)));
    json_object_set_new(cell, "gpu", gpu);
}

json_t *km_cell_json(const km_cell_result *r)
{
    json_t *shape = json_object(), *calls = json_array(), *cell;
    const km_suite_op *op = r->cell.op;
    char seed[24];

    for (size_t i = 0; i < op->axis_count; i++)
        json_object_set_new(shape, op->axes[i], json_integer((json_int_t)r->cell.shape[i]));
    for (size_t i = 0; i < op->call_count; i++)
        json_array_append_new(calls, call_json(r, &r->results[i]));
    snprintf(seed, sizeof seed, "%016llx", (unsigned long long)r->seed);
    cell = json_pack("{s:s,s:o,s:s,s:s,s:f,s:f,s:I,s:I,s:I,s:I,s:s,s:i,s:o}", "op", op->name,
                     "shape", shape, "dtype", km_dtype_name((km_dtype)r->cell.dtype), "device",
                     r->gpu ? "cuda" : "cpu", "bytes", r->bytes, "flops", r->flops, "sets",
                     (json_int_t)r->sets, "cache_bytes", (json_int_t)r->cache_bytes, "rounds",
                     (json_int_t)r->rounds, "calls_a_sample", (json_int_t)r->calls_a_sample, "seed",
                     seed, "threads", (int)r->threads, "calls", calls);
    if (cell)
        json_object_set_new(cell, "reference", json_string(op->reference));
    if (cell && op->trace)
        json_object_set_new(cell, "trace", km_trace_json(&r->cell));
    if (cell && r->gpu)
        add_gpu(cell, r);
    if (cell && !r->gpu)
        json_object_set_new(cell, "result_memory",
                            json_string(r->holds_results ? "bench" : "malloc"));
    return cell;
}
