#include "bench/profile.h"

#include <stdlib.h>
#include <string.h>

#include "bench/profile_fit.h"
#include "core/limits.h"
#include "core/str.h"

#define PATHS_MAX 16

/* Everything a document is made from. */
struct profile {
    km_arena a;
    km_trace t;
    km_profile_ops ops;
    km_chains chains;
    double gbps;
    bool measured;
    double total_ns;
    json_t *kernels;
};

static double us(double ns)
{
    return ns / 1e3;
}

static double share(const struct profile *p, double ns)
{
    return p->total_ns > 0 ? ns / p->total_ns : 0;
}

/* Bytes over GB/s are nanoseconds. */
static double floor_ns(const struct profile *p, const km_chain *c)
{
    return (double)c->bytes / p->gbps;
}

static double win_ns(const struct profile *p, const km_chain *c)
{
    double win = c->time_ns - floor_ns(p, c);

    return win > 0 ? win : 0;
}

/* ---- operators ---- */

struct op_row {
    const char *name;
    km_op_class kind;
    double ns;
    size_t calls;
};

static int by_name(const void *a, const void *b)
{
    const struct op_row *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    return c ? c : (x->kind > y->kind) - (x->kind < y->kind);
}

static int by_time(const void *a, const void *b)
{
    const struct op_row *x = a, *y = b;

    return x->ns != y->ns ? (x->ns < y->ns) - (x->ns > y->ns) : strcmp(x->name, y->name);
}

static json_t *op_rows(struct profile *p)
{
    struct op_row *rows = km_arena_array(&p->a, p->ops.count + 1, sizeof *rows);
    json_t *list = json_array();
    size_t n = 0;

    for (size_t i = 0; rows && i < p->ops.count; i++) {
        const km_profile_op *o = &p->ops.ops[i];
        rows[i] = (struct op_row){ km_profile_op_name(&p->t, o), o->kind, o->time_ns, 1 };
    }
    if (!rows)
        return list;
    qsort(rows, p->ops.count, sizeof *rows, by_name);
    for (size_t i = 0; i < p->ops.count; i++)
        if (n && by_name(&rows[n - 1], &rows[i]) == 0) {
            rows[n - 1].ns += rows[i].ns;
            rows[n - 1].calls++;
        } else {
            rows[n++] = rows[i];
        }
    qsort(rows, n, sizeof *rows, by_time);
    for (size_t i = 0; i < n && i < KM_PROFILE_ROWS_MAX && rows[i].ns > 0; i++)
        json_array_append_new(list, json_pack("{s:s,s:s,s:I,s:f,s:f}", "name", rows[i].name,
                                              "class", km_op_class_names[rows[i].kind], "calls",
                                              (json_int_t)rows[i].calls, "time_us", us(rows[i].ns),
                                              "share", share(p, rows[i].ns)));
    return list;
}

/* ---- chains ---- */

/* A chain with what makes it alike to others. */
struct sortable {
    const km_chain *c;
    const char *key;
    double win; /* of its row, once there are rows */
    size_t first, count;
};

static const km_profile_op *op_at(const struct profile *p, const km_chain *c, size_t i)
{
    return &p->ops.ops[c->ops[i]];
}

static const char *class_of(struct profile *p, const km_chain *c)
{
    const char *class = km_profile_module_class(&p->a, &p->t, &p->ops.ops[c->label]);

    return class ? class : "";
}

static const char *make_key(struct profile *p, const km_chain *c, km_err *err)
{
    const km_trace_tensor *x = km_chain_tensor(&p->t, &p->ops, c);
    const char *key = NULL;
    km_str s = KM_STR_INIT;

    km_str_printf(&s, "%s %d %zd", class_of(p, c), op_at(p, c, 0)->backward,
                  x ? x - p->t.tensors : (ptrdiff_t)-1);
    for (size_t i = 0; i < c->count; i++)
        km_str_printf(&s, " %zu", p->t.events[op_at(p, c, i)->event].name);
    if (km_str_check(&s, err) == 0) {
        key = km_arena_strdup(&p->a, s.data);
        if (!key)
            km_fail_nomem(err);
    }
    km_str_release(&s);
    return key;
}

static int by_key(const void *a, const void *b)
{
    const struct sortable *x = a, *y = b;
    int c = strcmp(x->key, y->key);

    return c ? c : (x->c > y->c) - (x->c < y->c);
}

static int by_win(const void *a, const void *b)
{
    const struct sortable *x = a, *y = b;

    return x->win != y->win ? (x->win < y->win) - (x->win > y->win) : strcmp(x->key, y->key);
}

/* "model.layers.3.mlp" as "model.layers.*.mlp". */
static const char *general_path(struct profile *p, const km_chain *c)
{
    char *path = km_arena_strdup(&p->a, km_profile_module_path(&p->t, &p->ops.ops[c->label]));
    char *to = path;

    for (const char *from = path; from && *from;) {
        size_t n = strcspn(from, "."), digits = strspn(from, "0123456789");
        if (digits && digits == n) {
            *to++ = '*';
        } else {
            memmove(to, from, n);
            to += n;
        }
        from += n;
        if (*from)
            *to++ = *from++;
    }
    if (path)
        *to = '\0';
    return path ? path : "";
}

