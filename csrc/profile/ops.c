#include "profile/ops.h"

#include <stdlib.h>
#include <string.h>

#include "core/str.h"

/* A range of the script's in which everything counts. */
struct span {
    int64_t start, end;
};

/* Where a walk over the events is. */
struct walk {
    const km_profile_trace *t;
    km_profile_ops *out;
    km_op_class *kinds;   /* of each name */
    bool *lazy, *crosses; /* of each name; of each signature: the memory of two devices */
    size_t *around;       /* scratch: of each event, the range around it */
    size_t *scopes;       /* of each event: the event of the innermost module's range, or KM_NONE */
    size_t backward;      /* depth of the outermost open call of autograd's engine, or KM_NONE */
    int64_t forward;      /* the event whose gradient that call computes */
    struct span *spans;
    size_t span_count;
};

static const char *name_of(const km_profile_trace *t, size_t event)
{
    return t->names[t->events[event].name];
}

static size_t end_of(const km_profile_trace *t, size_t event)
{
    size_t i = event + 1;

    while (i < t->event_count && t->events[i].depth > t->events[event].depth)
        i++;
    return i;
}

/* Code that torch.compile made runs inside ranges of these names, and has none of its own. */
static bool is_compiled(const char *name)
{
    return km_starts_with(name, "Torch-Compiled Region") ||
           km_starts_with(name, "## Call CompiledFxGraph");
}

/* ---- what counts ---- */

