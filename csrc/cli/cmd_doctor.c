/* cli/cmd_doctor.c: kernmill doctor: what is here, what is missing, the line to type. Exit 0 when
 * CPU and CUDA kernels can be built, else 3. */
#include <stdio.h>

#include "cli/command.h"
#include "pkg/doctor.h"

static const km_opt options[] = { KM_OPT_END };

static bool is_needed(const km_symptom *s)
{
    return s->need == KM_NEED_BUILD || s->need == KM_NEED_CUDA;
}

static int print_json(const km_diagnosis *d, bool well, km_err *err)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < d->count; i++) {
        const km_symptom *s = &d->items[i];
        json_array_append_new(rows, json_pack("{s:s,s:s,s:s?,s:s*}", "what", s->what, "need",
                                              km_need_names[s->need], "found", s->found, "line",
                                              s->found ? NULL : s->line));
    }
    return km_print_json(
        json_pack("{s:i,s:b,s:o}", "schema", KM_JSON_SCHEMA, "can_build", well, "items", rows),
        err);
}

static void print_text(const km_diagnosis *d)
{
    for (size_t i = 0; i < d->count; i++) {
        const km_symptom *s = &d->items[i];
        if (s->found)
            printf("ok       %-22s %s\n", s->what, s->found);
        else
            printf("%s  %s\n         for %s: %s\n", is_needed(s) ? "MISSING" : "absent ", s->what,
                   km_need_names[s->need], s->line);
    }
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const km_common *common = fields;
    km_arena a = KM_ARENA_INIT;
    km_diagnosis d;
    bool well = true;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = km_diagnose(&a, &d, err);
    if (rc == 0) {
        for (size_t i = 0; i < d.count; i++)
            well &= d.items[i].found || !is_needed(&d.items[i]);
        if (common->json)
            rc = print_json(&d, well, err);
        else
            print_text(&d);
    }
    km_arena_release(&a);
    return rc == 0 && !well ? 3 : rc;
}

extern const km_command km_cmd_doctor;
const km_command km_cmd_doctor = {
    .name = "doctor",
    .help = "say what this machine has and lacks, and the line to type",
    .args = "",
    .options = options,
    .fields_size = sizeof(km_common),
    .run = run,
};
