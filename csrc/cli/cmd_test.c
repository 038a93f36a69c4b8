/* cli/cmd_test.c: kernmill test [PATH] [-- PYTEST-ARGUMENT...]: build, and run the kernel's own
 * tests on the built files. */
#include <stdio.h>
#include <string.h>

#include "cli/build_options.h"
#include "pkg/test.h"

typedef struct {
    km_build_fields build;
    bool wheel_only;
    const char *expression;
} test_fields;

static const km_opt options[] = {
    KM_OPT_FLAG("wheel-only", 0, test_fields, wheel_only, "test the wheel's files, not the Hub's"),
    KM_OPT_TEXT("select", 'k', "EXPR", test_fields, expression, "pytest's -k: which tests to run"),
    KM_BUILD_OPTION_ROWS(test_fields),
    KM_OPT_END,
};

static void print_text(const json_t *record, const km_plan *p)
{
    size_t i, n;
    const json_t *run, *value;
    const char *metric;

    json_array_foreach(json_object_get(record, "runs"), i, run)
    {
        printf("%s: %lld passed, %lld failed, %lld skipped\n",
               json_string_value(json_object_get(run, "target")),
               json_integer_value(json_object_get(run, "passed")),
               json_integer_value(json_object_get(run, "failed")),
               json_integer_value(json_object_get(run, "skipped")));
        json_array_foreach(json_object_get(run, "failures"), n, value)
            printf("  failed %s\n", json_string_value(value));
        if (i)
            continue;
        json_object_foreach(json_object_get(run, "worst"), metric, value)
        {
            if (json_is_string(value)) /* "nan" */
                printf("  worst %s: %s\n", metric, json_string_value(value));
            else
                printf("  worst %s: %.4g\n", metric, json_number_value(value));
        }
    }
    printf("record: %s/test-record.json\n", p->build_dir);
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    test_fields *f = fields;
    km_test_options o = { .wheel_only = f->wheel_only,
                          .expression = f->expression,
                          .more = arg_count > 1 ? args + 1 : NULL };
    json_t *record = NULL;
    int64_t failed = 0;
    km_cli_built b;
    int rc = km_cli_build(&b, &f->build, args[0], err);

    if (rc == 0)
        rc = km_test(&b.plans[0], &o, &f->build.common.term, &record, &failed, err);
    if (rc == 0 && f->build.common.json)
        rc = km_print_json(json_incref(record), err);
    else if (rc == 0)
        print_text(record, &b.plans[0]);
    json_decref(record);
    km_cli_built_release(&b);
    return rc == 0 && failed ? KM_EXIT_NO : rc;
}

extern const km_command km_cmd_test;
const km_command km_cmd_test = {
    .name = "test",
    .help = "build, and run the kernel's own tests on the built files",
    .args = "[PATH [PYTEST-ARGUMENT...]]",
    .more = "PATH is the repository or its build.toml; without one, the working folder.\n"
            "pytest gets the rest: kernmill test . -- -x --durations=5",
    .options = options,
    .fields_size = sizeof(test_fields),
    .run = run,
};
