/* cli/cmd_bench.c: kernmill bench [PATH]: measure a suite: every call in turns, and check what was
 * timed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/models.h"
#include "bench/packages.h"
#include "bench/session.h"
#include "cli/bench_judge.h"
#include "cli/bench_table.h"
#include "cli/bench_trace.h"
#include "cli/command.h"
#include "cli/compare_table.h"
#include "cli/read_record.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "pkg/home.h"
#include "pkg/stale.h"
#include "record/environment.h"
#include "record/record.h"

typedef struct {
    km_common common;
    bool list, models;
    const char *filter, *output, *budget, *timeout, *margin, *device, *baseline, *gate;
    const char *candidate, *incumbent;
    const char *import, *bind, *export;
} bench_fields;

static const km_opt options[] = {
    KM_OPT_FLAG("list", 'l', bench_fields, list, "print the cells and measure nothing"),
    KM_OPT_FLAG("models", 0, bench_fields, models,
                "print the models that suites can name, with their sizes"),
    KM_OPT_TEXT("filter", 'f', "TEXT", bench_fields, filter, "only cells whose line holds TEXT"),
    KM_OPT_TEXT("budget", 'b', "SECONDS", bench_fields, budget,
                "time for a cell's rounds, which end when all is decided (default: 2)"),
    KM_OPT_TEXT("timeout", 't', "SECONDS", bench_fields, timeout,
                "a cell that takes longer is ended (default: 10 x budget + 120)"),
    KM_OPT_TEXT("margin", 'm', "PERCENT", bench_fields, margin,
                "smaller differences are none (default: 1)"),
    KM_OPT_TEXT("device", 'd', "cpu|cuda", bench_fields, device,
                "default: a GPU where there is one"),
    KM_OPT_TEXT("output", 'o', "FILE", bench_fields, output,
                "add the record to FILE (JSON Lines); of --import, the folder"),
    KM_OPT_TEXT("candidate", 'c', "CALL", bench_fields, candidate,
                "one line of JSON: is CALL faster than the incumbent, and right?"),
    KM_OPT_TEXT("incumbent", 'i', "CALL", bench_fields, incumbent,
                "what the candidate must beat (default: the suite's first call)"),
    KM_OPT_TEXT("baseline", 0, "FILE", bench_fields, baseline,
                "compare with a record; exit 1 when a call became slower"),
    KM_OPT_TEXT("gate", 0, "PERCENT", bench_fields, gate, "the change that counts (default: 2%)"),
    KM_OPT_TEXT("import", 0, "DIR", bench_fields, import,
                "make a suite of FlashInfer Trace or SOL-ExecBench problems"),
    KM_OPT_TEXT("bind", 0, "FILE", bench_fields, bind, "which calls compute what --import finds"),
    KM_OPT_TEXT("export", 0, "FORMAT", bench_fields, export,
                "trace, or trace:CALL to time beside CALL: lines of such a set"),
    KM_OPT_END,
};

/* A command line that is being carried out. */
struct bench {
    bench_fields *f;
    km_arena a;
    km_suite suite;
    km_session session;
    json_t *environment, *cells, *before;
    km_comparison comparison;
    double gate;
    const char *peer; /* of --export; NULL: the definition's own function */
    bool wrong;       /* a call that is not right */
};

static int number(const char *text, const char *option, double standard, double *out, km_err *err)
{
    char *end;

    *out = standard;
    if (!text)
        return 0;
    *out = strtod(text, &end);
    if (end != text && !*end && *out > 0 && *out <= 1e6)
        return 0;
    return km_fail(err, KM_EUSAGE, "option '--%s' wants a number above 0, not '%s'", option, text);
}

/* ---- where things are ---- */

static int find_suite(struct bench *b, const char *path, const char **suite, km_err *err)
{
    const char *beside = km_path_join(&b->a, path, "suite.toml");

    *suite = km_ends_with(path, ".toml") ? path
                                         : km_path_join(&b->a, path, "benchmarks/suite.toml");
    if (!*suite || !beside)
        return km_fail_nomem(err);
    if (km_file_exists(*suite))
        return 0;
    if (km_file_exists(beside)) {
        *suite = beside;
        return 0;
    }
    km_fail(err, KM_ENOENT, "there is no '%s'", *suite);
    return km_hint(err, "name a kernel repository with that file, or a suite.toml");
}

