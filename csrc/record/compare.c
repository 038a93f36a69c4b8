#include "record/compare.h"

#include "core/limits.h"
#include "formats/json.h"
#include "record/record.h"

/* What each round's sample is held against; NULL: nothing. */
static const json_t *yardstick_of(const json_t *cell)
{
    const json_t *yards = json_object_get(cell, "yardsticks");

    return yards ? json_object_get(yards, "copy_plain")
                 : km_record_column(cell, km_record_call(cell, km_json_text_of(cell, "reference")));
}

/* The relative times of one call: their median and interval. */
static bool relative(const json_t *cell, const json_t *column, km_interval *out)
{
    double a[KM_BENCH_ROUNDS_MAX], b[KM_BENCH_ROUNDS_MAX];
    size_t n = km_record_paired(cell, column, yardstick_of(cell), a, b);

    return km_interval_of_ratio(a, b, n, 0.95, out, NULL) == 0;
}

/* The plain times moved the other way: then it is the yardstick that changed, more than the call.
 */
static bool contradicted(const km_change *c)
{
    return (c->verdict == KM_SLOWER && c->new_us < c->old_us) ||
           (c->verdict == KM_FASTER && c->new_us > c->old_us);
}

/* False when the two have nothing to compare. */
static bool compare_call(km_arena *a, const json_t *old_cell, const json_t *new_cell,
                         const json_t *call, double gate, km_change *out)
{
    const json_t *before = km_record_call(old_cell, km_json_text_of(call, "name"));
    const json_t *old_column = km_record_column(old_cell, before);
    const json_t *now = km_record_column(new_cell, call);
    bool was_right = before && km_record_is_right(before);
    km_interval old_times, new_times;

    *out = (km_change){ .cell = km_record_cell_text(a, new_cell),
                        .call = km_json_text_of(call, "name"),
                        .column = km_record_column_name(new_cell),
                        .old_us = json_number_value(json_object_get(old_column, "median_us")),
                        .new_us = json_number_value(json_object_get(now, "median_us")) };
    out->broken = was_right && !km_record_is_right(call);
    if (now == yardstick_of(new_cell) || !relative(old_cell, old_column, &old_times) ||
        !relative(new_cell, now, &new_times))
        return out->broken;
    out->change = (km_interval){ .median = new_times.median / old_times.median,
                                 .low = new_times.low / old_times.high,
                                 .high = new_times.high / old_times.low,
                                 .rounds = new_times.rounds };
    out->verdict = km_interval_verdict(&out->change, gate);
    if (contradicted(out))
        out->verdict = KM_UNDECIDED;
    return true;
}

int km_record_compare(km_arena *a, const json_t *old_cells, const json_t *new_cells, double gate,
                      km_comparison *out, km_err *err)
{
    const json_t *cell, *call;
    size_t i, j, total = 0;

    *out = (km_comparison){ 0 };
    json_array_foreach(new_cells, i, cell) total += json_array_size(json_object_get(cell, "calls"));
    out->changes = km_arena_array(a, total + 1, sizeof *out->changes);
    if (!out->changes)
        return km_fail_nomem(err);
    json_array_foreach(new_cells, i, cell)
    {
        const json_t *before = km_record_find(old_cells, cell, NULL);
        out->only_new += !before;
        json_array_foreach(json_object_get(cell, "calls"), j, call)
            out->count += before &&
                          compare_call(a, before, cell, call, gate, &out->changes[out->count]);
    }
    json_array_foreach(old_cells, i, cell) out->only_old += !km_record_find(new_cells, cell, NULL);
    return 0;
}

size_t km_comparison_regressions(const km_comparison *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->count; i++)
        n += c->changes[i].broken || c->changes[i].verdict == KM_SLOWER;
    return n;
}
