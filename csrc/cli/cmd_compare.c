/* cli/cmd_compare.c: kernmill compare OLD NEW: what became slower between two records. */
#include "cli/command.h"
#include "cli/compare_table.h"
#include "cli/read_record.h"
#include "record/record.h"

typedef struct {
    km_common common;
    const char *gate;
} compare_fields;

static const km_opt options[] = {
    KM_OPT_TEXT("gate", 'g', "PERCENT", compare_fields, gate,
                "the change that counts (default: 2%)"),
    KM_OPT_END,
};

static int report(const compare_fields *f, const km_comparison *c, double gate, km_err *err)
{
    json_t *document;

    if (!f->common.json) {
        km_compare_print(c, gate);
        return 0;
    }
    document = km_compare_json(c, gate);
    if (!document)
        return km_fail_nomem(err);
    json_object_set_new(document, "schema", json_integer(KM_JSON_SCHEMA));
    return km_print_json(document, err);
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    compare_fields *f = fields;
    km_arena a = KM_ARENA_INIT;
    json_t *before = NULL, *now = NULL;
    km_comparison c = { 0 };
    double gate;
    int rc = km_check_args(arg_count, 2, 2, err);

    if (rc == 0)
        rc = km_compare_share(f->gate, "gate", 0.02, &gate, err);
    if (rc == 0)
        rc = km_read_record(&f->common, args[0], &before, err);
    if (rc == 0)
        rc = km_read_record(&f->common, args[1], &now, err);
    if (rc == 0)
        rc = km_record_compare(&a, before, now, gate, &c, err);
    if (rc == 0 && !c.count)
        rc = km_fail(err, KM_EFORMAT, "'%s' and '%s' have no call of a cell in common", args[0],
                     args[1]);
    if (rc == 0)
        rc = report(f, &c, gate, err);
    json_decref(before);
    json_decref(now);
    km_arena_release(&a);
    return rc == 0 && km_comparison_regressions(&c) ? KM_EXIT_NO : rc;
}

extern const km_command km_cmd_compare;
const km_command km_cmd_compare = {
    .name = "compare",
    .help = "find what became slower, or wrong, between two records of bench",
    .args = "OLD NEW",
    .more =
        "Each sample is taken relative to its own round's yardstick: a plain copy on a GPU, the\n"
        "suite's reference on a CPU. Exits with 1 when a change beyond the gate is sure.",
    .options = options,
    .fields_size = sizeof(compare_fields),
    .run = run,
};
