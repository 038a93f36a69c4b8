#include "record/record.h"

#include <string.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/str.h"
#include "formats/json.h"

/* ---- cells ---- */

static bool same_cell(const json_t *a, const json_t *b)
{
    return strcmp(km_json_text_of(a, "op"), km_json_text_of(b, "op")) == 0 &&
           strcmp(km_json_text_of(a, "dtype"), km_json_text_of(b, "dtype")) == 0 &&
           strcmp(km_json_text_of(a, "device"), km_json_text_of(b, "device")) == 0 &&
           json_equal(json_object_get(a, "shape"), json_object_get(b, "shape"));
}

const json_t *km_record_find(const json_t *cells, const json_t *like, size_t *at)
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

/* Whether the line is a cell, or empty. */
static bool take_line(json_t *cells, const char *line, size_t length)
{
    json_t *cell = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    size_t at;

    if (!json_is_array(json_object_get(cell, "calls"))) {
        json_decref(cell);
        return length == 0;
    }
    if (km_record_find(cells, cell, &at))
        json_array_set_new(cells, at, cell);
    else
        json_array_append_new(cells, cell);
    return true;
}

int km_record_read(const char *path, json_t **cells, size_t *skipped, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    char *text = NULL;
    size_t size = 0, no_cells = 0;
    int rc = km_file_read(&a, path, KM_JSON_BYTES_MAX, &text, &size, err);

    *cells = rc == 0 ? json_array() : NULL;
    for (size_t at = 0; *cells && at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        no_cells += !take_line(*cells, text + at, length);
        at += length + 1;
    }
    km_arena_release(&a);
    if (skipped)
        *skipped = no_cells;
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

const char *km_record_folder(km_arena *a, const char *path)
{
    if (km_ends_with(path, ".jsonl"))
        return km_arena_strndup(a, path, strlen(path) - strlen(".jsonl"));
    return km_arena_printf(a, "%s-report", path);
}

bool km_record_on_gpu(const json_t *cell)
{
    return strcmp(km_json_text_of(cell, "device"), "cuda") == 0;
}

const char *km_record_shape_text(km_arena *a, const json_t *cell)
{
    const char *axis, *text = "";
    json_t *shape = json_object_get(cell, "shape"), *size;

    json_object_foreach(shape, axis, size)
        text = km_arena_printf(a, "%s%s%s=%lld", text ? text : "", text && *text ? " " : "", axis,
                               json_integer_value(size));
    return text;
}

const char *km_record_cell_text(km_arena *a, const json_t *cell)
{
    const char *shape = km_record_shape_text(a, cell);

    return km_arena_printf(a, "%s %s %s %s", km_json_text_of(cell, "op"), shape ? shape : "",
                           km_json_text_of(cell, "dtype"), km_json_text_of(cell, "device"));
}

/* ---- calls ---- */

const json_t *km_record_call(const json_t *cell, const char *name)
{
    const json_t *call;
    size_t i;

    json_array_foreach(json_object_get(cell, "calls"), i, call)
    {
        if (strcmp(km_json_text_of(call, "name"), name) == 0)
            return call;
    }
    return NULL;
}

bool km_record_is_right(const json_t *call)
{
    return strcmp(km_json_text_of(call, "state"), "right") == 0;
}

const char *km_record_column_name(const json_t *cell)
{
    return km_record_on_gpu(cell) ? "cold" : "call";
}

const json_t *km_record_column(const json_t *cell, const json_t *call)
{
    return json_object_get(json_object_get(call, "columns"), km_record_column_name(cell));
}

double km_record_best_us(const json_t *cell)
{
    const json_t *call;
    double best = 0;
    size_t i;

    json_array_foreach(json_object_get(cell, "calls"), i, call)
    {
        double us = km_json_number_of(km_record_column(cell, call), "median_us");
        if (us > 0 && km_record_is_right(call) && (best == 0 || us < best))
            best = us;
    }
    return best;
}

/* ---- samples ---- */

static bool is_discarded(const json_t *cell, size_t round)
{
    const json_t *list = json_object_get(cell, "discarded_rounds"), *item;
    size_t i;

    json_array_foreach(list, i, item) if ((size_t)json_integer_value(item) == round) return true;
    return false;
}

size_t km_record_paired(const json_t *cell, const json_t *column, const json_t *other, double *a,
                        double *b)
{
    const json_t *first = json_object_get(column, "samples_us");
    const json_t *second = json_object_get(other, "samples_us");
    size_t rounds = json_array_size(first), n = 0;

    if (json_array_size(second) < rounds)
        rounds = json_array_size(second);
    for (size_t i = 0; i < rounds && n < KM_BENCH_ROUNDS_MAX; i++) {
        if (is_discarded(cell, i))
            continue;
        a[n] = json_number_value(json_array_get(first, i));
        b[n++] = json_number_value(json_array_get(second, i));
    }
    return n;
}
