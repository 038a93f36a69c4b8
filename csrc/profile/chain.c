#include "profile/chain.h"

#include <stdlib.h>
#include <string.h>

/* What is known of a piece of memory over the whole trace. */
struct storage {
    size_t made;        /* the operator that allocated it, or KM_NONE */
    size_t writer;      /* the last that wrote it, so far in the walk */
    size_t readers[2];  /* operators that read it, forward and backward */
    int64_t size, seen; /* bytes allocated; of the largest tensor in it */
    bool escapes;       /* read outside the chain that made it */
    size_t chain;       /* scratch of measure: the chain it was last met in, */
    int64_t read;       /* the most that one operator of it read, */
    bool written;       /* and whether it was written in place */
};

struct build {
    const km_profile_trace *t;
    const km_profile_ops *ops;
    struct storage *storages;
    int64_t *net;   /* scratch: of each storage, bytes that an operator left allocated */
    size_t *parent; /* of each operator: union-find */
    size_t *run;    /* of each operator: a stretch without anything that computes */
    bool *reduces;  /* of each root: whether there is a reduction in its set */
    bool known;     /* storages have names */
};

static const km_profile_event *event_of(const struct build *b, size_t op)
{
    return &b->t->events[b->ops->ops[op].event];
}

static const km_profile_tensor *tensor_of(const struct build *b, const km_profile_event *e,
                                          size_t i)
{
    return &b->t->tensors[b->t->signatures[e->signature].tensors[i]];
}

static const char *name_of(const struct build *b, size_t op)
{
    return b->t->names[event_of(b, op)->name];
}

static bool moves(const struct build *b, size_t op)
{
    return op != KM_NONE && km_op_moves_memory(b->ops->ops[op].kind);
}

/* The storages that an operator reads, each with its tensor; returns how many, at most `room`. */
struct access {
    size_t storage;
    int64_t bytes;
    bool read, written;
    bool number; /* a tensor without dimensions, as torch makes of 1e-6: no memory worth counting */
};

#define ACCESSES_MAX 1024

static size_t accesses(const struct build *b, size_t op, struct access out[ACCESSES_MAX])
{
    const km_profile_event *e = event_of(b, op);
    size_t count = b->t->signatures[e->signature].count, n = 0;
    km_op_class kind = b->ops->ops[op].kind;

    if (kind == KM_OP_VIEW || kind == KM_OP_SCOPE)
        return 0;
    for (size_t i = 0; i < count && n < ACCESSES_MAX; i++) {
        bool first = i == 0 && km_op_writes_first(name_of(b, op));
        if (e->storages[i] < 0)
            continue;
        out[n++] = (struct access){
            .storage = (size_t)e->storages[i],
            .bytes = tensor_of(b, e, i)->bytes,
            .read = !first || km_op_reads_first(name_of(b, op)),
            .written = first,
            .number = tensor_of(b, e, i)->dims == 0,
        };
    }
    return n;
}

typedef void (*on_left)(void *context, size_t op, size_t storage, int64_t bytes);

/* Calls `each` for every storage that an operator leaves allocated. */
static void each_left(struct build *b, size_t op, on_left each, void *context)
{
    const km_profile_op *o = &b->ops->ops[op];

    for (int pass = 0; pass < 2; pass++)
        for (size_t i = o->event; i < o->end; i++) {
            const km_profile_event *e = &b->t->events[i];
            for (size_t k = 0; k < e->allocation_count; k++) {
                int64_t storage = e->allocations[2 * k];
                if (storage >= 0 && pass == 0)
                    b->net[storage] += e->allocations[2 * k + 1];
                if (storage < 0 || pass == 0)
                    continue;
                if (b->net[storage] > 0)
                    each(context, op, (size_t)storage, b->net[storage]);
                b->net[storage] = 0;
            }
        }
}

/* ---- who reads what ---- */

static void note_made(void *context, size_t op, size_t storage, int64_t bytes)
{
    const struct build *b = context;

    b->storages[storage].made = op;
    b->storages[storage].size = bytes;
}

static void note_written(void *context, size_t op, size_t storage, int64_t bytes)
{
    const struct build *b = context;

    (void)bytes;
    b->storages[storage].writer = op;
}

