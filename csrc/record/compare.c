#include "record/compare.h"

#include <string.h>

#include "core/file.h"
#include "core/limits.h"
#include "formats/json.h"

/* ---- reading ---- */

/* What is the same in two measurements of one cell. */
static bool same_cell(const json_t *a, const json_t *b)
{
    return strcmp(km_json_text_of(a, "op"), km_json_text_of(b, "op")) == 0 &&
           strcmp(km_json_text_of(a, "dtype"), km_json_text_of(b, "dtype")) == 0 &&
           strcmp(km_json_text_of(a, "device"), km_json_text_of(b, "device")) == 0 &&
           json_equal(json_object_get(a, "shape"), json_object_get(b, "shape"));
}

static const json_t *find_cell(const json_t *cells, const json_t *like, size_t *at)
{
    const json_t *cell;
    size_t i;

    json_array_foreach(cells, i, cell) if (same_cell(cell, like))
    {
        if (at)
            *at = i;
        return cell;
    }
    return NULL;
}

static void take_line(json_t *cells, const char *line, size_t length)
{
    json_t *cell = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    size_t at;

    if (!json_is_array(json_object_get(cell, "calls")))
        json_decref(cell);
    else if (find_cell(cells, cell, &at))
        json_array_set_new(cells, at, cell);
    else
        json_array_append_new(cells, cell);
}

int km_record_read(const char *path, json_t **cells, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    char *text = NULL;
    size_t size = 0;
    int rc = km_file_read(&a, path, KM_JSON_BYTES_MAX, &text, &size, err);

    *cells = rc == 0 ? json_array() : NULL;
    for (size_t at = 0; *cells && at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        take_line(*cells, text + at, length);
        at += length + 1;
    }
    km_arena_release(&a);
    if (rc == 0 && !*cells)
        return km_fail_nomem(err);
    if (rc == 0 && json_array_size(*cells) == 0) {
        json_decref(*cells);
        *cells = NULL;
        km_fail(err, KM_EFORMAT, "'%s' holds no measured cell", path);
        return km_hint(err, "kernmill bench --output FILE writes a record");
    }
    return rc;
}

/* ---- comparing ---- */

static const json_t *find_call(const json_t *cell, const char *name)
{
    const json_t *calls = json_object_get(cell, "calls"), *call;
    size_t i;

    json_array_foreach(calls, i,
                       call) if (strcmp(km_json_text_of(call, "name"), name) == 0) return call;
    return NULL;
}

static const char *column_name(const json_t *cell)
{
    return strcmp(km_json_text_of(cell, "device"), "cuda") == 0 ? "cold" : "call";
}

static const json_t *column_of(const json_t *cell, const json_t *call)
{
    return json_object_get(json_object_get(call, "columns"), column_name(cell));
}

/* What each round's sample is held against; NULL: nothing. */
static const json_t *yardstick_of(const json_t *cell)
{
    const json_t *yards = json_object_get(cell, "yardsticks");

    return yards ? json_object_get(yards, "copy_plain")
                 : column_of(cell, find_call(cell, km_json_text_of(cell, "reference")));
}

static bool is_discarded(const json_t *cell, size_t round)
{
    const json_t *list = json_object_get(cell, "discarded_rounds"), *item;
    size_t i;

    json_array_foreach(list, i, item) if ((size_t)json_integer_value(item) == round) return true;
    return false;
}

/* The relative times of one call: their median and interval. */
static bool relative(const json_t *cell, const json_t *column, km_interval *out)
{
    const json_t *samples = json_object_get(column, "samples_us");
    const json_t *yard = json_object_get(yardstick_of(cell), "samples_us");
    double a[KM_BENCH_ROUNDS_MAX], b[KM_BENCH_ROUNDS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(samples) && n < KM_BENCH_ROUNDS_MAX; i++) {
        if (is_discarded(cell, i) || i >= json_array_size(yard))
            continue;
        a[n] = json_number_value(json_array_get(samples, i));
        b[n++] = json_number_value(json_array_get(yard, i));
    }
    return km_interval_of_ratio(a, b, n, 0.95, out, NULL) == 0;
}

static const char *cell_text(km_arena *a, const json_t *cell)
{
    const char *axis, *text = km_json_text_of(cell, "op");
    json_t *shape = json_object_get(cell, "shape"), *size;

    json_object_foreach(shape, axis, size)
        text = km_arena_printf(a, "%s %s=%lld", text ? text : "", axis, json_integer_value(size));
    return km_arena_printf(a, "%s %s %s", text ? text : "", km_json_text_of(cell, "dtype"),
                           km_json_text_of(cell, "device"));
}

/* False when the two have nothing to compare. */
static bool compare_call(km_arena *a, const json_t *old_cell, const json_t *new_cell,
                         const json_t *call, double gate, km_change *out)
{
    const json_t *before = find_call(old_cell, km_json_text_of(call, "name"));
    const json_t *old_column = column_of(old_cell, before), *now = column_of(new_cell, call);
    bool was_right = before && strcmp(km_json_text_of(before, "state"), "right") == 0;
    km_interval old_times, new_times;

    *out = (km_change){ .cell = cell_text(a, new_cell),
                        .call = km_json_text_of(call, "name"),
                        .column = column_name(new_cell),
                        .old_us = json_number_value(json_object_get(old_column, "median_us")),
                        .new_us = json_number_value(json_object_get(now, "median_us")) };
    out->broken = was_right && strcmp(km_json_text_of(call, "state"), "right") != 0;
    if (now == yardstick_of(new_cell) || !relative(old_cell, old_column, &old_times) ||
        !relative(new_cell, now, &new_times))
        return out->broken;
    out->change = (km_interval){ .median = new_times.median / old_times.median,
                                 .low = new_times.low / old_times.high,
                                 .high = new_times.high / old_times.low,
                                 .rounds = new_times.rounds };
    out->verdict = km_interval_verdict(&out->change, gate);
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
        const json_t *before = find_cell(old_cells, cell, NULL);
        out->only_new += !before;
        json_array_foreach(json_object_get(cell, "calls"), j, call)
            out->count += before &&
                          compare_call(a, before, cell, call, gate, &out->changes[out->count]);
    }
    json_array_foreach(old_cells, i, cell) out->only_old += !find_cell(new_cells, cell, NULL);
    return 0;
}

size_t km_comparison_regressions(const km_comparison *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->count; i++)
        n += c->changes[i].broken || c->changes[i].verdict == KM_SLOWER;
    return n;
}
