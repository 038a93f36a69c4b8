#include "profile/fit.h"

#include <string.h>
#include <strings.h>

#include "core/str.h"

#define NEEDS_MAX 4

/* What our kernels take, as their cards say. */
static const struct kernel {
    const char *name, *dtypes, *dtypes_text, *function, *with_residual;
} rmsnorm = {
    .name = "kernmill-rmsnorm",
    .dtypes = " float32 float16 bfloat16 ",
    .dtypes_text = "float32, float16 and bfloat16",
    .function = "kernmill_rmsnorm.rms_norm",
    .with_residual = "kernmill_rmsnorm.fused_add_rms_norm",
};

/* A pattern is met when each text of `needs` holds the name of an operator of the chain, and `not`
 * none. The first row that is met counts. Names stand between spaces, without "aten::". */
struct pattern {
    const char *name;
    const char *needs[NEEDS_MAX];
    const char *without;
    const struct kernel *kernel;
};

#define SOFTMAX " softmax _softmax _safe_softmax special_softmax log_softmax _log_softmax "
/* Without tanh: a gelu by hand has that, and products. */
#define GATED      " silu gelu relu mish hardswish "
#define ACTIVATION " silu gelu relu sigmoid tanh mish elu leaky_relu hardswish softplus relu6 "

static const struct pattern patterns[] = {
    { "rms norm", { " rms_norm _fused_rms_norm " }, "", &rmsnorm },
    { "rms norm", { " pow square mul ", " mean ", " rsqrt " }, " sub rsub var ", &rmsnorm },
    { "layer norm", { " layer_norm native_layer_norm " }, "", NULL },
    { "group or batch norm",
      { " group_norm native_group_norm batch_norm native_batch_norm cudnn_batch_norm "
        "instance_norm " },
      "",
      NULL },
    { "cross entropy", { " cross_entropy_loss nll_loss nll_loss_forward " }, "", NULL },
    { "softmax", { SOFTMAX }, "", NULL },
    { "rotary embedding", { " neg ", " cat ", " mul ", " add addcmul " }, "", NULL },
    { "gated activation", { GATED, " mul " }, "", NULL },
    { "activation", { ACTIVATION }, "", NULL },
    { "optimizer step",
      { " _fused_adam _fused_adamw _fused_sgd _foreach_add _foreach_mul addcdiv " },
      "",
      NULL },
};

/* ---- names of a chain's operators ---- */

struct chain {
    const km_profile_trace *t;
    const km_profile_ops *ops;
    const km_chain *c;
};

static const km_profile_op *op_at(const struct chain *c, size_t i)
{
    return &c->ops->ops[c->c->ops[i]];
}

static bool is(const struct chain *c, size_t i, const char *names)
{
    return km_op_is(c->t->names[c->t->events[op_at(c, i)->event].name], names);
}

/* The first of `names`, or KM_NONE. */
static size_t find(const struct chain *c, const char *names)
{
    for (size_t i = 0; i < c->c->count; i++)
        if (is(c, i, names))
            return i;
    return KM_NONE;
}

static const km_profile_tensor *tensor_of(const struct chain *c, size_t i, size_t which)
{
    const km_profile_signature *s = &c->t->signatures[c->t->events[op_at(c, i)->event].signature];

    return which < s->count ? &c->t->tensors[s->tensors[which]] : NULL;
}

static const struct pattern *match(const struct chain *c)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        bool met = find(c, patterns[i].without) == KM_NONE;
        for (size_t k = 0; k < NEEDS_MAX && patterns[i].needs[k]; k++)
            met &= find(c, patterns[i].needs[k]) != KM_NONE;
        if (met)
            return &patterns[i];
    }
    return NULL;
}

/* ---- the parts of a chain that are RMSNorms ---- */

#define ANCHORS   " rsqrt rms_norm _fused_rms_norm "
#define AFTER_MAX 6 /* operators behind the reciprocal root: products, conversions, 1 + weight */

struct part {
    size_t from, to; /* its operators, `to` excluded */
    size_t anchor;   /* rsqrt, or the one operator that is all of it */
    bool residual;   /* there is an add before it */
};

static bool is_residual(const struct chain *c, size_t i)
{
    const km_profile_tensor *x = tensor_of(c, i, 0), *y = tensor_of(c, i, 1);

    return is(c, i, " add ") && x && y && x->dims && x->dims == y->dims &&
           memcmp(x->sizes, y->sizes, x->dims * sizeof *x->sizes) == 0;
}

/* Whether the i-th operator may be of the norm around the anchor: one of `names`, in the same call
 * of a module. */
