#include "profile/rows.h"

#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/str.h"

#define PATHS_MAX 16

static double us(double ns)
{
    return ns / 1e3;
}

double km_chain_floor_ns(const km_profile *p, const km_chain *c)
{
    return (double)c->bytes / p->gbps;
}

double km_chain_win_ns(const km_profile *p, const km_chain *c)
{
    double win = c->time_ns - km_chain_floor_ns(p, c);

    return win > 0 ? win : 0;
}

/* A chain with what makes it alike to others. */
struct sortable {
    const km_chain *c;
    const char *key;
    double win; /* of its row, once there are rows */
    size_t first, count;
};

static const km_profile_op *op_at(const km_profile *p, const km_chain *c, size_t i)
{
    return &p->ops.ops[c->ops[i]];
}

static const char *class_of(km_profile *p, const km_chain *c)
{
    const char *class = km_profile_module_class(&p->a, &p->t, &p->ops.ops[c->label]);

    return class ? class : "";
}

static const char *make_key(km_profile *p, const km_chain *c, km_err *err)
{
    const km_profile_tensor *x = km_chain_tensor(&p->t, &p->ops, c);
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
static const char *general_path(km_profile *p, const km_chain *c)
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

static json_t *paths_of(km_profile *p, const struct sortable *chains, size_t count)
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

static json_t *names_of(const km_profile *p, const km_chain *c)
{
    json_t *list = json_array();

    for (size_t i = 0; i < c->count; i++)
        json_array_append_new(list, json_string(km_profile_op_name(&p->t, op_at(p, c, i))));
    return list;
}

static json_t *sizes_of(const km_profile_tensor *x)
{
    json_t *list = json_array();

    for (size_t i = 0; x && i < x->dims; i++)
        json_array_append_new(list, json_integer(x->sizes[i]));
    return list;
}

static km_kernel_sum *sum_of(km_profile *p, const km_fit *fit)
{
    size_t i = 0;

    while (i < p->kernel_count && strcmp(p->kernels[i].name, fit->kernel) != 0)
        i++;
    if (i == KM_PROFILE_KERNELS_MAX)
        i--; /* there are fewer kernels than that */
    p->kernel_count += i == p->kernel_count;
    p->kernels[i].name = fit->kernel;
    p->kernels[i].family = fit->family;
    return &p->kernels[i];
}

/* Says that the modules of alike chains of the forward pass have these, and what fits them or NULL.
 */
static void mark_modules(km_profile *p, const struct sortable *chains, size_t count,
                         km_kernel_sum *sum)
{
    for (size_t i = 0; i < count; i++) {
        size_t module = p->ops.ops[chains[i].c->label].module;
        km_kernel_sum **known = module == KM_NONE ? NULL : &p->fitted[module];
        if (known)
            *known = sum && (!*known || *known == sum) ? sum : &p->mixed;
    }
}

/* Adds the alike chains of a row to what the kernel that fits them could do. */
static void count_kernel(km_profile *p, const struct sortable *chains, size_t count,
                         const km_fit *fit, double win)
{
    km_kernel_sum *sum = sum_of(p, fit);
    const km_chain *first = chains->c;
    double time = 0;

    for (size_t i = 0; i < count; i++)
        time += chains[i].c->time_ns;
    mark_modules(p, chains, count, sum);
    sum->count += count;
    sum->time_ns += time * fit->covered_ns / first->time_ns;
    sum->win_ns += win * fit->covered_ns / first->time_ns;
    sum->in_module_ns += time * fit->in_module_ns / first->time_ns;
}

/* A gradient has the module of what it is the gradient of. Where a module has other chains, too, it
 * is not known whose gradient it is. */
static void count_backward(km_profile *p)
{
    for (size_t i = 0; i < p->chains.count; i++) {
        const km_chain *c = &p->chains.chains[i];
        const km_profile_op *label = &p->ops.ops[c->label];
        km_kernel_sum *sum = label->module == KM_NONE ? NULL : p->fitted[label->module];
        if (!label->backward || !sum || sum == &p->mixed)
            continue;
        sum->backward_ns += c->time_ns;
        sum->backward_win_ns += km_chain_win_ns(p, c);
    }
}

static void add_fit(json_t *row, const km_fit *fit)
{
    json_object_set_new(row, "pattern", json_string(fit->pattern));
    json_object_set_new(row, "kernel", fit->kernel ? json_string(fit->kernel) : json_null());
    if (fit->kernel) {
        json_object_set_new(row, "function", json_string(fit->function));
        json_object_set_new(row, "covers", json_integer((json_int_t)fit->covered));
    } else if (fit->why) {
        json_object_set_new(row, "why", json_string(fit->why));
    }
}

static int chain_row(km_profile *p, const struct sortable *chains, size_t count, json_t **out,
                     km_err *err)
{
    const km_chain *first = chains->c;
    const km_profile_tensor *x = km_chain_tensor(&p->t, &p->ops, first);
    double time = 0, lowest = 0, win = 0;
    int64_t bytes = 0;
    bool exact = true;
    km_fit fit;

    for (size_t i = 0; i < count; i++) {
        time += chains[i].c->time_ns;
        lowest += km_chain_floor_ns(p, chains[i].c);
        bytes += chains[i].c->bytes;
        win += km_chain_win_ns(p, chains[i].c);
        exact &= chains[i].c->exact;
    }
    fit = km_fit_find(&p->a, &p->t, &p->ops, first);
    *out = json_pack(
        "{s:s,s:o,s:o,s:s,s:o,s:b,s:I,s:f,s:f,s:I,s:s,s:f,s:f,s:f}", "module", class_of(p, first),
        "paths", paths_of(p, chains, count), "ops", names_of(p, first), "dtype", x ? x->dtype : "",
        "sizes", sizes_of(x), "backward", op_at(p, first, 0)->backward, "count", (json_int_t)count,
        "time_us", us(time), "share", km_profile_share(p, time), "bytes", (json_int_t)bytes,
        "bytes_by", exact ? "storages" : "largest tensors", "floor_us", us(lowest), "win_us",
        us(win), "win_share", km_profile_share(p, win));
    if (!*out)
        return km_fail(err, KM_EFORMAT, "a name in the profile is not UTF-8");
    add_fit(*out, &fit);
    if (fit.kernel)
        count_kernel(p, chains, count, &fit, win);
    else if (!op_at(p, first, 0)->backward)
        mark_modules(p, chains, count, NULL);
    return 0;
}

/* Alike chains stand side by side afterwards; returns how many rows they are, or a code. */
static int sort_chains(km_profile *p, struct sortable *all, struct sortable *rows,
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
        rows[*row_count - 1].win += km_chain_win_ns(p, all[i].c);
        rows[*row_count - 1].count++;
    }
    qsort(rows, *row_count, sizeof *rows, by_win);
    return 0;
}

int km_profile_chain_rows(km_profile *p, json_t *list, km_err *err)
{
    struct sortable *all = km_arena_array(&p->a, p->chains.count + 1, sizeof *all);
    struct sortable *rows = km_arena_array(&p->a, p->chains.count + 1, sizeof *rows);
    size_t count = 0;

    p->fitted = km_arena_array(&p->a, p->t.name_count + 1, sizeof *p->fitted);
    if (!all || !rows || !p->fitted)
        return km_fail_nomem(err);
    if (sort_chains(p, all, rows, &count, err) < 0)
        return err->code;
    for (size_t i = 0; i < count && i < KM_PROFILE_ROWS_MAX; i++) {
        json_t *row = NULL;
        if (chain_row(p, &all[rows[i].first], rows[i].count, &row, err) < 0)
            return err->code;
        json_array_append_new(list, row);
    }
    count_backward(p);
    return 0;
}
