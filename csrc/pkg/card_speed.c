#include "pkg/card_speed.h"

#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/limits.h"
#include "core/path.h"
#include "formats/json.h"
#include "pkg/card_parts.h"
#include "record/interval.h"
#include "record/plot.h"
#include "record/record.h"

/* What is being written. */
struct speed {
    km_arena *a;
    const km_manifest *m;
    km_str *out;
    const char *media;                              /* where plots go */
    const char *file;                               /* "libkernmill_rmsnorm.so" */
    char hashes[KM_HOSTS_MAX][KM_SHA256_HEX_BYTES]; /* of each processor's */
    size_t hash_count;
    km_card_cells cells;
};

/* ---- which cells ---- */

static bool is_ours(const struct speed *s, const char *hash)
{
    for (size_t i = 0; i < s->hash_count; i++)
        if (strcmp(hash, s->hashes[i]) == 0)
            return true;
    return false;
}

/* The call that measured the library; NULL: none, or another build of it. */
static const json_t *ours_of(struct speed *s, const json_t *cell)
{
    const json_t *environment = json_object_get(cell, "environment"), *call;
    const char *hash = km_json_text_of(json_object_get(environment, "libraries"), s->file);
    size_t i;

    if (!*hash)
        return NULL;
    if (!is_ours(s, hash)) {
        s->cells.others++;
        return NULL;
    }
    json_array_foreach(json_object_get(cell, "calls"), i, call)
    {
        const char *library = km_json_text_of(call, "library");
        if (strcmp(library, s->m->import_name) == 0 || strcmp(library, s->file) == 0)
            return call;
    }
    return NULL;
}

/* The cells that speak of this build; `calls` are the kernel's in each. */
static size_t list_ours(struct speed *s, const json_t *cells, const json_t **ours,
                        const json_t **calls)
{
    const json_t *cell;
    size_t i, n = 0;

    json_array_foreach(cells, i, cell)
    {
        calls[n] = ours_of(s, cell);
        if (calls[n])
            ours[n++] = cell;
    }
    return n;
}

/* ---- tables ---- */

static void add_peer(km_str *out, const json_t *cell, const json_t *ours, const json_t *peer)
{
    const json_t *column = km_record_column(cell, peer);
    double a[KM_BENCH_ROUNDS_MAX], b[KM_BENCH_ROUNDS_MAX];
    size_t n = km_record_paired(cell, column, km_record_column(cell, ours), a, b);
    km_interval ratio;

    if (!km_record_is_right(peer))
        km_str_add(out, " not right |");
    else if (km_interval_of_ratio(a, b, n, 0.95, &ratio, NULL) == 0)
        km_str_printf(out, " %.2f [%.2f, %.2f] |", ratio.median, ratio.low, ratio.high);
    else
        km_str_add(out, " - |");
}

static void add_time(struct speed *s, const json_t *cell, const json_t *ours)
{
    const json_t *column = km_record_column(cell, ours);
    double us[KM_BENCH_ROUNDS_MAX], same[KM_BENCH_ROUNDS_MAX];
    size_t n = km_record_paired(cell, column, column, us, same);
    km_interval time;

    km_str_printf(s->out, " | %.4g", km_json_number_of(column, "median_us"));
    if (n >= KM_INTERVAL_ROUNDS_MIN && km_interval_of(us, n, 0.95, &time, NULL) == 0)
        km_str_printf(s->out, " [%.4g, %.4g]", time.low, time.high);
    km_str_add(s->out, " |");
}

static void add_row(struct speed *s, const json_t *cell, const json_t *ours)
{
    double share = km_json_number_of(ours, "share_of_light");
    const char *shape = km_record_shape_text(s->a, cell);
    const json_t *call;
    size_t i;

    km_str_add(s->out, "| ");
    km_card_add_cell(s->out, shape ? shape : "");
    if (km_record_is_right(ours))
        add_time(s, cell, ours);
    else
        km_str_add(s->out, " | not right |");
    if (km_record_on_gpu(cell))
        km_str_printf(s->out, " %.2f |", share);
    json_array_foreach(json_object_get(cell, "calls"), i, call)
    {
        if (call != ours)
            add_peer(s->out, cell, ours, call);
    }
    km_str_add_char(s->out, '\n');
}