/* The library of a package: what `kernmill build` left beside the suite, else the installed one. */
static int find_library(struct bench *b, const char *suite, const char *package,
                        const char *installed, const char **out, km_err *err)
{
    const char *repository = km_path_dir(&b->a, km_path_dir(&b->a, suite));
    const char *built = km_arena_printf(&b->a, "%s/build/wheel/%s", repository, package);
    const char *folder = built && km_dir_exists(built) ? built : installed;
    km_names names;

    if (!folder) {
        km_fail(err, KM_EENV, "the package '%s' is neither built nor installed", package);
        return km_hint(err, "kernmill build %s, or pip install it", repository);
    }
    if (km_dir_list(&b->a, folder, &names, err) < 0)
        return err->code;
    for (size_t i = 0; i < names.count; i++)
        if (km_starts_with(names.names[i], "lib") && km_ends_with(names.names[i], ".so")) {
            const char *stale;
            *out = km_path_join(&b->a, folder, names.names[i]);
            stale = *out && folder == built ? km_stale_source(&b->a, repository) : NULL;
            if (stale)
                km_term_note(&b->f->common.term,
                             "note: '%s' is younger than what is measured: "
                             "kernmill build %s",
                             stale, repository);
            return *out ? 0 : km_fail_nomem(err);
        }
    return km_fail(err, KM_EFORMAT, "'%s' holds no library", folder);
}

/* Each package once; with `references`, those alone that references are in. */
static size_t list_packages(const km_suite *s, bool references, const char **packages)
{
    size_t n = 0;

    for (size_t i = 0; i < s->op_count; i++)
        for (size_t j = 0; j < s->ops[i].call_count; j++) {
            const km_suite_call *call = &s->ops[i].calls[j];
            const char *library = call->library;
            size_t k = 0;
            if (references && call != km_suite_reference(&s->ops[i]))
                continue;
            while (library && k < n && strcmp(packages[k], library) != 0)
                k++;
            if (library && k == n && n < KM_CALLS_MAX)
                packages[n++] = library;
        }
    return n;
}

/* The files of the packages, of which those that are installed have a folder. */
static int find_libraries(struct bench *b, const char *suite, const char **packages, size_t n,
                          const char **installed, const char *const **out, km_err *err)
{
    const char **libraries = km_arena_array(&b->a, n + 1, sizeof *libraries);

    if (!libraries)
        return km_fail_nomem(err);
    for (size_t i = 0; i < n; i++)
        if (strchr(packages[i], '/'))
            libraries[i] = packages[i];
        else if (find_library(b, suite, packages[i], installed[i], &libraries[i], err) < 0)
            return err->code;
    *out = libraries;
    return 0;
}

/* The files among `libraries` that the reference of any operator is in. */
static int find_references(struct bench *b, const char **packages, size_t n, km_err *err)
{
    const char *wanted[KM_CALLS_MAX], **files = km_arena_array(&b->a, n + 1, sizeof *files);
    size_t count = list_packages(&b->suite, true, wanted), found = 0;

    if (!files)
        return km_fail_nomem(err);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < count; j++)
            if (strcmp(packages[i], wanted[j]) == 0)
                files[found++] = b->session.libraries[i];
    b->session.reference_libraries = files;
    return 0;
}

static int find_all(struct bench *b, const char *suite, km_err *err)
{
    const char *packages[KM_CALLS_MAX], *folders[KM_CALLS_MAX + 1];
    size_t n = list_packages(&b->suite, false, packages);
    km_home home;

    if (km_home_find(&b->a, &home, err) < 0)
        return err->code;
    if (!home.python)
        return km_fail(err, KM_EENV, "no Python interpreter is found, to say where torch is");
    if (km_packages_find(&b->a, home.python, packages, n, folders, err) < 0)
        return err->code;
    b->session.python = home.python;
    b->session.host = home.bench_host;
    b->session.engine = home.bench_engine;
    b->session.torch_folder = folders[0];
    if (find_libraries(b, suite, packages, n, folders + 1, &b->session.libraries, err) < 0)
        return err->code;
    return find_references(b, packages, n, err);
}