static void learn(struct build *b)
{
    struct access list[ACCESSES_MAX];

    for (size_t op = 0; op < b->ops->count; op++) {
        size_t n = accesses(b, op, list);
        for (size_t i = 0; i < n; i++) {
            struct storage *s = &b->storages[list[i].storage];
            bool again = false;
            for (size_t k = 0; k < i; k++)
                again |= list[k].storage == list[i].storage && list[k].read;
            b->known = true;
            s->readers[b->ops->ops[op].backward] += list[i].read && !again;
            s->seen = list[i].bytes > s->seen ? list[i].bytes : s->seen;
        }
        each_left(b, op, note_made, b);
    }
}

/* ---- which belong together ---- */

static size_t root(const struct build *b, size_t op)
{
    while (b->parent[op] != op) {
        b->parent[op] = b->parent[b->parent[op]];
        op = b->parent[op];
    }
    return op;
}

static void join(struct build *b, size_t x, size_t y)
{
    x = root(b, x);
    y = root(b, y);
    b->reduces[x] |= b->reduces[y];
    b->parent[y] = x;
}

/* Elementwise, of the same pass and thread, and read by `op` alone, which is elementwise, too. */
static bool could_be_made_later(const struct build *b, const struct storage *s, size_t op)
{
    const km_profile_op *from = &b->ops->ops[s->writer], *to = &b->ops->ops[op];

    return s->readers[to->backward] == 1 && from->backward == to->backward &&
           event_of(b, s->writer)->thread == event_of(b, op)->thread &&
           !b->reduces[root(b, s->writer)] && !b->reduces[root(b, op)];
}

static void join_with_writer(struct build *b, size_t op, const struct access *access)
{
    const struct storage *s = &b->storages[access->storage];
    size_t from = s->writer;

    if (!access->read || !moves(b, from))
        return;
    if (b->run[from] == b->run[op] || could_be_made_later(b, s, op))
        join(b, from, op);
}

static bool ends_run(const struct build *b, size_t op)
{
    const km_profile_op *o = &b->ops->ops[op];

    return o->kind == KM_OP_COMPUTE || o->kind == KM_OP_OTHER || o->kind == KM_OP_CUSTOM ||
           (op && (o[-1].backward != o->backward ||
                   event_of(b, op - 1)->thread != event_of(b, op)->thread));
}

static void gather(struct build *b)
{
    struct access list[ACCESSES_MAX];
    size_t run = 0, last = KM_NONE;

    for (size_t op = 0; op < b->ops->count; op++) {
        size_t n = accesses(b, op, list);
        run += ends_run(b, op);
        b->run[op] = run;
        b->parent[op] = op;
        b->reduces[op] = b->ops->ops[op].kind == KM_OP_REDUCTION;
        for (size_t i = 0; i < n && moves(b, op); i++)
            join_with_writer(b, op, &list[i]);
        if (!b->known && moves(b, op) && last != KM_NONE && b->run[last] == run)
            join(b, last, op);
        for (size_t i = 0; i < n; i++)
            if (list[i].written)
                b->storages[list[i].storage].writer = op;
        each_left(b, op, note_written, b);
        last = moves(b, op) ? op : last;
    }
}

static void find_escapes(struct build *b)
{
    struct access list[ACCESSES_MAX];

    for (size_t op = 0; op < b->ops->count; op++) {
        size_t n = accesses(b, op, list);
        for (size_t i = 0; i < n; i++) {
            struct storage *s = &b->storages[list[i].storage];
            if (list[i].read && moves(b, s->made) &&
                b->ops->ops[s->made].backward == b->ops->ops[op].backward &&
                (!moves(b, op) || root(b, s->made) != root(b, op)))
                s->escapes = true;
        }
    }
}

/* ---- what a chain moves ---- */

/* Sums over a chain. */
struct sums {
    struct build b;
    size_t chain;
    int64_t read, written, largest_read, largest_left, last_left;
};

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void sum_left(void *context, size_t op, size_t storage, int64_t bytes)
{
    struct sums *s = context;
    const struct storage *m = &s->b.storages[storage];

    (void)op;
    bytes = m->seen && m->seen < bytes ? m->seen : bytes;
    s->last_left = larger(s->last_left, bytes);
    s->largest_left = larger(s->largest_left, bytes);
    s->written += m->escapes ? bytes : 0;
}

