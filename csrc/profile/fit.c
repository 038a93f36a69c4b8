#include "profile/fit.h"

#include <string.h>
#include <strings.h>

#include "core/str.h"

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

/* ---- the parts of a chain that are one call of ours ---- */

#define AFTER_MAX 6 /* operators behind an anchor: products, conversions, 1 + weight */

struct part {
    size_t from, to; /* its operators, `to` excluded */
    size_t anchor;   /* the operator that it was found by */
    bool residual;   /* the first is an add of a residual */
    bool by_use;     /* of a form that kernmill.transformers.use puts into a module */
    const char *function;
    const char *why; /* what is in the way, else NULL */
};

static bool same_sizes(const km_profile_tensor *x, const km_profile_tensor *y)
{
    return x && y && x->dims && x->dims == y->dims &&
           memcmp(x->sizes, y->sizes, x->dims * sizeof *x->sizes) == 0;
}

static bool is_residual(const struct chain *c, size_t i)
{
    return is(c, i, " add ") && same_sizes(tensor_of(c, i, 0), tensor_of(c, i, 1));
}

/* Whether the i-th operator is one of `names`, in the same call of a module as the anchor. */
static bool is_near(const struct chain *c, size_t i, size_t anchor, const char *names)
{
    return i < c->c->count && op_at(c, i)->call == op_at(c, anchor)->call && is(c, i, names);
}

static void take_residual(const struct chain *c, struct part *p)
{
    p->residual = p->from > 0 && is_residual(c, p->from - 1);
    p->from -= p->residual;
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

static struct part find_rms_norm(const struct chain *c, size_t anchor)
{
    struct part p = { .from = anchor, .to = anchor + 1, .anchor = anchor, .by_use = true };
    bool by_hand = is(c, anchor, " rsqrt ");

    while (by_hand && p.from > 0 && !is_residual(c, p.from - 1) &&
           is_near(c, p.from - 1, anchor, " pow square mul mean add to type_as "))
        p.from--;
    while (by_hand && p.to <= anchor + AFTER_MAX &&
           is_near(c, p.to, anchor, " mul add to type_as ") && !is_residual(c, p.to))
        p.to++;
    take_residual(c, &p);
    p.function = p.residual ? "kernmill_rmsnorm.fused_add_rms_norm" : "kernmill_rmsnorm.rms_norm";
    if (!is_last_dimension(c, &p))
        p.why = "kernmill-rmsnorm normalises the last dimension";
    return p;
}

static struct part find_layer_norm(const struct chain *c, size_t anchor)
{
    struct part p = { .from = anchor, .to = anchor + 1, .anchor = anchor, .by_use = true };
    const km_profile_tensor *weight = tensor_of(c, anchor, 1);

    take_residual(c, &p);
    p.function = p.residual ? "kernmill_layernorm.fused_add_layer_norm"
                            : "kernmill_layernorm.layer_norm";
    if (weight && weight->dims != 1)
        p.why = "kernmill-layernorm normalises the last dimension";
    return p;
}

/* An activation and, where that comes next, the product with something of its sizes. The trace does
 * not hold which gelu it is. */
static struct part find_activation(const struct chain *c, size_t anchor)
{
    struct part p = { .from = anchor, .to = anchor + 1, .anchor = anchor };
    const km_profile_tensor *x = tensor_of(c, anchor, 0);
    size_t next = anchor + 1;
    bool silu = is(c, anchor, " silu ");

    p.by_use = next < c->c->count && is(c, next, " mul ") && same_sizes(x, tensor_of(c, next, 0)) &&
               same_sizes(x, tensor_of(c, next, 1));
    p.to += p.by_use;
    p.function = silu       ? "kernmill_activation.silu"
                 : p.by_use ? "kernmill_activation.gelu_mul or gelu_tanh_mul"
                            : "kernmill_activation.gelu or gelu_tanh";
    if (silu && p.by_use)
        p.function = "kernmill_activation.silu_mul";
    if (!silu && !is(c, anchor, " gelu "))
        p.why = "kernmill-activation has silu and gelu";
    return p;
}

/* 0.5 * x * (1 + tanh(a * (x + b * x ** 3))). */
static struct part find_gelu(const struct chain *c, size_t anchor)
{
    struct part p = { .from = anchor, .to = anchor + 1, .anchor = anchor };

    while (p.from > 0 && is_near(c, p.from - 1, anchor, " pow mul add "))
        p.from--;
    while (p.to <= anchor + 2 && is_near(c, p.to, anchor, " add mul "))
        p.to++;
    p.function = "kernmill_activation.gelu_new";
    if (p.to - p.from != 8)
        p.why = "kernmill-activation has gelu_new, and these are other steps";
    return p;
}

/* x * cos + rotate(x) * sin, where rotate turns (a, b) into (-b, a); with conversions between. */
static struct part find_rotary(const struct chain *c, size_t anchor)
{
    static const char *const steps[] = { " cat stack ", " mul ", " add addcmul " };
    struct part p = { .from = anchor, .to = anchor + 1, .anchor = anchor, .by_use = true };
    size_t met = 0;

    while (p.from > 0 && is_near(c, p.from - 1, anchor, " to type_as "))
        p.from--;
    if (p.from > 0 && is_near(c, p.from - 1, anchor, " mul "))
        p.from--;
    for (; met < 3 && p.to <= anchor + AFTER_MAX; p.to++)
        if (is_near(c, p.to, anchor, steps[met]))
            met++;
        else if (!is_near(c, p.to, anchor, " to type_as reshape flatten "))
            break;
    p.function = "kernmill_rotary.rotary";
    if (met < 3 || !is(c, p.from, " mul to type_as "))
        p.why = "kernmill-rotary fits x * cos + rotate(x) * sin, and these are other steps";
    return p;
}

/* ---- our kernels ---- */

#define DTYPES      " float32 float16 bfloat16 "
#define DTYPES_TEXT "float32, float16 and bfloat16"

static const struct kernel {
    const char *name, *family;
    const char *module;  /* a word in the class of the modules that the family is for */
    const char *anchors; /* operators that a part is found by */
    struct part (*find)(const struct chain *c, size_t anchor);
} rms_norm = { "kernmill-rmsnorm", "rms_norm", "norm", " rsqrt rms_norm _fused_rms_norm ",
               find_rms_norm },
  layer_norm = { "kernmill-layernorm", "layer_norm", "norm", " layer_norm native_layer_norm ",
                 find_layer_norm },
  activation = { "kernmill-activation", "activation", "mlp", " silu gelu relu mish hardswish ",
                 find_activation },
  gelu_by_hand = { "kernmill-activation", "activation", "mlp", " tanh ", find_gelu },
  rotary = { "kernmill-rotary", "rotary", "att", " neg ", find_rotary };

/* A pattern is met when each text of `needs` holds the name of an operator of the chain, and `not`
 * none. The first row that is met counts. Names stand between spaces, without "aten::". */
#define NEEDS_MAX 4
struct pattern {
    const char *name;
    const char *needs[NEEDS_MAX];
    const char *without;
    const struct kernel *kernel;
};

#define SOFTMAX " softmax _softmax _safe_softmax special_softmax log_softmax _log_softmax "
/* Without tanh: a gelu by hand has that, and products. */
#define GATED      " silu gelu relu mish hardswish "
#define ACTIVATION " sigmoid tanh elu leaky_relu softplus relu6 "

static const struct pattern patterns[] = {
    { "rms norm", { " rms_norm _fused_rms_norm " }, "", &rms_norm },
    { "rms norm", { " pow square mul ", " mean ", " rsqrt " }, " sub rsub var ", &rms_norm },
    { "layer norm", { " layer_norm native_layer_norm " }, "", &layer_norm },
    { "group or batch norm",
      { " group_norm native_group_norm batch_norm native_batch_norm cudnn_batch_norm "
        "instance_norm " },
      "",
      NULL },
    { "cross entropy", { " cross_entropy_loss nll_loss nll_loss_forward " }, "", NULL },
    { "softmax", { SOFTMAX }, "", NULL },
    { "rotary embedding", { " neg ", " cat stack ", " mul ", " add addcmul " }, "", &rotary },
    { "gated activation", { GATED, " mul " }, "", &activation },
    { "activation", { GATED }, "", &activation },
    { "activation", { " tanh ", " pow ", " mul ", " add " }, "", &gelu_by_hand },
    { "activation", { ACTIVATION }, "", NULL },
    { "optimizer step",
      { " _fused_adam _fused_adamw _fused_sgd _foreach_add _foreach_mul addcdiv " },
      "",
      NULL },
};

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

    if (p->why)
        return p->why;
    if (!x || !holds(DTYPES, x->dtype))
        return km_arena_printf(a, "%s takes " DTYPES_TEXT ", not %s", k->name,
                               x ? x->dtype : "what is not known");
    return NULL;
}

