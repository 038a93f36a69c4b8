#include "record/plot.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/proc.h"
#include "core/str.h"
#include "formats/json.h"
#include "record/interval.h"
#include "record/record.h"

#define OPS_MAX    64
#define LABELS_MAX 25 /* of an axis */

/* The cells of one operator, ascending by bytes. */
struct series {
    const json_t **cells;
    size_t count;
    bool gpu;
};

static int by_bytes(const void *a, const void *b)
{
    double x = km_json_number_of(*(const json_t *const *)a, "bytes");
    double y = km_json_number_of(*(const json_t *const *)b, "bytes");

    return (x > y) - (x < y);
}

static struct series cells_of(km_arena *a, const json_t *cells, const char *op)
{
    struct series s = { .cells = km_arena_array(a, json_array_size(cells) + 1, sizeof *s.cells) };
    const json_t *cell;
    size_t i;

    json_array_foreach(cells, i, cell) if (s.cells && strcmp(km_json_text_of(cell, "op"), op) == 0)
        s.cells[s.count++] = cell;
    if (s.count) {
        qsort(s.cells, s.count, sizeof *s.cells, by_bytes);
        s.gpu = km_record_on_gpu(s.cells[0]);
    }
    return s;
}

static const json_t *call_at(const struct series *s, size_t cell, size_t call)
{
    return json_array_get(json_object_get(s->cells[cell], "calls"), call);
}

static const json_t *column_at(const struct series *s, size_t cell, size_t call)
{
    return km_record_column(s->cells[cell], call_at(s, cell, call));
}

static size_t count_calls(const struct series *s)
{
    return json_array_size(json_object_get(s->cells[0], "calls"));
}

/* ---- what is drawn ---- */

typedef enum { PLOT_TIME, PLOT_SHARE, PLOT_RATIO, PLOT_COUNT } plot_kind;

static const char *const names[PLOT_COUNT] = { "time", "share", "ratio" };
static const char *const titles[PLOT_COUNT] = { "time of a call, us", "share of the speed of light",
                                                "time over that of the first call, to 2" };
/* Of the last: a factor of two is enough to see who is near; the table has the others. */
static const char *const scales[PLOT_COUNT] = {
    "set logscale y\nset yrange [*:*]\nset ytics nomirror autofreq",
    "unset logscale y\nset yrange [0:1.05]\nset ytics nomirror autofreq",
    "set logscale y\nset yrange [0.5:2]\nset ytics nomirror (0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, "
    "1.5, 2)"
};

static bool interval_of(const json_t *column, km_interval *out)
{
    const json_t *samples = json_object_get(column, "samples_us");
    double values[KM_BENCH_ROUNDS_MAX];
    size_t n = json_array_size(samples);

    n = n < KM_BENCH_ROUNDS_MAX ? n : KM_BENCH_ROUNDS_MAX;
    for (size_t i = 0; i < n; i++)
        values[i] = json_number_value(json_array_get(samples, i));
    return n && km_interval_of(values, n, 0.95, out, NULL) == 0;
}

/* One point of one line, if the cell has it. */
static bool point_of(const struct series *s, plot_kind kind, size_t cell, size_t call,
                     km_interval *out)
{
    const json_t *column = column_at(s, cell, call), *ratio = json_object_get(column, "ratio");
    double light = km_json_number_of(s->cells[cell], "light_us");

    if (!km_record_is_right(call_at(s, cell, call)))
        return false;
    if (kind == PLOT_RATIO && ratio) {
        *out = (km_interval){ .median = km_json_number_of(ratio, "median"),
                              .low = km_json_number_of(ratio, "low"),
                              .high = km_json_number_of(ratio, "high") };
        return true;
    }
    if (kind == PLOT_RATIO || !interval_of(column, out))
        return false;
    if (kind == PLOT_SHARE)
        *out = (km_interval){ .median = light / out->median,
                              .low = light / out->high,
                              .high = light / out->low };
    return true;
}

static bool has_points(const struct series *s, plot_kind kind, size_t call)
{
    km_interval point;

    for (size_t i = 0; i < s->count; i++)
        if (point_of(s, kind, i, call, &point))
            return true;
    return false;
}

static bool has_lines(const struct series *s, plot_kind kind)
{
    for (size_t call = 0; call < count_calls(s); call++)
        if (has_points(s, kind, call))
            return true;
    return false;
}

/* A text of a record within gnuplot's single quotes: it can be anything, and must mean nothing. */
static void add_quoted(km_str *script, const char *text)
{
    km_str_add_char(script, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            km_str_add_char(script, '\'');
        km_str_add_char(script, (unsigned char)*text < ' ' ? ' ' : *text);
    }
    km_str_add_char(script, '\'');
}