static void add_heading(struct speed *s, const json_t *cell, const json_t *ours)
{
    const json_t *call;
    size_t i, columns = 1 + json_array_size(json_object_get(cell, "calls"));

    km_str_add(s->out, "\n| ");
    km_card_add_cell(s->out, km_json_text_of(cell, "op"));
    km_str_printf(s->out, ", %s | this kernel, us |%s", km_json_text_of(cell, "dtype"),
                  km_record_on_gpu(cell) ? " share of the speed of light |" : "");
    json_array_foreach(json_object_get(cell, "calls"), i, call)
    {
        if (call == ours)
            continue;
        km_str_add_char(s->out, ' ');
        km_card_add_cell(s->out, km_json_text_of(call, "name"));
        km_str_add(s->out, ", times that |");
    }
    km_str_add(s->out, "\n|");
    for (i = 0; i < columns + km_record_on_gpu(cell); i++)
        km_str_add(s->out, "---|");
    km_str_add_char(s->out, '\n');
}

/* Whether the second can stand in the first's table. */
static bool same_table(const json_t *a, const json_t *b)
{
    return strcmp(km_json_text_of(a, "op"), km_json_text_of(b, "op")) == 0 &&
           strcmp(km_json_text_of(a, "dtype"), km_json_text_of(b, "dtype")) == 0 &&
           strcmp(km_json_text_of(a, "device"), km_json_text_of(b, "device")) == 0;
}

/* ---- one record ---- */

static void add_machine(struct speed *s, const json_t *cell, const char *record)
{
    json_t *environment = json_object_get(cell, "environment"), *version;
    const json_t *gpu = json_object_get(cell, "gpu");
    const char *name;

    km_str_add(s->out, "\n### ");
    km_card_add_cell(s->out, km_json_text_of(gpu ? gpu : environment, gpu ? "name" : "cpu"));
    km_str_add(s->out, "\n\n");
    if (gpu)
        km_str_printf(s->out, "Driver CUDA %s, ", km_json_text_of(gpu, "driver_cuda"));
    else
        km_str_printf(s->out, "%lld threads, ",
                      json_integer_value(json_object_get(cell, "threads")));
    km_str_printf(s->out, "torch %s", km_json_text_of(cell, "torch"));
    json_object_foreach(json_object_get(environment, "packages"), name, version)
    {
        if (!json_is_string(version) || strcmp(name, "torch") == 0)
            continue;
        km_str_add(s->out, ", ");
        km_card_add_cell(s->out, name);
        km_str_add_char(s->out, ' ');
        km_card_add_cell(s->out, json_string_value(version));
    }
    km_str_printf(s->out, "; `kernmill bench` %s, %.10s, record `%s`.\n",
                  km_json_text_of(environment, "kernmill"), km_json_text_of(environment, "date"),
                  km_path_base(record));
}

/* Copies the plot of an operator's ratios, if `kernmill report` made one, and shows it. */
static int add_plot(struct speed *s, const char *record, const char *op, km_err *err)
{
    const char *folder = km_record_folder(s->a, record), *plot = km_plot_name(s->a, op);
    const char *svg = km_arena_printf(s->a, "%s/%s-ratio.svg", folder ? folder : "",
                                      plot ? plot : "");
    const char *name = folder ? km_arena_printf(s->a, "%s-%s-ratio.svg", km_path_base(folder),
                                                plot ? plot : "")
                              : NULL;
    const char *to = name ? km_path_join(s->a, s->media, name) : NULL;

    if (!plot || !svg || !to)
        return km_fail_nomem(err);
    if (!km_file_exists(svg))
        return 0;
    if (km_dir_make(s->media, err) < 0 || km_file_copy(svg, to, err) < 0)
        return err->code;
    km_str_printf(s->out, "\n![%s: time over this kernel's](speed/%s)\n", plot, name);
    return 0;
}