/* ---- results ---- */

/* One line of the file: the cell, and what it was measured on. */
static int append(const struct bench *b, const json_t *cell, km_err *err)
{
    json_t *line = json_pack("{s:i,s:O}", "schema", 1, "environment", b->environment);
    char *text = NULL;
    int rc;

    if (line && json_object_update(line, (json_t *)(uintptr_t)cell) == 0)
        text = json_dumps(line, JSON_COMPACT);
    rc = text ? km_file_append_line(b->f->output, text, err) : km_fail_nomem(err);
    free(text);
    json_decref(line);
    return rc;
}

static int on_cell(void *context, const json_t *cell, km_err *err)
{
    struct bench *b = context;
    const json_t *calls = json_object_get(cell, "calls"), *call;
    size_t i;

    json_array_foreach(calls, i, call)
        b->wrong |= strcmp(km_json_text_of(call, "state"), "right") != 0;
    json_array_append(b->cells, (json_t *)(uintptr_t)cell);
    if (!b->f->common.json && !b->f->candidate)
        km_bench_print(cell);
    if (b->f->export)
        return km_bench_export(cell, b->environment, b->peer, b->f->output, err);
    return b->f->output ? append(b, cell, err) : 0;
}

static int list_cells(struct bench *b, km_err *err)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < b->suite.op_count; i++)
        for (size_t j = 0; j < km_suite_cells(&b->suite.ops[i]); j++) {
            km_cell cell = km_suite_cell(&b->suite.ops[i], j);
            const char *text = km_arena_printf(&b->a, "%s %s", cell.op->name,
                                               km_cell_text(&b->a, &cell));
            if (text && km_session_wants(&b->session, &b->a, &cell))
                json_array_append_new(rows, json_string(text));
        }
    if (b->f->common.json)
        return km_print_json(json_pack("{s:i,s:s,s:o}", "schema", KM_JSON_SCHEMA, "suite",
                                       b->suite.name, "cells", rows),
                             err);
    for (size_t i = 0; i < json_array_size(rows); i++)
        puts(json_string_value(json_array_get(rows, i)));
    json_decref(rows);
    return 0;
}

static int list_models(const struct bench *b, km_err *err)
{
    json_t *rows = json_array();

    if (!b->f->common.json)
        printf("%-16s %8s %8s %8s %8s %8s %8s\n", "", "hidden", "heads", "kv_heads", "head_dim",
               "mlp", "vocab");
    for (const km_model *m = km_models; m->name; m++)
        if (b->f->common.json)
            json_array_append_new(rows, json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f}", "name", m->name,
                                                  "hidden", m->hidden, "heads", m->heads,
                                                  "kv_heads", m->kv_heads, "head_dim", m->head_dim,
                                                  "mlp", m->mlp, "vocab", m->vocab));
        else
            printf("%-16s %8.0f %8.0f %8.0f %8.0f %8.0f %8.0f\n", m->name, m->hidden, m->heads,
                   m->kv_heads, m->head_dim, m->mlp, m->vocab);
    if (b->f->common.json)
        return km_print_json(json_pack("{s:i,s:o}", "schema", KM_JSON_SCHEMA, "models", rows), err);
    json_decref(rows);
    return 0;
}

/* The versions of the packages that the suite names. */
static int describe_packages(struct bench *b, km_err *err)
{
    const km_list *names = &b->suite.packages;
    const char **versions = km_arena_array(&b->a, names->count + 1, sizeof *versions);
    json_t *packages = json_object();

    json_object_set_new(b->environment, "packages", packages);
    if (!versions)
        return km_fail_nomem(err);
    if (names->count && km_packages_versions(&b->a, b->session.python, names->items, names->count,
                                             versions, err) < 0)
        return err->code;
    for (size_t i = 0; i < names->count; i++)
        json_object_set_new(packages, names->items[i],
                            versions[i] ? json_string(versions[i]) : json_null());
    return 0;
}