const char *km_plot_name(km_arena *a, const char *op)
{
    char *name = km_arena_strdup(a, op);

    for (char *c = name; c && *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", *c))
            *c = '_';
    return name;
}

static void add_data(km_str *script, const struct series *s, plot_kind kind, size_t call)
{
    km_interval point;

    km_str_printf(script, "$%s%zu << END\n", names[kind], call);
    for (size_t i = 0; i < s->count; i++)
        if (point_of(s, kind, i, call, &point))
            km_str_printf(script, "%zu %.6g %.6g %.6g\n", i, point.median, point.low, point.high);
    km_str_add(script, "END\n");
}

/* As many as can be read. */
static void add_labels(km_str *script, const struct series *s)
{
    size_t step = (s->count + LABELS_MAX - 1) / LABELS_MAX;

    km_str_add(script, "set xtics rotate by -45 nomirror (");
    for (size_t i = 0; i < s->count; i += step) {
        const char *axis, *between = "";
        json_t *shape = json_object_get(s->cells[i], "shape"), *size;
        km_str_printf(script, "%s'", i ? ", " : "");
        json_object_foreach(shape, axis, size)
        {
            km_str_printf(script, "%s%lld", between, json_integer_value(size));
            between = " x ";
        }
        km_str_printf(script, "' %zu", i);
    }
    km_str_add(script, ")\n");
}

/* One plot for both terminals. */
static void add_plot(km_str *script, const struct series *s, plot_kind kind, const km_plot *plot)
{
    size_t calls = count_calls(s);
    const char *terminals[] = {
        "svg size 900,520 dynamic font 'sans-serif,13' background '#ffffff'",
        "pngcairo size 900,520 font 'sans-serif,11'"
    };
    const char *files[] = { plot->svg, plot->png };

    for (size_t i = 0; i < calls; i++)
        add_data(script, s, kind, i);
    km_str_add(script, "set title ");
    add_quoted(script, plot->title);
    km_str_printf(script, " noenhanced\nset ylabel '%s'\n%s\n", titles[kind], scales[kind]);
    km_str_printf(script, "set xrange [-0.5:%zu.5]\n", s->count - 1);
    add_labels(script, s);
    for (int t = 0; t < 2; t++) {
        const char *between = "plot ";
        km_str_printf(script, "set terminal %s\nset output '%s'\n", terminals[t],
                      km_path_base(files[t]));
        for (size_t i = 0; i < calls; i++) {
            if (!has_points(s, kind, i))
                continue;
            km_str_printf(script,
                          "%s$%s%zu using 1:2:3:4 with yerrorlines lc %zu pt 7 ps 0.6 title ",
                          between, names[kind], i, i + 1);
            add_quoted(script, km_json_text_of(call_at(s, 0, i), "name"));
            km_str_add(script, " noenhanced");
            between = ", \\\n  ";
        }
        if (kind == PLOT_RATIO)
            km_str_add(script, ", \\\n  1 with lines lc 'grey' dt 2 notitle");
        km_str_add(script, "\nunset output\n");
    }
}

/* ---- all of a record ---- */

/* The names of the operators, each once. */
static size_t list_ops(const json_t *cells, const char **ops)
{
    const json_t *cell;
    size_t i, n = 0;

    json_array_foreach(cells, i, cell)
    {
        size_t k = 0;
        while (k < n && strcmp(ops[k], km_json_text_of(cell, "op")) != 0)
            k++;
        if (k == n && n < OPS_MAX)
            ops[n++] = km_json_text_of(cell, "op");
    }
    return n;
}

static int add_op(km_arena *a, km_str *script, const json_t *cells, const char *op,
                  const char *folder, km_plots *out, km_err *err)
{
    struct series s = cells_of(a, cells, op);
    const char *file = km_plot_name(a, op);

    if (!s.cells || !file)
        return km_fail_nomem(err);
    for (plot_kind kind = 0; kind < PLOT_COUNT; kind++) {
        km_plot *plot = &out->plots[out->count];
        if ((kind == PLOT_SHARE && !s.gpu) || !has_lines(&s, kind))
            continue;
        plot->title = km_arena_printf(
            a, "%s %s, %s: %s", op, km_json_text_of(s.cells[0], "dtype"),
            s.gpu ? km_json_text_of(json_object_get(s.cells[0], "gpu"), "name") : "CPU",
            titles[kind]);
        plot->svg = km_arena_printf(a, "%s/%s-%s.svg", folder, file, names[kind]);
        plot->png = km_arena_printf(a, "%s/%s-%s.png", folder, file, names[kind]);
        if (!plot->title || !plot->svg || !plot->png)
            return km_fail_nomem(err);
        add_plot(script, &s, kind, plot);
        out->count++;
    }
    return 0;
}

static int draw(const char *folder, km_err *err)
{
    const char *argv[] = { "gnuplot", "plots.gp", NULL };
    km_proc p = { .argv = argv, .cwd = folder, .timeout_ms = 120000 };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int rc = km_proc_check(&p, &r, err);

    km_proc_result_release(&r);
    return rc == KM_EENV ? km_hint(err, "apt-get install gnuplot-nox") : rc;
}

int km_plot_record(km_arena *a, const json_t *cells, const char *folder, km_plots *out, km_err *err)
{
    const char *ops[OPS_MAX], *path = km_path_join(a, folder, "plots.gp");
    size_t n = list_ops(cells, ops);
    km_str script = KM_STR_INIT;
    int rc;

    *out = (km_plots){ .plots = km_arena_array(a, n * PLOT_COUNT + 1, sizeof *out->plots) };
    if (!out->plots || !path)
        return km_fail_nomem(err);
    km_str_add(&script, "set encoding utf8\nset colorsequence podo\nset grid ytics lc '#dddddd'\n"
                        "set key outside right top\nset border 3\n");
    rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = add_op(a, &script, cells, ops[i], folder, out, err);
    if (rc == 0)
        rc = km_str_check(&script, err);
    if (rc == 0)
        rc = km_file_write(path, script.data, script.length, 0666, err);
    km_str_release(&script);
    return rc == 0 ? draw(folder, err) : rc;
}