static int add_record(struct speed *s, const json_t *cells, const char *record, km_err *err)
{
    size_t n = json_array_size(cells);
    const json_t **ours = km_arena_array(s->a, n, sizeof *ours);
    const json_t **calls = km_arena_array(s->a, n, sizeof *calls);

    if (!ours || !calls)
        return km_fail_nomem(err);
    n = list_ours(s, cells, ours, calls);
    for (size_t i = 0; i < n; i++) {
        if (i == 0)
            add_machine(s, ours[i], record);
        if (i == 0 || !same_table(ours[i - 1], ours[i]))
            add_heading(s, ours[i], calls[i]);
        add_row(s, ours[i], calls[i]);
        if ((i + 1 == n || !same_table(ours[i], ours[i + 1])) &&
            add_plot(s, record, km_json_text_of(ours[i], "op"), err) < 0)
            return err->code;
    }
    s->cells.shown += n;
    return 0;
}

/* ---- all records ---- */

static int read_record(struct speed *s, const char *path, km_err *err)
{
    json_t *cells = NULL;
    int rc = km_record_read(path, &cells, NULL, err);

    if (rc == 0)
        rc = add_record(s, cells, path, err);
    json_decref(cells);
    return rc;
}

/* Every *.jsonl below the folder that is a record; others are not ours to judge. */
static int read_folder(struct speed *s, const char *folder, km_err *err)
{
    km_names names;

    if (km_dir_walk(s->a, folder, &names, err) < 0)
        return err->code;
    for (size_t i = 0; i < names.count; i++) {
        const char *path = km_path_join(s->a, folder, names.names[i]);
        km_err why = KM_ERR_INIT;
        int rc = path ? 0 : km_fail_nomem(&why);
        if (rc == 0 && km_ends_with(path, ".jsonl"))
            rc = read_record(s, path, &why);
        if (rc < 0 && rc != KM_EFORMAT) {
            *err = why;
            return rc;
        }
    }
    return 0;
}

static int read_records(struct speed *s, const char *records, km_err *err)
{
    const char *standard = km_path_join(s->a, s->m->dir, "benchmarks/results");

    if (!standard)
        return km_fail_nomem(err);
    if (!records)
        return km_dir_exists(standard) ? read_folder(s, standard, err) : 0;
    if (km_dir_exists(records))
        return read_folder(s, records, err);
    return read_record(s, records, err);
}

static int hash_libraries(struct speed *s, const km_plan *plans, size_t count, km_err *err)
{
    km_sha256 hash;

    s->file = km_arena_printf(s->a, "lib%s.so", s->m->import_name);
    if (!s->file)
        return km_fail_nomem(err);
    for (size_t i = 0; i < count; i++) {
        if (km_hash_file(plans[i].products[plans[i].wheel_flavor].wheel_library, &hash, err) < 0)
            return err->code;
        km_hash_hex(&hash, s->hashes[s->hash_count++]);
    }
    return 0;
}

static void add_introduction(km_str *out)
{
    km_str_add(
        out,
        "\nMedians of calls that were checked after they were timed, beside the others in the "
        "same run. On a GPU each call finds its inputs outside the cache. A ratio above 1: the "
        "other takes so much longer. In brackets: the 95 % interval.\n");
}

int km_card_speed(const km_plan *plans, size_t count, const char *records, const char *hub_dir,
                  km_card_cells *cells, km_str *out, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_str tables = KM_STR_INIT;
    struct speed s = {
        .a = &a, .m = plans[0].m, .out = &tables, .media = km_path_join(&a, hub_dir, "speed")
    };
    int rc = s.media ? hash_libraries(&s, plans, count, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_dir_remove(s.media, err);
    if (rc == 0)
        rc = read_records(&s, records, err);
    if (rc == 0)
        rc = km_str_check(&tables, err);
    if (rc == 0) {
        km_str_add(out, "\n## Speed\n");
        if (s.cells.shown)
            add_introduction(out);
        else
            km_str_add(out, "\nNot measured on these files.\n");
        km_str_add(out, tables.data);
        if (s.cells.others)
            km_str_printf(out, "\n%zu more cells were measured on other builds and are left out.\n",
                          s.cells.others);
    }
    *cells = s.cells;
    km_str_release(&tables);
    km_arena_release(&a);
    return rc;
}
