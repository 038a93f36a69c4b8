#include "bench/trace_problem.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"

/* Every file below a folder whose name ends so, in the order of the names. Links are followed:
 * downloads of the Hub are links into its cache. */
struct found {
    km_arena *a;
    const char *end;
    const char **paths;
    size_t count, room, seen;
};

static int keep(struct found *f, const char *path, km_err *err)
{
    if (f->count == f->room) {
        size_t room = f->room ? 2 * f->room : 64;
        const char **paths = km_arena_array(f->a, room, sizeof *paths);
        if (!paths)
            return km_fail_nomem(err);
        if (f->count)
            memcpy(paths, f->paths, f->count * sizeof *paths);
        f->paths = paths;
        f->room = room;
    }
    f->paths[f->count++] = path;
    return 0;
}

static int walk(struct found *f, const char *folder, int depth, km_err *err)
{
    km_names names;

    if (depth > KM_DIR_DEPTH_MAX)
        return km_fail(err, KM_ELIMIT, "'%s' is nested deeper than %d", folder, KM_DIR_DEPTH_MAX);
    if (km_dir_list(f->a, folder, &names, err) < 0)
        return err->code;
    f->seen += names.count;
    if (f->seen > KM_DIR_ENTRIES_MAX)
        return km_fail(err, KM_ELIMIT, "'%s' holds more than %d files", folder, KM_DIR_ENTRIES_MAX);
    for (size_t i = 0; i < names.count; i++) {
        const char *path = km_path_join(f->a, folder, names.names[i]);
        int rc = 0;
        if (!path)
            return km_fail_nomem(err);
        if (km_dir_exists(path))
            rc = walk(f, path, depth + 1, err);
        else if (km_ends_with(path, f->end))
            rc = keep(f, path, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- workloads ---- */

static km_trace_problem *find(km_trace_problems *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->problems[i].name, name) == 0)
            return &p->problems[i];
    return NULL;
}

/* A line is a workload, or a trace that holds one. */
static int take_line(km_trace_problems *p, km_trace_problem *of, const json_t *line,
                     const char *file, unsigned number, km_err *err)
{
    const json_t *workload = json_object_get(line, "workload");
    const char *definition = km_json_text_of(line, "definition");

    if (!workload)
        workload = line;
    if (!json_is_string(json_object_get(workload, "uuid")) ||
        !json_is_object(json_object_get(workload, "axes")) || (!of && !*definition))
        return km_fail_at(err, KM_EFORMAT, file, number, 0,
                          "this is no workload: expected an object with 'uuid', 'axes' and "
                          "'inputs'%s",
                          of ? "" : ", in one with 'definition' and 'workload'");
    if (!of)
        of = find(p, definition);
    if (of)
        return json_array_append(of->workloads, (json_t *)(uintptr_t)workload) == 0
                   ? 0
                   : km_fail_nomem(err);
    return json_array_append_new(p->strays,
                                 json_pack("{s:s,s:s}", "definition", definition, "workload",
                                           km_json_text_of(workload, "uuid"))) == 0
               ? 0
               : km_fail_nomem(err);
}

/* The place within a line, as one within the file. */
static int fail_line(const km_err *why, const char *file, unsigned number, km_err *err)
{
    const char *column = strrchr(why->place, ':');

    return km_fail_at(err, why->code, file, number, column ? (unsigned)atoi(column + 1) : 0, "%s",
                      why->message);
}

/* `of`: the definition of all lines; NULL: each names its own. */
static int read_workloads(km_trace_problems *p, km_trace_problem *of, const char *file, km_err *err)
{
    char *text, *end;
    unsigned number = 0;
    size_t size;

    if (km_file_read(&p->arena, file, KM_JSON_BYTES_MAX, &text, &size, err) < 0)
        return err->code;
    if (strlen(text) != size)
        return km_fail(err, KM_EFORMAT, "'%s' holds a zero byte", file);
    for (; *text; text = end) {
        size_t length = strcspn(text, "\n");
        json_t *line = NULL;
        km_err why = KM_ERR_INIT;
        int rc;
        end = text + length + (text[length] == '\n');
        number++;
        if (strspn(text, " \t\r") >= length)
            continue;
        if (km_json_parse(text, length, file, &line, &why) < 0)
            return fail_line(&why, file, number, err);
        rc = take_line(p, of, line, file, number, err);
        json_decref(line);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- definitions ---- */

static int add_problem(km_trace_problems *p, const char *file, km_trace_format format, km_err *err)
{
    json_t *document = NULL;
    km_trace_problem *out;

    if (p->count == p->room) {
        size_t room = p->room ? 2 * p->room : 64;
        km_trace_problem *more = km_arena_array(&p->arena, room, sizeof *more);
        if (!more)
            return km_fail_nomem(err);
        if (p->count)
            memcpy(more, p->problems, p->count * sizeof *more);
        p->problems = more;
        p->room = room;
    }
    if (km_json_read(file, &document, err) < 0)
        return err->code;
    out = &p->problems[p->count++];
    if (km_trace_problem_parse(&p->arena, file, format, document, out, err) < 0)
        return err->code;
    if (find(p, out->name) != out)
        out->unsupported = "another definition has its name";
    return 0;
}

static int read_set(km_trace_problems *p, const char *folder, km_err *err)
{
    struct found definitions = { .a = &p->arena, .end = ".json" };
    struct found workloads = { .a = &p->arena, .end = ".jsonl" };
    const char *from = km_path_join(&p->arena, folder, "workloads");
    int rc = walk(&definitions, km_path_join(&p->arena, folder, "definitions"), 0, err);

    for (size_t i = 0; i < definitions.count && rc == 0; i++)
        rc = add_problem(p, definitions.paths[i], KM_TRACE_FLASHINFER, err);
    if (rc == 0 && km_dir_exists(from))
        rc = walk(&workloads, from, 0, err);
    for (size_t i = 0; i < workloads.count && rc == 0; i++)
        rc = read_workloads(p, NULL, workloads.paths[i], err);
    return rc;
}

static int read_sol(km_trace_problems *p, const char *folder, km_err *err)
{
    struct found definitions = { .a = &p->arena, .end = "/definition.json" };
    int rc = walk(&definitions, folder, 0, err);

    for (size_t i = 0; i < definitions.count && rc == 0; i++) {
        const char *file = definitions.paths[i];
        const char *workloads = km_path_join(&p->arena, km_path_dir(&p->arena, file),
                                             "workload.jsonl");
        rc = add_problem(p, file, KM_TRACE_SOL, err);
        if (rc == 0 && km_file_exists(workloads))
            rc = read_workloads(p, &p->problems[p->count - 1], workloads, err);
    }
    return rc;
}

int km_trace_problems_read(km_trace_problems *p, const char *folder, km_err *err)
{
    const char *definitions;
    int rc;

    *p = (km_trace_problems){ .strays = json_array() };
    definitions = km_path_join(&p->arena, folder, "definitions");
    if (!definitions || !p->strays)
        return km_fail_nomem(err);
    if (!km_dir_exists(folder))
        return km_fail(err, KM_ENOENT, "there is no folder '%s'", folder);
    rc = km_dir_exists(definitions) ? read_set(p, folder, err) : read_sol(p, folder, err);
    if (rc < 0 || p->count)
        return rc;
    km_fail(err, KM_ENOENT, "'%s' holds no definition", folder);
    return km_hint(err, "name a FlashInfer Trace set (definitions/, workloads/), a SOL-ExecBench "
                        "problem (definition.json, workload.jsonl), or a folder of problems");
}

void km_trace_problems_release(km_trace_problems *p)
{
    for (size_t i = 0; i < p->count; i++) {
        json_decref(p->problems[i].document);
        json_decref(p->problems[i].workloads);
    }
    json_decref(p->strays);
    km_arena_release(&p->arena);
    *p = (km_trace_problems){ 0 };
}