static void sum_access(struct sums *s, size_t op, const struct access *access)
{
    struct storage *m = &s->b.storages[access->storage];

    if (access->number || (moves(&s->b, m->made) && root(&s->b, m->made) == root(&s->b, op)))
        return;
    if (m->chain != s->chain) {
        m->chain = s->chain;
        m->read = 0;
        m->written = false;
    }
    if (access->written && !m->written) {
        m->written = true;
        s->written += access->bytes;
        s->largest_left = larger(s->largest_left, access->bytes);
    }
    if (access->read && access->bytes > m->read) {
        s->read += access->bytes - m->read;
        m->read = access->bytes;
    }
}

static void measure(struct sums *s, km_chain *c, size_t number)
{
    struct access list[ACCESSES_MAX];
    const km_profile_op *first = &s->b.ops->ops[c->ops[0]];

    s->chain = number;
    s->read = s->written = s->largest_read = s->largest_left = 0;
    for (size_t i = 0; i < c->count; i++) {
        size_t op = c->ops[i], n = accesses(&s->b, op, list);
        const km_profile_event *e = event_of(&s->b, op);
        for (size_t k = 0; k < s->b.t->signatures[e->signature].count; k++)
            s->largest_read = larger(s->largest_read, tensor_of(&s->b, e, k)->bytes);
        for (size_t k = 0; k < n; k++)
            sum_access(s, op, &list[k]);
        s->last_left = 0;
        each_left(&s->b, op, sum_left, s);
    }
    if (!s->written)
        s->written = s->last_left; /* nobody reads it: it is the script's result */
    c->exact = s->b.known && !first->backward;
    c->bytes = c->exact ? s->read + s->written : s->largest_read + s->largest_left;
}

/* ---- all of them ---- */

struct member {
    size_t root, op;
};

static int by_root(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    if (x->root != y->root)
        return x->root < y->root ? -1 : 1;
    return x->op < y->op ? -1 : 1;
}

static int by_first(const void *a, const void *b)
{
    const km_chain *x = a, *y = b;

    return x->ops[0] < y->ops[0] ? -1 : 1;
}

static void describe(struct sums *s, km_chain *c)
{
    c->label = c->ops[c->count - 1];
    for (size_t i = c->count; i-- > 0;) {
        const km_profile_op *o = &s->b.ops->ops[c->ops[i]];
        c->time_ns += o->time_ns;
        if (o->kind == KM_OP_REDUCTION)
            c->label = c->ops[i];
    }
}

static int collect(km_arena *a, struct sums *s, km_chains *out, km_err *err)
{
    size_t n = 0, all = s->b.ops->count;
    struct member *members = km_arena_array(a, all + 1, sizeof *members);
    size_t *ops = km_arena_array(a, all + 1, sizeof *ops);

    out->chains = km_arena_array(a, all + 1, sizeof *out->chains);
    if (!members || !ops || !out->chains)
        return km_fail_nomem(err);
    for (size_t op = 0; op < all; op++)
        if (moves(&s->b, op))
            members[n++] = (struct member){ root(&s->b, op), op };
    qsort(members, n, sizeof *members, by_root);
    for (size_t i = 0, end; i < n; i = end) {
        km_chain *c = &out->chains[out->count];
        for (end = i; end < n && members[end].root == members[i].root; end++)
            ops[end] = members[end].op;
        *c = (km_chain){ .ops = &ops[i], .count = end - i };
        describe(s, c);
        if (c->time_ns > 0)
            measure(s, c, ++out->count);
    }
    qsort(out->chains, out->count, sizeof *out->chains, by_first);
    return 0;
}

int km_chains_find(km_arena *a, const km_profile_trace *t, const km_profile_ops *ops,
                   km_chains *out, km_err *err)
{
    struct sums s = { .b = { .t = t, .ops = ops } };
    struct build *b = &s.b;

    *out = (km_chains){ 0 };
    b->storages = km_arena_array(a, t->storage_count + 1, sizeof *b->storages);
    b->net = km_arena_array(a, t->storage_count + 1, sizeof *b->net);
    b->parent = km_arena_array(a, ops->count + 1, sizeof *b->parent);
    b->run = km_arena_array(a, ops->count + 1, sizeof *b->run);
    b->reduces = km_arena_array(a, ops->count + 1, sizeof *b->reduces);
    if (!b->storages || !b->net || !b->parent || !b->run || !b->reduces)
        return km_fail_nomem(err);
    for (size_t i = 0; i < t->storage_count; i++)
        b->storages[i].made = b->storages[i].writer = KM_NONE;
    learn(b);
    gather(b);
    find_escapes(b);
    return collect(a, &s, out, err);
}
