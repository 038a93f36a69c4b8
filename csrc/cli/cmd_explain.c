/* cli/cmd_explain.c: kernmill explain PATH: which build fits this machine, or one described, and
 * why the others do not. */
#include <stdio.h>
#include <string.h>

#include "cli/system_options.h"
#include "cli/wrap.h"
#include "core/str.h"
#include "pkg/explain.h"

typedef struct {
    km_common common;
    km_system_options system;
} explain_fields;

static const km_opt options[] = {
    KM_SYSTEM_OPTION_ROWS(explain_fields),
    KM_OPT_END,
};

/* ---- JSON ---- */

static json_t *candidate_json(const km_candidate *c)
{
    json_t *reasons = json_array();

    for (size_t i = 0; i < c->reason_count; i++)
        json_array_append_new(
            reasons, json_pack("{s:s,s:s,s:b,s:s}", "side", km_reason_names[c->reasons[i].side],
                               "code", c->reasons[i].code, "chooses", c->reasons[i].chooses, "text",
                               c->reasons[i].text));
    return json_pack("{s:s,s:b,s:b,s:b,s:o}", "name", c->name, "accepted", c->accepted, "chosen",
                     c->chosen, "fits", c->fits, "reasons", reasons);
}

static json_t *choice_json(const km_choice *c)
{
    json_t *candidates = json_array(), *fixes = json_array();

    for (size_t i = 0; i < c->count; i++)
        json_array_append_new(candidates, candidate_json(&c->items[i]));
    for (size_t i = 0; i < c->fix_count; i++)
        json_array_append_new(fixes, json_string(c->fixes[i]));
    return json_pack("{s:s,s:s?,s:b,s:s,s:s?,s:o,s:o}", "name", c->name, "chosen",
                     c->chosen ? c->chosen->name : NULL, "fits", c->fits, "why", c->why, "fix_of",
                     c->fix_of ? c->fix_of->name : NULL, "fixes", fixes, "candidates", candidates);
}

static int print_json(km_explanation *e, const km_system *s, const char *path, km_err *err)
{
    char *shown = km_arena_strdup(&e->arena, path);
    json_t *kernels = json_array();

    if (shown)
        km_text_clean(shown);
    for (size_t i = 0; i < e->count; i++)
        json_array_append_new(kernels, choice_json(&e->choices[i]));
    return km_print_json(json_pack("{s:i,s:s?,s:s,s:o,s:b,s:o}", "schema", KM_JSON_SCHEMA, "path",
                                   shown, "kind", e->kind, "system",
                                   km_cli_system_json(&e->arena, s), "fits", e->fits, "kernels",
                                   kernels),
                         err);
}

/* ---- text ---- */

static const char *verdict(const km_candidate *c)
{
    if (c->chosen)
        return c->fits ? "chosen, and fits" : "chosen, and will not work";
    if (c->accepted)
        return c->fits ? "fits" : "accepted, and would not work";
    return "refused";
}

static void print_candidate(const km_candidate *c)
{
    static const char *const marks[] = { "    + ", "    - ", "    . " };
    static const km_reason_side order[] = { KM_REASON_AGAINST, KM_REASON_FOR, KM_REASON_NOTE };

    printf("\n%s %s\n    %s\n", c->chosen ? "*" : " ", c->name, verdict(c));
    for (size_t k = 0; k < sizeof order / sizeof *order; k++)
        for (size_t i = 0; i < c->reason_count; i++)
            if (c->reasons[i].side == order[k])
                km_print_wrapped(marks[order[k]], c->reasons[i].text);
}

static void print_choice(km_arena *a, const km_choice *c)
{
    const char *head = c->chosen ? km_arena_printf(a, "%s: %s", c->chosen->name, c->why) : c->why;

    printf("\n");
    km_print_wrapped("", km_arena_printf(a, "%s: %s", c->name, head ? head : ""));
    for (size_t i = 0; i < c->count; i++)
        print_candidate(&c->items[i]);
    if (c->fits)
        return;
    if (!c->fix_count) {
        printf("\nno command makes one of them fit\n");
        return;
    }
    printf("\nto make %s fit:\n", c->fix_of->name);
    for (size_t i = 0; i < c->fix_count; i++) /* never broken: they are to be copied */
        printf("    %s%s\n", c->fixes[i],
               strstr(c->fixes[i], "SOURCE") ? "   (SOURCE: the kernel's repository)" : "");
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    explain_fields *f = fields;
    const char *path = arg_count ? args[0] : ".";
    km_explanation e = { 0 };
    km_system s = { 0 };
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0)
        rc = km_cli_system(&f->system, &s, err);
    if (rc == 0)
        rc = km_explain(&e, path, &s, err);
    if (rc < 0)
        return rc;
    if (f->common.json) {
        rc = print_json(&e, &s, path, err);
    } else {
        km_print_wrapped("on ", km_system_text(&e.arena, &s));
        for (size_t i = 0; i < e.count; i++)
            print_choice(&e.arena, &e.choices[i]);
    }
    if (rc == 0 && !e.fits)
        rc = KM_EXIT_NO;
    km_explanation_release(&e);
    return rc;
}

extern const km_command km_cmd_explain;
const km_command km_cmd_explain = {
    .name = "explain",
    .help = "say which variant or wheel fits a machine, why, and what is in the way",
    .args = "[PATH]",
    .more =
        "PATH is a Hub folder (or one variant of it), a wheel, or a folder of wheels; without "
        "one,\n"
        "the working folder. Without options the machine is this one, with the Python of\n"
        "KERNMILL_PYTHON or VIRTUAL_ENV. An option changes what it names, and nothing else is\n"
        "assumed: on another system or processor, or with another CUDA or GPU where there is none\n"
        "here, what is not named (glibc, driver) is unknown, which is said and held against "
        "nobody.\n"
        "Exit 0: what the kernels client, or pip, would choose works; 1: it does not, or there is\n"
        "nothing to choose.",
    .options = options,
    .fields_size = sizeof(explain_fields),
    .run = run,
};