static json_t *paths_of(struct profile *p, const struct sortable *chains, size_t count)
{
    json_t *list = json_array(), *known;
    size_t k;

    for (size_t i = 0; i < count && json_array_size(list) < PATHS_MAX; i++) {
        const char *path = general_path(p, chains[i].c);
        bool there = !*path;
        json_array_foreach(list, k, known) there |= strcmp(json_string_value(known), path) == 0;
        if (!there)
            json_array_append_new(list, json_string(path));
    }
    return list;
}

static json_t *names_of(const struct profile *p, const km_chain *c)
{
    json_t *list = json_array();

    for (size_t i = 0; i < c->count; i++)
        json_array_append_new(list, json_string(km_profile_op_name(&p->t, op_at(p, c, i))));
    return list;
}

static json_t *sizes_of(const km_trace_tensor *x)
{
    json_t *list = json_array();

    for (size_t i = 0; x && i < x->dims; i++)
        json_array_append_new(list, json_integer(x->sizes[i]));
    return list;
}

static void add_to(json_t *row, const char *key, double value)
{
    json_object_set_new(row, key, json_real(json_real_value(json_object_get(row, key)) + value));
}

/* What a kernel of ours could do over all chains that it fits. */
static void count_kernel(struct profile *p, const km_fit *fit, size_t count, double time,
                         double win)
{
    json_t *row = NULL, *known;
    size_t i;

    json_array_foreach(p->kernels, i,
                       known) if (strcmp(json_string_value(json_object_get(known, "name")),
                                         fit->kernel) == 0) row = known;
    if (!row) {
        row = json_pack("{s:s,s:i,s:f,s:f,s:f,s:f}", "name", fit->kernel, "count", 0, "time_us",
                        0.0, "win_us", 0.0, "win_share", 0.0, "by_use_us", 0.0);
        json_array_append_new(p->kernels, row);
    }
    json_object_set_new(
        row, "count",
        json_integer(json_integer_value(json_object_get(row, "count")) + (json_int_t)count));
    add_to(row, "time_us", us(time));
    add_to(row, "win_us", us(win));
    add_to(row, "win_share", share(p, win));
    add_to(row, "by_use_us", fit->in_module ? us(time) : 0);
}

/* Puts what fits into a row whose chains take `time` and could win `win`. */
static void add_fit(struct profile *p, json_t *row, const km_chain *c, const km_fit *fit,
                    size_t count, double time, double win)
{
    double part = c->time_ns > 0 ? fit->covered_ns / c->time_ns : 0;

    json_object_set_new(row, "pattern", json_string(fit->pattern));
    json_object_set_new(row, "kernel", fit->kernel ? json_string(fit->kernel) : json_null());
    if (fit->kernel) {
        json_object_set_new(row, "function", json_string(fit->function));
        json_object_set_new(row, "covers", json_integer((json_int_t)fit->covered));
        count_kernel(p, fit, count, time * part, win * part);
    } else if (fit->why) {
        json_object_set_new(row, "why", json_string(fit->why));
    }
}

static int chain_row(struct profile *p, const struct sortable *chains, size_t count, json_t **out,
                     km_err *err)
{
    const km_chain *first = chains->c;
    const km_trace_tensor *x = km_chain_tensor(&p->t, &p->ops, first);
    double time = 0, lowest = 0, win = 0;
    bool exact = true;
    km_fit fit;

    for (size_t i = 0; i < count; i++) {
        time += chains[i].c->time_ns;
        lowest += floor_ns(p, chains[i].c);
        win += win_ns(p, chains[i].c);
        exact &= chains[i].c->exact;
    }
    if (km_fit_find(&p->a, &p->t, &p->ops, first, &fit, err) < 0)
        return err->code;
    *out = json_pack("{s:s,s:o,s:o,s:s,s:o,s:b,s:I,s:f,s:f,s:I,s:s,s:f,s:f,s:f}", "module",
                     class_of(p, first), "paths", paths_of(p, chains, count), "ops",
                     names_of(p, first), "dtype", x ? x->dtype : "", "sizes", sizes_of(x),
                     "backward", op_at(p, first, 0)->backward, "count", (json_int_t)count,
                     "time_us", us(time), "share", share(p, time), "bytes",
                     (json_int_t)first->bytes, "bytes_by", exact ? "storages" : "largest tensors",
                     "floor_us", us(lowest), "win_us", us(win), "win_share", share(p, win));
    if (!*out)
        return km_fail(err, KM_EFORMAT, "a name in the profile is not UTF-8");
    add_fit(p, *out, first, &fit, count, time, win);
    return 0;
}

