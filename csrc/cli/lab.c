#include "cli/lab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "pkg/home.h"

const char *km_lab_source(const km_lab_fields *f)
{
    return f->in && strcmp(f->in, "-") != 0 ? f->in : "standard input";
}

static int read_input(km_str *out, km_err *err)
{
    char piece[4096];
    ssize_t n;

    while ((n = read(0, piece, sizeof piece)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "unable to read standard input");
        km_str_add_bytes(out, piece, (size_t)n);
        if (out->length > KM_LAB_BODY_BYTES_MAX)
            return km_fail(err, KM_ELIMIT, "standard input is longer than %u MiB",
                           KM_LAB_BODY_BYTES_MAX >> 20);
    }
    return km_str_check(out, err);
}

int km_lab_read(const km_lab_fields *f, json_t **out, km_err *err)
{
    km_str text = KM_STR_INIT;
    int rc;

    *out = NULL;
    if (f->in && strcmp(f->in, "-") != 0)
        rc = km_json_read(f->in, out, err);
    else if ((rc = read_input(&text, err)) == 0)
        rc = km_json_parse(text.data, text.length, km_lab_source(f), out, err);
    km_str_release(&text);
    if (rc == 0 && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return km_fail_at(err, KM_EFORMAT, km_lab_source(f), 0, 0, "this is no JSON object");
    }
    return rc;
}

int km_lab_hand_over(json_t *result, km_err *err)
{
    const char *run = getenv("KERNMILL_RUN_DIR");
    km_arena a = KM_ARENA_INIT;
    char *path = run && *run ? km_path_join(&a, run, "result.json") : NULL;
    int rc = result ? 0 : km_fail_nomem(err);

    if (rc == 0 && run && *run)
        rc = path ? km_json_write(path, result, err) : km_fail_nomem(err);
    km_arena_release(&a);
    if (rc == 0)
        return km_print_json(result, err);
    json_decref(result);
    return rc;
}

int km_lab_find_programs(const km_lab *lab, km_err *err)
{
    const char *path = getenv("PATH"), *ours, *python = NULL;
    km_arena a = KM_ARENA_INIT;
    char *joined = NULL;
    km_home home;
    int rc = km_home_find(&a, &home, err);

    if (rc == 0) {
        ours = km_path_dir(&a, home.program);
        python = home.python ? km_path_dir(&a, home.python) : ours;
        joined = ours && python ? km_arena_printf(&a, "%s:%s%s%s", ours, python, path ? ":" : "",
                                                  path ? path : "")
                                : NULL;
        if (!joined || setenv("PATH", joined, 1) < 0 || setenv("KERNMILL_LAB", lab->root, 1) < 0)
            rc = km_fail_nomem(err);
    }
    km_arena_release(&a);
    return rc;
}

int km_lab_id(const char *text, int64_t *out, km_err *err)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    if (errno || *end || end == text || *out < 1)
        return km_fail(err, KM_EUSAGE, "'%s' is no number of a job or a hypothesis", text);
    return 0;
}