/* By the class, and inside a function that the kernels package made a module of, by the path. */
static bool is_in_module(km_arena *a, const struct chain *c, size_t i, const char *word)
{
    const char *class = km_profile_module_class(a, c->t, op_at(c, i));
    bool is_function = class && strcmp(class, "Func") == 0;

    return class &&
           strcasestr(is_function ? km_profile_module_path(c->t, op_at(c, i)) : class, word);
}

static void cover(km_arena *a, const struct chain *c, const struct part *p, const struct kernel *k,
                  km_fit *out)
{
    bool inside = p->by_use && is_in_module(a, c, p->to - 1, k->module);

    out->kernel = k->name;
    out->family = k->family;
    if (p->residual || !out->function)
        out->function = p->function;
    out->covered += p->to - p->from;
    for (size_t i = p->from; i < p->to; i++)
        out->covered_ns += op_at(c, i)->time_ns;
    for (size_t i = p->from + p->residual; inside && i < p->to; i++)
        out->in_module_ns += op_at(c, i)->time_ns;
}

static void fit_parts(km_arena *a, const struct chain *c, const struct kernel *k, km_fit *out)
{
    for (size_t i = 0; i < c->c->count; i++) {
        struct part p;
        const char *why;
        if (!is(c, i, k->anchors))
            continue;
        p = k->find(c, i);
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
        fit_parts(a, &chain, p->kernel, &fit);
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