/* What was measured: the libraries' files with their hashes, and packages with their versions. */
static int describe(struct bench *b, km_err *err)
{
    json_t *files = json_object();

    for (const char *const *l = b->session.libraries; *l; l++) {
        char hex[KM_SHA256_HEX_BYTES];
        km_sha256 hash;
        if (km_hash_file(*l, &hash, err) < 0) {
            json_decref(files);
            return err->code;
        }
        km_hash_hex(&hash, hex);
        json_object_set_new(files, km_path_base(*l), json_string(hex));
    }
    json_object_set_new(b->environment, "libraries", files);
    return describe_packages(b, err);
}

/* Everything as one document. */
static int print_all(struct bench *b, km_err *err)
{
    json_t *document = json_pack("{s:i,s:O,s:s,s:O}", "schema", KM_JSON_SCHEMA, "environment",
                                 b->environment, "suite", b->suite.name, "cells", b->cells);

    if (document && b->before)
        json_object_set_new(document, "comparison", km_compare_json(&b->comparison, b->gate));
    return document ? km_print_json(document, err) : km_fail_nomem(err);
}

/* The answer to --candidate, on one line. */
static int print_judgement(struct bench *b, time_t start, km_err *err)
{
    bool accepted;
    json_t *answer = km_bench_judge(b->cells, b->f->candidate, b->session.incumbent,
                                    difftime(time(NULL), start), &accepted);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

    json_decref(answer);
    if (!text)
        return km_fail_nomem(err);
    puts(text);
    free(text);
    b->wrong = !accepted;
    return 0;
}

static int measure(struct bench *b, const char *suite, km_err *err)
{
    time_t start = time(NULL);
    int rc = find_all(b, suite, err);

    if (rc < 0)
        return rc;
    for (const char *const *l = b->session.libraries; *l && !b->f->candidate; l++)
        km_term_note(&b->f->common.term, "library: %s", *l);
    b->environment = km_environment(KM_VERSION, km_path_dir(&b->a, suite));
    b->cells = json_array();
    if (!b->environment || !b->cells)
        return km_fail_nomem(err);
    if (describe(b, err) < 0 || (b->f->output && km_file_check_append(b->f->output, err) < 0))
        return err->code;
    b->session.on_cell = on_cell;
    b->session.context = b;
    rc = km_session_run(&b->session, err);
    if (rc == 0 && b->before)
        rc = km_record_compare(&b->a, b->before, b->cells, b->gate, &b->comparison, err);
    if (rc == 0 && b->before && !b->comparison.count)
        return km_fail(err, KM_EFORMAT, "nothing of this run has a cell in '%s'", b->f->baseline);
    if (rc == 0 && b->f->candidate)
        return print_judgement(b, start, err);
    if (rc == 0 && b->before && !b->f->common.json) {
        printf("\nbeside %s:\n", b->f->baseline);
        km_compare_print(&b->comparison, b->gate);
    }
    return rc == 0 && b->f->common.json ? print_all(b, err) : rc;
}

/* The suite of --candidate: two calls, and the reference. */
static int narrow(struct bench *b, km_err *err)
{
    const km_suite_op *op = &b->suite.ops[0];
    const char *incumbent = b->f->incumbent ? b->f->incumbent : op->calls[0].name;

    if (strcmp(incumbent, b->f->candidate) == 0)
        return km_fail(err, KM_EUSAGE, "candidate and incumbent are both '%s'", incumbent);
    b->session.incumbent = incumbent;
    b->session.candidate = b->f->candidate;
    return km_suite_narrow(&b->suite, incumbent, b->f->candidate, err);
}

