#include "pkg/probe.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/path.h"
#include "core/proc.h"
#include "core/str.h"

int km_probe_load(const char *library, km_err *err)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL), *found;
    const char *(*status_text)(void);

    if (!handle) {
        const char *why = dlerror();
        return km_fail(err, KM_EFORMAT, "%s", why ? why : "unable to load the library");
    }
    found = dlsym(handle, "km_status_text");
    if (!found)
        return km_fail(err, KM_EFORMAT, "the library has no table of operators");
    memcpy(&status_text, &found, sizeof status_text);
    if (*status_text())
        printf("status %s\n", status_text());
    return 0; /* the library stays: its code may have left something to run at exit */
}

/* Reads the child's lines; those that are not ours are the library's own. */
static int read_lines(km_arena *a, char *text, const char *const **schemas, size_t *count,
                      const char **status, km_err *err)
{
    size_t lines = 1;
    const char **out;
    char *rest = text;

    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    out = km_arena_array(a, lines, sizeof *out);
    if (!out)
        return km_fail_nomem(err);
    *count = 0;
    *status = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (km_starts_with(line, "schema "))
            out[(*count)++] = line + strlen("schema ");
        else if (km_starts_with(line, "status "))
            *status = line + strlen("status ");
    }
    *schemas = out;
    return 0;
}

/* The child printed its error as the program prints errors. */
static int fail_child(const km_proc_result *r, km_err *err)
{
    static const char prefix[] = "kernmill: error: ";
    const char *why = r->err.data;

    if (r->exit_code > 128)
        return km_fail(err, KM_ECHILD, "the library ends the program that loads it (signal %d)",
                       r->exit_code - 128);
    if (km_starts_with(why, prefix))
        why += strlen(prefix);
    km_fail(err, KM_EFORMAT, "the library was built and cannot be used: %.*s",
            (int)strcspn(why, "\n"), why);
    return km_hint(err, "the binding ends with KM_OPS(table); see kernmill/op.h");
}

int km_probe(km_arena *a, const km_plan *p, const char *library, const char *const **schemas,
             size_t *count, km_err *err)
{
    const char *const argv[] = { p->home.program, "probe", library, NULL };
    const char *old = getenv("LD_LIBRARY_PATH"); /* the program itself may need it */
    const char *env[] = { km_arena_printf(a, "LD_LIBRARY_PATH=%s/stub%s%s", p->work_dir,
                                          old && *old ? ":" : "", old ? old : ""),
                          NULL };
    km_proc proc = { .argv = argv, .env = env, .timeout_ms = 60000 };
    km_proc_result r = KM_PROC_RESULT_INIT;
    const char *status = NULL;
    char *text;
    int rc = env[0] ? km_proc_run(&proc, &r, err) : km_fail_nomem(err);

    if (rc == 0 && r.exit_code)
        rc = fail_child(&r, err);
    text = rc == 0 ? km_arena_strndup(a, r.out.data, r.out.length) : NULL;
    if (rc == 0)
        rc = text ? read_lines(a, text, schemas, count, &status, err) : km_fail_nomem(err);
    if (rc == 0 && status) {
        km_fail(err, KM_EFORMAT, "the operators cannot be registered: %s", status);
        rc = km_hint(err, "the table of operators stands in the binding; what a schema may say, in "
                          "kernmill/op.h");
    }
    km_proc_result_release(&r);
    return rc;
}

static bool is_operator(const char *name, const char *const *schemas, size_t count)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < count; i++)
        if (strncmp(schemas[i], name, n) == 0 && (schemas[i][n] == '(' || schemas[i][n] == '.'))
            return true;
    return false;
}

int km_probe_card(const km_manifest *m, const char *const *schemas, size_t count, km_err *err)
{
    const km_list *named = &m->card.operators;
    km_str names = KM_STR_INIT, path = KM_STR_INIT;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < named->count; i++) {
        const char *name = named->items[i];
        const km_toml *at = named->places[i];
        if (is_operator(name, schemas, count))
            continue;
        for (size_t j = 0; j < count; j++)
            km_str_printf(&names, "%s%.*s", j ? ", " : "", (int)strcspn(schemas[j], "("),
                          schemas[j]);
        km_str_printf(&path, "%s/card.toml", m->dir);
        km_fail_at(err, KM_EFORMAT, path.data, at->line, at->column,
                   "the library has no operator '%s'", name);
        rc = km_hint(err, "it has: %s", names.length ? names.data : "none");
    }
    km_str_release(&names);
    km_str_release(&path);
    return rc;
}