/* Alike chains stand side by side afterwards; returns how many rows they are, or a code. */
static int sort_chains(struct profile *p, struct sortable *all, struct sortable *rows,
                       size_t *row_count, km_err *err)
{
    for (size_t i = 0; i < p->chains.count; i++) {
        all[i].c = &p->chains.chains[i];
        all[i].key = make_key(p, all[i].c, err);
        if (!all[i].key)
            return err->code;
    }
    qsort(all, p->chains.count, sizeof *all, by_key);
    for (size_t i = 0; i < p->chains.count; i++) {
        if (!*row_count || strcmp(rows[*row_count - 1].key, all[i].key) != 0) {
            rows[*row_count] = all[i];
            rows[(*row_count)++].first = i;
        }
        rows[*row_count - 1].win += win_ns(p, all[i].c);
        rows[*row_count - 1].count++;
    }
    qsort(rows, *row_count, sizeof *rows, by_win);
    return 0;
}

static int chain_rows(struct profile *p, json_t *list, km_err *err)
{
    struct sortable *all = km_arena_array(&p->a, p->chains.count + 1, sizeof *all);
    struct sortable *rows = km_arena_array(&p->a, p->chains.count + 1, sizeof *rows);
    size_t count = 0;

    if (!all || !rows)
        return km_fail_nomem(err);
    if (sort_chains(p, all, rows, &count, err) < 0)
        return err->code;
    for (size_t i = 0; i < count && i < KM_PROFILE_ROWS_MAX; i++) {
        json_t *row = NULL;
        if (chain_row(p, &all[rows[i].first], rows[i].count, &row, err) < 0)
            return err->code;
        json_array_append_new(list, row);
    }
    return 0;
}

static json_t *chains_total(const struct profile *p)
{
    double time = 0, lowest = 0, win = 0;

    for (size_t i = 0; i < p->chains.count; i++) {
        time += p->chains.chains[i].time_ns;
        lowest += floor_ns(p, &p->chains.chains[i]);
        win += win_ns(p, &p->chains.chains[i]);
    }
    return json_pack("{s:I,s:f,s:f,s:f,s:f,s:f}", "count", (json_int_t)p->chains.count, "time_us",
                     us(time), "share", share(p, time), "floor_us", us(lowest), "win_us", us(win),
                     "win_share", share(p, win));
}

/* ---- all of it ---- */

static int sum_up(struct profile *p, km_err *err)
{
    p->total_ns = p->ops.marked ? 0 : (double)p->t.unattributed_ns;
    for (size_t i = 0; i < p->ops.count; i++)
        p->total_ns += p->ops.ops[i].time_ns;
    if (p->total_ns > 0)
        return 0;
    km_fail(err, KM_EFORMAT,
            p->ops.marked ? "no operator of torch ran inside the ranges \"%s\""
                          : "the script ran no operator of torch",
            KM_PROFILE_MARK);
    return km_hint(err, "the script must call the model, in the thread that starts it");
}

static int write_document(struct profile *p, json_t **out, km_err *err)
{
    json_t *chains = json_array();
    int rc = chain_rows(p, chains, err);

    *out = json_pack("{s:i,s:s,s:s,s:s,s:I,s:s,s:b,s:f,s:f,s:f,s:{s:f,s:b,s:I},s:o,s:o,s:o,s:O}",
                     "schema", 1, "torch", p->t.torch, "device", p->t.on_device ? "cuda" : "cpu",
                     "device_name", p->t.device_name, "threads", (json_int_t)p->t.threads, "times",
                     p->t.on_device ? "kernels" : "cpu", "marked", p->ops.marked, "wall_us",
                     us(p->ops.wall_ns), "total_us", us(p->total_ns), "unattributed_us",
                     p->ops.marked ? 0.0 : us((double)p->t.unattributed_ns), "copy", "gbps",
                     p->gbps, "measured", p->measured, "bytes", (json_int_t)p->t.copy_bytes, "ops",
                     op_rows(p), "chains", chains, "chains_total", chains_total(p), "kernels",
                     p->kernels);
    if (rc == 0 && !*out)
        rc = km_fail_nomem(err);
    if (rc < 0) {
        json_decref(*out);
        *out = NULL;
    }
    return rc;
}

int km_profile_analyse(const json_t *trace, double copy_gbps, json_t **out, km_err *err)
{
    struct profile p = { .kernels = json_array() };
    int rc;

    *out = NULL;
    rc = p.kernels ? km_trace_read(&p.a, trace, &p.t, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = km_profile_ops_find(&p.a, &p.t, &p.ops, err);
    if (rc == 0)
        rc = km_chains_find(&p.a, &p.t, &p.ops, &p.chains, err);
    if (rc == 0)
        rc = sum_up(&p, err);
    if (rc == 0) {
        p.measured = copy_gbps <= 0;
        p.gbps = p.measured ? p.t.copy_gbps : copy_gbps;
        rc = write_document(&p, out, err);
    }
    json_decref(p.kernels);
    km_arena_release(&p.a);
    return rc;
}