/* Options that mean nothing without another, or nothing together. */
static int check_options(const bench_fields *f, km_err *err)
{
    if (f->gate && !f->baseline)
        return km_fail(err, KM_EUSAGE, "option '--gate' belongs to --baseline");
    if (f->incumbent && !f->candidate)
        return km_fail(err, KM_EUSAGE, "option '--incumbent' belongs to --candidate");
    if (f->candidate && f->baseline)
        return km_fail(err, KM_EUSAGE, "--candidate and --baseline are two questions: ask one");
    return 0;
}

static int carry_out(struct bench *b, const char *path, km_err *err)
{
    const char *suite;

    if (check_options(b->f, err) < 0 ||
        number(b->f->budget, "budget", 2, &b->session.options.budget_s, err) < 0 ||
        number(b->f->timeout, "timeout", 0, &b->session.timeout_s, err) < 0 ||
        km_compare_share(b->f->margin, "margin", 0.01, &b->session.options.margin, err) < 0 ||
        km_compare_share(b->f->gate, "gate", 0.02, &b->gate, err) < 0 ||
        find_suite(b, path, &suite, err) < 0 ||
        (b->f->baseline && km_read_record(&b->f->common, b->f->baseline, &b->before, err) < 0))
        return err->code;
    b->session.device = b->f->device;
    if (b->f->device && strcmp(b->f->device, "cpu") != 0 && strcmp(b->f->device, "cuda") != 0)
        return km_fail(err, KM_EUSAGE, "option '--device' wants cpu or cuda, not '%s'",
                       b->f->device);
    if (km_suite_read(&b->suite, suite, err) < 0)
        return err->code;
    b->session.suite = &b->suite;
    if (b->f->export &&
        km_bench_export_check(&b->suite, b->f->export, b->f->output, &b->peer, err) < 0)
        return err->code;
    if (b->f->candidate && narrow(b, err) < 0)
        return err->code;
    b->session.filter = b->f->filter;
    if (!km_session_count(&b->session)) {
        km_fail(err, KM_EUSAGE, "no cell of '%s' holds '%s'", suite, b->f->filter);
        return km_hint(err, "kernmill bench --list prints them");
    }
    return b->f->list ? list_cells(b, err) : measure(b, suite, err);
}

static int import(const bench_fields *f, size_t arg_count, km_err *err)
{
    km_trace_import_options o = { .source = f->import,
                                  .bind = f->bind,
                                  .folder = f->output ? f->output : "imported-suite" };

    if (arg_count)
        return km_fail(err, KM_EUSAGE, "option '--import' makes a suite, and measures none");
    return km_bench_import(&o, f->common.json, err);
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    struct bench b = { .f = fields, .session.start_us = km_now_us() };
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0 && b.f->import)
        return import(b.f, arg_count, err);
    if (rc == 0 && b.f->bind)
        return km_fail(err, KM_EUSAGE, "option '--bind' belongs to --import");
    if (rc == 0)
        rc = b.f->models ? list_models(&b, err) : carry_out(&b, arg_count ? args[0] : ".", err);
    json_decref(b.environment);
    json_decref(b.cells);
    json_decref(b.before);
    b.wrong |= km_comparison_regressions(&b.comparison) > 0;
    km_suite_release(&b.suite);
    km_arena_release(&b.a);
    return rc == 0 && b.wrong ? KM_EXIT_NO : rc;
}

extern const km_command km_cmd_bench;
const km_command km_cmd_bench = {
    .name = "bench",
    .help = "measure a suite: every call in turns, and check what was timed",
    .args = "[PATH]",
    .more =
        "PATH is a repository with benchmarks/suite.toml, a folder with suite.toml, or a suite;\n"
        "without one, the working folder. The format of suites stands in csrc/bench/suite.h.\n\n"
        "--import DIR reads definitions/ and workloads/ of a FlashInfer Trace set, or folders "
        "with\n"
        "definition.json and workload.jsonl of SOL-ExecBench, and writes a suite into the folder "
        "of\n"
        "--output (imported-suite); --bind FILE says which calls compute what a definition means,\n"
        "by its sha256 (csrc/bench/trace_bind.h). With --export trace the FILE of --output\n"
        "gets the lines of such a set instead of our record.",
    .options = options,
    .fields_size = sizeof(bench_fields),
    .run = run,
};
