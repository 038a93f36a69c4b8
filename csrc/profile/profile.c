#include "profile/profile.h"

#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "profile/rows.h"

static double us(double ns)
{
    return ns / 1e3;
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

static json_t *op_rows(km_profile *p)
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
                                              "share", km_profile_share(p, rows[i].ns)));
    return list;
}

static json_t *chains_total(const km_profile *p)
{
    double time = 0, lowest = 0, win = 0;

    for (size_t i = 0; i < p->chains.count; i++) {
        time += p->chains.chains[i].time_ns;
        lowest += km_chain_floor_ns(p, &p->chains.chains[i]);
        win += km_chain_win_ns(p, &p->chains.chains[i]);
    }
    return json_pack("{s:I,s:f,s:f,s:f,s:f,s:f}", "count", (json_int_t)p->chains.count, "time_us",
                     us(time), "share", km_profile_share(p, time), "floor_us", us(lowest), "win_us",
                     us(win), "win_share", km_profile_share(p, win));
}

static json_t *kernel_rows(const km_profile *p)
{
    json_t *list = json_array();

    for (size_t i = 0; i < p->kernel_count; i++) {
        const km_kernel_sum *k = &p->kernels[i];
        json_array_append_new(
            list, json_pack("{s:s,s:s,s:I,s:f,s:f,s:f,s:f,s:f,s:f}", "name", k->name, "family",
                            k->family, "count", (json_int_t)k->count, "time_us", us(k->time_ns),
                            "win_us", us(k->win_ns), "win_share", km_profile_share(p, k->win_ns),
                            "by_use_us", us(k->in_module_ns), "backward_us", us(k->backward_ns),
                            "backward_win_us", us(k->backward_win_ns)));
    }
    return list;
}

/* ---- all of it ---- */

static int sum_up(km_profile *p, km_err *err)
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

static int write_document(km_profile *p, json_t **out, km_err *err)
{
    json_t *chains = json_array();
    int rc = km_profile_chain_rows(p, chains, err);

    *out = json_pack("{s:i,s:s,s:s,s:s,s:I,s:s,s:b,s:f,s:f,s:f,s:{s:f,s:b,s:I},s:o,s:o,s:o,s:o}",
                     "schema", 1, "torch", p->t.torch, "device", p->t.on_device ? "cuda" : "cpu",
                     "device_name", p->t.device_name, "threads", (json_int_t)p->t.threads, "times",
                     p->t.on_device ? "kernels" : "cpu", "marked", p->ops.marked, "wall_us",
                     us(p->ops.wall_ns), "total_us", us(p->total_ns), "unattributed_us",
                     p->ops.marked ? 0.0 : us((double)p->t.unattributed_ns), "copy", "gbps",
                     p->gbps, "measured", p->measured, "bytes", (json_int_t)p->t.copy_bytes, "ops",
                     op_rows(p), "chains", chains, "chains_total", chains_total(p), "kernels",
                     kernel_rows(p));
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
    km_profile p = { .a = KM_ARENA_INIT };
    int rc = km_profile_trace_read(&p.a, trace, &p.t, err);

    *out = NULL;
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
    km_arena_release(&p.a);
    return rc;
}
