/* cli/cmd_profile.c: kernmill profile SCRIPT [-- ARGUMENT...]: where a script's time goes, and what
 * kernels could win of it. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/profile_table.h"
#include "core/file.h"
#include "formats/json.h"
#include "pkg/home.h"
#include "profile/profile.h"
#include "record/environment.h"

typedef struct {
    km_common common;
    const char *output, *copy_rate;
    long top;
} profile_fields;

static const km_opt options[] = {
    KM_OPT_TEXT("output", 'o', "FILE", profile_fields, output, "also write the profile as JSON"),
    KM_OPT_TEXT("copy-rate", 0, "GB/S", profile_fields, copy_rate,
                "bytes read and written a second (default: measured)"),
    KM_OPT_INT("top", 'n', "N", profile_fields, top, "rows of each table (default: 10)"),
    KM_OPT_END,
};

static int read_rate(const char *text, double *out, km_err *err)
{
    char *end;

    *out = 0;
    if (!text)
        return 0;
    *out = strtod(text, &end);
    if (end != text && !*end && *out > 0 && *out <= 1e6)
        return 0;
    return km_fail(err, KM_EUSAGE, "option '--copy-rate' wants a number above 0, not '%s'", text);
}

/* The words after the script are its arguments. */
static json_t *list_words(const char *const *words)
{
    json_t *list = json_array();

    for (; *words; words++)
        json_array_append_new(list, json_string(*words));
    return list;
}

static int describe(json_t *profile, const char *const *words, km_err *err)
{
    json_t *head = json_pack("{s:o,s:s,s:o}", "environment", km_environment(KM_VERSION, NULL),
                             "script", words[0], "arguments", list_words(words + 1));
    int rc = head ? json_object_update(profile, head) : -1;

    json_decref(head);
    return rc == 0 ? 0 : km_fail(err, KM_EFORMAT, "the script's name is not UTF-8");
}

static int profile_script(profile_fields *f, const char *const *words, double rate,
                          json_t **profile, km_err *err)
{
    km_profile_run how = { .words = words, .quiet = f->common.quiet };
    km_arena a = KM_ARENA_INIT;
    json_t *trace = NULL;
    km_home home;
    int rc = km_home_find(&a, &home, err);

    if (rc == 0 && !home.python)
        rc = km_fail(err, KM_EENV, "no Python interpreter is found to run '%s'", words[0]);
    how.python = rc == 0 ? home.python : NULL;
    how.host = rc == 0 ? home.profile_host : NULL;
    if (rc == 0) {
        km_term_note(&f->common.term, "profiling %s", words[0]);
        rc = km_profile_run_script(&how, &trace, err);
    }
    if (rc == 0)
        rc = km_profile_analyse(trace, rate, profile, err);
    if (rc == 0)
        rc = describe(*profile, words, err);
    json_decref(trace);
    km_arena_release(&a);
    return rc;
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    profile_fields *f = fields;
    json_t *profile = NULL;
    double rate;
    int rc = km_check_args(arg_count, 1, SIZE_MAX, err);

    if (rc == 0)
        rc = read_rate(f->copy_rate, &rate, err);
    if (rc == 0 && f->output)
        rc = km_file_check_append(f->output, err);
    if (rc == 0)
        rc = profile_script(f, args, rate, &profile, err);
    if (rc == 0 && f->output)
        rc = km_json_write(f->output, profile, err);
    if (rc == 0 && f->common.json)
        rc = km_print_json(json_incref(profile), err);
    else if (rc == 0)
        km_profile_print(profile, f->top ? (size_t)f->top : 10);
    if (rc < 0 && f->output && km_file_exists(f->output) && km_file_size(f->output, err) == 0)
        remove(f->output); /* made to see that it can be */
    json_decref(profile);
    return rc;
}

extern const km_command km_cmd_profile;
const km_command km_cmd_profile = {
    .name = "profile",
    .help = "run a model's script, and list what a kernel could win of its time",
    .args = "SCRIPT [ARGUMENT...]",
    .more =
        "SCRIPT is a Python file that runs a model, with torch; its own options stand behind --:\n"
        "kernmill profile run.py -- --steps 3. What it prints goes to stderr.\n"
        "All that it does is measured; or, where it opens ranges by\n"
        "torch.profiler.record_function(\"kernmill\"), what is inside them. Let it warm up, and "
        "do\n"
        "some alike steps then: of more than two alike calls the median counts.",
    .options = options,
    .fields_size = sizeof(profile_fields),
    .run = run,
};
