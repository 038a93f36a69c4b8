#include "bench/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/auditor.h"
#include "bench/channel.h"
#include "bench/report.h"
#include "bench/trace_check.h"
#include "bench/watch.h"
#include "core/file.h"
#include "core/str.h"

/* Which torch it was, and what it took: to the first sample since the program was started (what was
 * compiled and measured before included), and this cell as a whole; the word that it is ours, and
 * where the results are that `audited` (consumed, may be NULL) lists. */
static json_t *with_session(const km_session *s, const km_torch *t, const km_cell_result *r,
                            double start_us, const char *word, json_t *audited, json_t *cell)
{
    char version[32];

    snprintf(version, sizeof version, "%u.%u", t->version_major, t->version_minor);
    if (!cell) {
        json_decref(audited);
        return NULL;
    }
    json_object_set_new(cell, "audit", audited ? audited : json_null());
    json_object_set_new(cell, "torch", json_string(version));
    json_object_set_new(cell, "first_sample_s",
                        json_real((r->first_sample_us - s->start_us) / 1e6));
    json_object_set_new(cell, "word", json_string(word));
    json_object_set_new(cell, "seconds", json_real((km_now_us() - start_us) / 1e6));
    return cell;
}

static int measure_one(const km_session *s, const km_torch *t, const km_cell *cell,
                       const json_t *ended, int fd, km_arena *a, km_err *err)
{
    const char *text = km_arena_printf(a, "%s %s", cell->op->name, km_cell_text(a, cell));
    km_cell_result result;
    km_bench_options options = s->options;
    km_ticket ticket;
    km_audit audit = { .channel = fd, .results = s->results };
    double start_us = km_now_us();
    int rc;

    if (!text)
        return km_fail_nomem(err);
    if (km_channel_announce(fd, "starts", text, &ticket, err) < 0)
        return err->code;
    options.ended = ended;
    rc = km_cell_measure(a, t, cell, &options, ticket.seed, &audit, &result, err);
    /* a definition's own function that fails here costs its cells, not the others */
    if ((rc == KM_ECHILD || rc == KM_ENOENT || rc == KM_EFORMAT) &&
        km_rule_without_reference(a, &result, err->message))
        rc = 0;
    if (rc < 0) {
        json_decref(audit.calls);
        return rc;
    }
    return km_channel_send(
        fd, with_session(s, t, &result, start_us, ticket.word, audit.calls, km_cell_json(&result)));
}

/* `number` is counted over the cells that are wanted. */
static int measure_cell(const km_session *s, const km_torch *t, const km_cell *cell, size_t *number,
                        int fd, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    size_t n = *number;
    int rc = 0;

    *number += km_session_wants(s, &a, cell);
    if (*number > n && n >= s->first)
        rc = measure_one(s, t, cell, n == s->first ? s->ended : NULL, fd, &a, err);
    km_arena_release(&a);
    return rc;
}

bool km_host_wants_gpu(const km_session *s)
{
    km_str path = KM_STR_INIT;
    bool has_cuda;

    if (s->device)
        return strcmp(s->device, "cuda") == 0;
    km_str_printf(&path, "%s/lib/libtorch_cuda.so", s->torch_folder);
    has_cuda = km_str_check(&path, NULL) == 0 && km_file_exists(path.data);
    km_str_release(&path);
    return has_cuda && km_gpu_exists();
}

int km_host_open(const km_session *s, const char *const *libraries,
                 const struct km_callables *callables, km_torch *t, km_gpu *gpu, km_err *err)
{
    bool with_gpu = km_host_wants_gpu(s);
    int rc;

    if (with_gpu && km_gpu_open(gpu, s->torch_folder, err) < 0)
        return err->code;
    rc = km_torch_open(t, s->torch_folder, with_gpu ? gpu : NULL, err);
    t->callables = callables;
    for (const char *const *l = libraries; rc == 0 && *l; l++)
        rc = km_torch_load(t, *l, err);
    return rc;
}