static int by_start(const void *a, const void *b)
{
    const struct span *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

/* Ranges may overlap; each then ends where the last of those before it does. */
static void find_spans(struct walk *w)
{
    int64_t from = 0, wall = 0;

    for (size_t i = 0; i < w->t->event_count; i++) {
        const km_profile_event *e = &w->t->events[i];
        if (strcmp(name_of(w->t, i), KM_PROFILE_MARK) == 0)
            w->spans[w->span_count++] = (struct span){ e->start_ns, e->start_ns + e->duration_ns };
    }
    w->out->marked = w->span_count > 0;
    for (size_t i = 0; !w->out->marked && i < w->t->event_count; i++) {
        const km_profile_event *e = &w->t->events[i];
        struct span *all = &w->spans[0];
        if (i == 0 || e->start_ns < all->start)
            all->start = e->start_ns;
        if (i == 0 || e->start_ns + e->duration_ns > all->end)
            all->end = e->start_ns + e->duration_ns;
        w->span_count = 1;
    }
    qsort(w->spans, w->span_count, sizeof *w->spans, by_start);
    for (size_t i = 0; i < w->span_count; i++) {
        struct span *s = &w->spans[i];
        if (i && w->spans[i - 1].end > s->end)
            s->end = w->spans[i - 1].end;
        from = i && w->spans[i - 1].end > s->start ? w->spans[i - 1].end : s->start;
        wall += s->end - from;
    }
    w->out->wall_ns = (double)wall;
}

static bool counts(const struct walk *w, int64_t ns)
{
    size_t low = 0, high = w->span_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->spans[middle].start <= ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low && (ns < w->spans[low - 1].end || !w->out->marked);
}

/* ---- the operators ---- */

static double own_time(const km_profile_trace *t, size_t event)
{
    const km_profile_event *e = &t->events[event];
    int64_t below = 0;

    if (t->on_device)
        return (double)e->device_ns;
    for (size_t i = event + 1, end = end_of(t, event); i < end; i++)
        if (t->events[i].depth == e->depth + 1)
            below += t->events[i].duration_ns;
    return below < e->duration_ns ? (double)(e->duration_ns - below) : 0;
}

static double whole_time(const km_profile_trace *t, size_t event, size_t end)
{
    int64_t ns = 0;

    if (!t->on_device)
        return (double)t->events[event].duration_ns;
    for (size_t i = event; i < end; i++)
        ns += t->events[i].device_ns;
    return (double)ns;
}

/* What the table says of the name, seen in the light of what was called below. */
static km_op_class refine(const struct walk *w, size_t event, size_t end)
{
    const km_profile_trace *t = w->t;
    km_op_class kind = w->kinds[t->events[event].name];
    bool works = false;

    if (!km_op_moves_memory(kind))
        return kind;
    for (size_t i = event; i < end; i++) {
        size_t name = t->events[i].name;
        if (w->crosses[t->events[i].signature])
            return KM_OP_OTHER; /* over the bus between two memories */
        works |= km_op_moves_memory(w->kinds[name]) && !w->lazy[name];
    }
    return works ? kind : KM_OP_VIEW;
}

static void add(struct walk *w, size_t event, size_t end, km_op_class kind, double ns)
{
    bool backward = w->backward != KM_NONE;
    size_t of = backward ? (size_t)w->forward : event;
    size_t module = of < w->t->event_count ? w->scopes[of] : KM_NONE;

    w->out->ops[w->out->count++] = (km_profile_op){
        .event = event,
        .end = end,
        .module = module == KM_NONE ? KM_NONE : w->t->events[module].name,
        .call = module,
        .kind = kind,
        .backward = backward,
        .own_ns = ns,
        .time_ns = ns,
    };
}

/* An event that is no operator or only calls others: its own time counts where it is work. */
static void add_scope(struct walk *w, size_t event, bool leaf)
{
    const char *name = name_of(w->t, event);
    bool torch = w->kinds[w->t->events[event].name] == KM_OP_OTHER;
    double ns = own_time(w->t, event);
    bool works = w->t->on_device ? ns > 0 : is_compiled(name) || (torch && leaf);

    if (works)
        add(w, event, event + 1, KM_OP_OTHER, ns);
    else if (torch && ns > 0)
        add(w, event, event + 1, KM_OP_SCOPE, ns);
}

/* Returns the event to go on with. */
static size_t step(struct walk *w, size_t event)
{
    const km_profile_event *e = &w->t->events[event];
    km_op_class kind = w->kinds[e->name];
    size_t end = end_of(w->t, event);

    if (w->backward != KM_NONE && w->backward >= e->depth)
        w->backward = KM_NONE;
    if (w->backward == KM_NONE && km_starts_with(name_of(w->t, event), KM_PROFILE_BACKWARD)) {
        w->backward = e->depth;
        w->forward = e->forward;
    }
    if (!counts(w, e->start_ns))
        return event + 1;
    if (kind == KM_OP_SCOPE || kind == KM_OP_OTHER) {
        add_scope(w, event, end == event + 1);
        return event + 1;
    }
    add(w, event, end, refine(w, event, end), whole_time(w->t, event, end));
    return end;
}

static bool crosses(const km_profile_trace *t, const km_profile_signature *s)
{
    const char *first = NULL;

    for (size_t i = 0; i < s->count; i++) {
        const km_profile_tensor *tensor = &t->tensors[s->tensors[i]];
        if (first && tensor->dims && strcmp(first, tensor->device) != 0)
            return true;
        first = tensor->dims ? tensor->device : first;
    }
    return false;
}

/* A range belongs to itself. */
static void find_scopes(struct walk *w)
{
    size_t open = KM_NONE;

    for (size_t i = 0; i < w->t->event_count; i++) {
        size_t depth = w->t->events[i].depth;
        while (open != KM_NONE && w->t->events[open].depth >= depth)
            open = w->around[open];
        w->around[i] = open;
        if (km_starts_with(name_of(w->t, i), KM_PROFILE_MODULE))
            open = i;
        w->scopes[i] = open;
    }
}

static bool prepare(struct walk *w, km_arena *a)
{
    const km_profile_trace *t = w->t;

    w->kinds = km_arena_array(a, t->name_count + 1, sizeof *w->kinds);
    w->lazy = km_arena_array(a, t->name_count + 1, sizeof *w->lazy);
    w->crosses = km_arena_array(a, t->signature_count + 1, sizeof *w->crosses);
    w->scopes = km_arena_array(a, t->event_count + 1, sizeof *w->scopes);
    w->around = km_arena_array(a, t->event_count + 1, sizeof *w->around);
    w->spans = km_arena_array(a, t->event_count + 1, sizeof *w->spans);
    w->out->ops = km_arena_array(a, t->event_count + 1, sizeof *w->out->ops);
    if (!w->kinds || !w->lazy || !w->crosses || !w->scopes || !w->around || !w->spans ||
        !w->out->ops)
        return false;
    for (size_t i = 0; i < t->name_count; i++) {
        bool ours = km_starts_with(t->names[i], KM_PROFILE_MODULE) ||
                    km_starts_with(t->names[i], KM_PROFILE_BACKWARD);
        w->kinds[i] = ours ? KM_OP_SCOPE : km_op_class_of(t->names[i]);
        w->lazy[i] = km_op_is_lazy(t->names[i]);
    }
    for (size_t i = 0; i < t->signature_count; i++)
        w->crosses[i] = crosses(t, &t->signatures[i]);
    return true;
}

/* ---- the median of alike calls ---- */

struct sample {
    size_t module, name, signature, call, ordinal, op;
    double ns;
};

static int order(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int by_kind(const struct sample *x, const struct sample *y)
{
    int c = order(x->module, y->module);

    c = c ? c : order(x->name, y->name);
    return c ? c : order(x->signature, y->signature);
}

static int by_call(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;
    int c = by_kind(x, y);

    c = c ? c : order(x->call, y->call);
    return c ? c : order(x->op, y->op);
}

static int by_place(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;
    int c = by_kind(x, y);

    c = c ? c : order(x->ordinal, y->ordinal);
    return c ? c : (x->ns > y->ns) - (x->ns < y->ns);
}

/* A module that calls the same operator twice has two places for it, each with its own median. */
static void number_places(struct sample *s, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (by_kind(&s[i], &s[i - 1]) == 0 && s[i].call == s[i - 1].call && s[i].call != KM_NONE)
            s[i].ordinal = s[i - 1].ordinal + 1;
}

static int take_medians(km_arena *a, const km_profile_trace *t, km_profile_ops *ops, km_err *err)
{
    struct sample *s = km_arena_array(a, ops->count + 1, sizeof *s);

    if (!s)
        return km_fail_nomem(err);
    for (size_t i = 0; i < ops->count; i++) {
        const km_profile_op *op = &ops->ops[i];
        const km_profile_event *e = &t->events[op->event];
        s[i] = (struct sample){ op->module, e->name, e->signature, op->call, 0, i, op->own_ns };
    }
    qsort(s, ops->count, sizeof *s, by_call);
    number_places(s, ops->count);
    qsort(s, ops->count, sizeof *s, by_place);
    for (size_t i = 0, end; i < ops->count; i = end) {
        for (end = i + 1;
             end < ops->count && by_kind(&s[i], &s[end]) == 0 && s[i].ordinal == s[end].ordinal;)
            end++;
        double median = (s[i + (end - i - 1) / 2].ns + s[i + (end - i) / 2].ns) / 2;
        for (size_t k = i; k < end && end - i > 2; k++)
            ops->ops[s[k].op].time_ns = median;
    }
    return 0;
}

int km_profile_ops_find(km_arena *a, const km_profile_trace *t, km_profile_ops *out, km_err *err)
{
    struct walk w = { .t = t, .out = out, .backward = KM_NONE };

    *out = (km_profile_ops){ 0 };
    if (!prepare(&w, a))
        return km_fail_nomem(err);
    find_spans(&w);
    find_scopes(&w);
    for (size_t i = 0; i < t->event_count;)
        i = step(&w, i);
    return take_medians(a, t, out, err);
}

/* ---- names ---- */

const char *km_profile_module_class(km_arena *a, const km_profile_trace *t, const km_profile_op *op)
{
    const char *name;

    if (op->module == KM_NONE)
        return "";
    name = t->names[op->module] + strlen(KM_PROFILE_MODULE);
    return km_arena_strndup(a, name, strcspn(name, " "));
}

const char *km_profile_module_path(const km_profile_trace *t, const km_profile_op *op)
{
    const char *name;

    if (op->module == KM_NONE)
        return "";
    name = t->names[op->module] + strlen(KM_PROFILE_MODULE);
    name += strcspn(name, " ");
    return name + (*name == ' ');
}

const char *km_profile_op_name(const km_profile_trace *t, const km_profile_op *op)
{
    const char *name = name_of(t, op->event);

    if (is_compiled(name))
        return "(code that torch.compile made)";
    return km_starts_with(name, KM_PROFILE_MODULE) ? "(kernels that a module launches)" : name;
}