static bool belongs(const struct chain *c, size_t i, size_t anchor, const char *names)
{
    return op_at(c, i)->call == op_at(c, anchor)->call && is(c, i, names) && !is_residual(c, i);
}

static struct part find_norm(const struct chain *c, size_t anchor)
{
    struct part p = { .from = anchor, .to = anchor + 1, .anchor = anchor };
    bool by_hand = is(c, anchor, " rsqrt ");

    while (by_hand && p.from > 0 &&
           belongs(c, p.from - 1, anchor, " pow square mul mean add to type_as "))
        p.from--;
    while (by_hand && p.to < c->c->count && p.to <= anchor + AFTER_MAX &&
           belongs(c, p.to, anchor, " mul add to type_as "))
        p.to++;
    p.residual = p.from > 0 && is_residual(c, p.from - 1);
    p.from -= p.residual;
    return p;
}

/* The mean keeps its dimension, and it is the last. */
static bool is_last_dimension(const struct chain *c, const struct part *p)
{
    const km_profile_tensor *x = NULL, *root = tensor_of(c, p->anchor, 0);

    if (!is(c, p->anchor, " rsqrt "))
        return true; /* the operator's own normal form */
    for (size_t i = p->from; i < p->anchor; i++)
        x = is(c, i, " mean ") ? tensor_of(c, i, 0) : x;
    if (!x || !root || !x->dims || x->dims != root->dims)
        return false;
    return root->sizes[x->dims - 1] == 1 &&
           memcmp(x->sizes, root->sizes, (x->dims - 1) * sizeof *x->sizes) == 0;
}

static bool holds(const char *list, const char *word)
{
    size_t n = strlen(word);
    const char *at = list;

    while ((at = strstr(at, word)) && !(at[-1] == ' ' && at[n] == ' '))
        at++;
    return at && n;
}

/* Why the kernel does not take a part; NULL: it does. */
static const char *find_obstacle(km_arena *a, const struct chain *c, const struct part *p,
                                 const struct kernel *k)
{
    const km_profile_tensor *x = tensor_of(c, p->from, 0);

    if (!is_last_dimension(c, p))
        return km_arena_printf(a, "%s normalises the last dimension", k->name);
    if (!x || !holds(k->dtypes, x->dtype))
        return km_arena_printf(a, "%s takes %s, not %s", k->name, k->dtypes_text,
                               x ? x->dtype : "what is not known");
    return NULL;
}

static void cover(km_arena *a, const struct chain *c, const struct part *p, const struct kernel *k,
                  km_fit *out)
{
    const char *class = km_profile_module_class(a, c->t, op_at(c, p->anchor));
    bool norm = class && strcasestr(class, "norm");

    out->kernel = k->name;
    out->function = p->residual || !out->function ? (p->residual ? k->with_residual : k->function)
                                                  : out->function;
    out->covered += p->to - p->from;
    for (size_t i = p->from; i < p->to; i++)
        out->covered_ns += op_at(c, i)->time_ns;
    for (size_t i = p->from + p->residual; norm && i < p->to; i++)
        out->in_module_ns += op_at(c, i)->time_ns;
}

static void fit_norms(km_arena *a, const struct chain *c, const struct kernel *k, km_fit *out)
{
    for (size_t i = 0; i < c->c->count; i++) {
        struct part p;
        const char *why;
        if (!is(c, i, ANCHORS))
            continue;
        p = find_norm(c, i);
        why = find_obstacle(a, c, &p, k);
        if (why)
            out->why = why;
        else
            cover(a, c, &p, k, out);
        i = p.to - 1;
    }
}

km_fit km_fit_find(km_arena *a, const km_profile_trace *t, const km_profile_ops *ops,
                   const km_chain *c)
{
    struct chain chain = { t, ops, c };
    const struct pattern *p = op_at(&chain, 0)->backward ? NULL : match(&chain);
    km_fit fit = { .pattern = p ? p->name : "" };

    if (p && p->kernel)
        fit_norms(a, &chain, p->kernel, &fit);
    return fit;
}

/* The largest that the i-th operator is given. */
static const km_profile_tensor *largest_of(const struct chain *c, size_t i)
{
    const km_profile_tensor *largest = NULL, *x;

    for (size_t k = 0; (x = tensor_of(c, i, k)); k++)
        if (!largest || x->bytes > largest->bytes)
            largest = x;
    return largest;
}

const km_profile_tensor *km_chain_tensor(const km_profile_trace *t, const km_profile_ops *ops,
                                         const km_chain *c)
{
    struct chain chain = { t, ops, c };
    const km_profile_tensor *x = NULL;

    for (size_t i = 0; !x && i < c->count; i++)
        x = largest_of(&chain, i);
    return x;
}
