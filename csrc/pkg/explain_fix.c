/* What to type so that something fits: the least trouble over all candidates. */
#include <stdio.h>
#include <string.h>

#include "core/str.h"
#include "pkg/explain_internal.h"

char *km_explain_quote(km_arena *a, const char *text)
{
    km_str out = KM_STR_INIT;
    char *copy;

    km_str_add(&out, "'");
    for (; *text; text++)
        if (*text == '\'')
            km_str_add(&out, "'\\''");
        else
            km_str_add_char(&out, *text);
    km_str_add(&out, "'");
    copy = km_str_check(&out, NULL) == 0 ? km_arena_strdup(a, out.data) : NULL;
    km_str_release(&out);
    return copy;
}

static bool is_better(const km_candidate *c, const km_candidate *best)
{
    return !c->fix.impossible && (!best || c->fix.cost < best->fix.cost);
}

/* torch's own indexes: one for each thing that it is built for. An installed torch of the same
 * version for another one is replaced only by force. */
static const char *torch_line(km_arena *a, const km_system *s, const km_fix *fix)
{
    const char *compute = fix->compute ? fix->compute : s->backend, *torch = fix->torch;
    char index[32];

    if (!fix->compute && strcmp(s->backend, "cpu") != 0)
        return km_arena_printf(a, "pip install '%s'", torch);
    if (!torch)
        torch = s->torch.count
                    ? km_arena_printf(a, "torch==%u.%u.*", s->torch.part[0], s->torch.part[1])
                    : "torch>=2.10";
    if (km_starts_with(compute, "rocm") && strlen(compute) > 5)
        snprintf(index, sizeof index, "rocm%.*s.%s", (int)strlen(compute) - 5, compute + 4,
                 compute + strlen(compute) - 1);
    else
        snprintf(index, sizeof index, "%s", km_starts_with(compute, "xpu") ? "xpu" : compute);
    return km_arena_printf(a,
                           "pip install %s'%s' --index-url $URL/%s   # URL: of torch's wheels, at "
                           "pytorch.org/get-started/locally",
                           s->torch.count && strcmp(compute, s->backend) != 0 ? "--force-reinstall "
                                                                              : "",
                           torch, index);
}

int km_explain_fix(km_arena *a, const km_system *s, km_choice *choice, bool hub, km_err *err)
{
    const km_candidate *best = NULL;
    size_t n = 0;

    if (choice->fits)
        return 0;
    for (size_t i = 0; i < choice->count; i++)
        if (is_better(&choice->items[i], best))
            best = &choice->items[i];
    choice->fixes = km_arena_array(a, sizeof best->fix.lines / sizeof *best->fix.lines + 3,
                                   sizeof *choice->fixes);
    if (!choice->fixes)
        return km_fail_nomem(err);
    choice->fix_of = best;
    if (!best)
        return 0;
    if (best->fix.torch || best->fix.compute)
        choice->fixes[n++] = torch_line(a, s, &best->fix);
    if (best->fix.driver)
        choice->fixes[n++] = km_arena_printf(a, "apt install nvidia-driver-%d   # and restart",
                                             best->fix.driver);
    for (size_t i = 0; i < best->fix.line_count; i++)
        choice->fixes[n++] = best->fix.lines[i];
    if (best->fits) /* it would work, and another one is taken */
        choice->fixes[n++] = hub ? km_arena_printf(a,
                                                   "python3 -c \"import kernels, pathlib; "
                                                   "kernels.get_local_kernel(pathlib.Path('%s'))\"",
                                                   best->path)
                                 : km_arena_printf(a, "pip install %s",
                                                   km_explain_quote(a, best->path));
    for (size_t i = 0; i < n; i++)
        if (!choice->fixes[i])
            return km_fail_nomem(err);
    choice->fix_count = n;
    return 0;
}

/* ---- why one was preferred ---- */

static const char *why_variant(const km_candidate *first, const km_candidate *second)
{
    const int *x = first->key, *y = second->key;

    if (x[0] != y[0])
        return x[0] == 0   ? "a stable-ABI variant comes before one for a single torch"
               : x[0] == 1 ? "one for this torch comes before tvm-ffi and uncompiled ones"
                           : "it comes first";
    if (x[1] != y[1] || (x[0] == 0 && x[2] != y[2]))
        return "the newest stable ABI that torch has comes first";
    if (x[2] != y[2])
        return "a name without the C++ ABI comes before one with it";
    if (x[3] != y[3])
        return x[0] < 2 ? "the highest CUDA version comes first" : "'universal' comes last";
    return "the client has no order between the two; here it is the name's";
}

static const char *why_wheel(const km_candidate *first, const km_candidate *second)
{
    if (strcmp(first->version, second->version) != 0)
        return "pip takes the highest version, and a local one (+...) before the same without";
    return "pip takes the most specific tag";
}

const char *km_explain_preference(km_arena *a, const char *kind, const km_candidate *first,
                                  const km_candidate *second)
{
    bool hub = strcmp(kind, "hub folder") == 0;

    if (!second)
        return km_arena_printf(a, "the only one that %s",
                               hub ? "the client accepts" : "pip accepts");
    return km_arena_printf(a, "%s; next would be %s",
                           hub ? why_variant(first, second) : why_wheel(first, second),
                           second->name);
}