static int measure_all(const km_session *s, int fd, const struct km_callables *callables,
                       km_err *err)
{
    km_torch t;
    km_gpu gpu;
    size_t number = 0;
    int rc = km_host_open(s, s->libraries, callables, &t, &gpu, err);

    for (size_t i = 0; i < s->suite->op_count && rc == 0; i++)
        for (size_t j = 0; j < km_suite_cells(&s->suite->ops[i]) && rc == 0; j++) {
            km_cell cell = km_suite_cell(&s->suite->ops[i], j);
            rc = measure_cell(s, &t, &cell, &number, fd, err);
        }
    return rc;
}

void km_host_run(const km_session *s, int fd, const struct km_callables *callables)
{
    km_err err = KM_ERR_INIT;

    if (s->audits) {
        km_auditor_run(s, fd, callables);
        return;
    }
    km_watch_start(fd, s->watch);
    if (measure_all(s, fd, callables, &err) < 0)
        km_channel_send_error(fd, &err);
}

/* ---- a session as a text ---- */

static json_t *list_of(const char *const *items)
{
    json_t *list = json_array();

    for (const char *const *i = items; *i; i++)
        json_array_append_new(list, json_string(*i));
    return list;
}

char *km_session_text(const km_session *s)
{
    json_t *o = json_pack(
        "{s:s?,s:s?,s:s,s:s?,s:s,s:s?,s:o,s:f,s:f,s:f,s:b,s:i,s:i,s:I,s:O?}", "incumbent",
        s->incumbent, "candidate", s->candidate, "suite", s->suite->path, "filter", s->filter,
        "torch", s->torch_folder, "device", s->device, "libraries",
        list_of(s->audits ? s->reference_libraries : s->libraries), "budget_s", s->options.budget_s,
        "margin", s->options.margin, "start_us", s->start_us, "audits", (int)s->audits, "results",
        s->results, "watch", s->watch, "first", (json_int_t)s->first, "ended", s->ended);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    return text;
}

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static int serve(const json_t *o, int fd, const struct km_callables *callables, km_arena *a,
                 km_err *err)
{
    const json_t *libraries = json_object_get(o, "libraries"), *library;
    const char **paths = km_arena_array(a, json_array_size(libraries) + 1, sizeof *paths);
    const char *suite_path = text_of(o, "suite");
    km_suite suite;
    km_session s = {
        .suite = &suite,
        .incumbent = text_of(o, "incumbent"),
        .candidate = text_of(o, "candidate"),
        .filter = text_of(o, "filter"),
        .torch_folder = text_of(o, "torch"),
        .device = text_of(o, "device"),
        .start_us = json_number_value(json_object_get(o, "start_us")),
        .libraries = paths,
        .reference_libraries = paths,
        .audits = json_is_true(json_object_get(o, "audits")),
        .results = (int)json_integer_value(json_object_get(o, "results")),
        .watch = (int)json_integer_value(json_object_get(o, "watch")),
        .first = (size_t)json_integer_value(json_object_get(o, "first")),
        .ended = json_object_get(o, "ended"),
        .options = { .budget_s = json_number_value(json_object_get(o, "budget_s")),
                     .margin = json_number_value(json_object_get(o, "margin")) },
    };
    size_t i;
    int rc;

    if (!paths)
        return km_fail_nomem(err);
    if (!suite_path || !s.torch_folder)
        return km_fail(err, KM_EFORMAT, "the request names no suite or no torch");
    json_array_foreach(libraries, i, library) paths[i] = json_string_value(library);
    if (km_suite_read(&suite, suite_path, err) < 0)
        return err->code;
    rc = s.candidate ? km_suite_narrow(&suite, s.incumbent, s.candidate, err) : 0;
    if (rc == 0)
        km_host_run(&s, fd, callables);
    km_suite_release(&suite);
    return rc;
}

int km_bench_serve(const char *request, int fd, const struct km_callables *callables)
{
    json_t *o = json_loads(request, 0, NULL);
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    int rc = o ? serve(o, fd, callables, &a, &err)
               : km_fail(&err, KM_EFORMAT, "the request is no JSON");

    if (rc < 0)
        km_channel_send_error(fd, &err);
    km_arena_release(&a);
    json_decref(o);
    return rc;
}
