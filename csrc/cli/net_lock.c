#include <stdio.h>
#include <string.h>

#include "cli/net.h"
#include "core/str.h"
#include "hub/lock.h"

static json_t *kernel_json(const km_lock_entry *e)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < e->file_count; i++)
        bytes += e->files[i].size_bytes;
    return json_pack("{s:s,s:o,s:s?,s:s,s:I,s:I}", "repository", e->repo_id, "version",
                     e->revision ? json_null() : json_integer(e->version), "revision", e->revision,
                     "commit", e->commit, "files", (json_int_t)e->file_count, "bytes",
                     (json_int_t)bytes);
}

static int print_json(const km_lock_result *r, km_err *err)
{
    json_t *kernels = json_array(), *changes = json_array();

    for (size_t i = 0; i < r->lock.count; i++)
        json_array_append_new(kernels, kernel_json(&r->lock.items[i]));
    for (const char *line = r->changes.data, *end; *line; line = end + (*end == '\n')) {
        end = strchrnul(line, '\n');
        json_array_append_new(changes, json_stringn(line, (size_t)(end - line)));
    }
    return km_print_json(json_pack("{s:i,s:s,s:b,s:o,s:o,s:I}", "schema", KM_JSON_SCHEMA, "lock",
                                   r->path, "up_to_date", !r->changes.length, "changes", changes,
                                   "kernels", kernels, "downloaded_bytes",
                                   (json_int_t)r->downloaded_bytes),
                         err);
}

static void print_text(const km_lock_result *r, bool check)
{
    fputs(r->changes.data, stdout);
    printf("%s: %zu kernel%s, %s\n", r->path, r->lock.count, r->lock.count == 1 ? "" : "s",
           !r->changes.length ? "up to date"
           : check            ? "out of date"
                              : "written");
}

int km_run_lock(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lock_fields *f = fields;
    km_lock_result result = { .changes = KM_STR_INIT };
    km_arena a = KM_ARENA_INIT;
    km_endpoint endpoint;
    km_http *http = NULL;
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0)
        rc = km_endpoint_find(&a, &endpoint, err);
    if (rc == 0)
        rc = km_endpoint_connect(&endpoint, "kernmill/" KM_VERSION, NULL, NULL, &http, err);
    if (rc == 0)
        rc = km_lock_make(&a, &endpoint, http, arg_count ? args[0] : ".", f->check, &result, err);
    if (rc == 0 && f->common.json)
        rc = print_json(&result, err);
    else if (rc == 0)
        print_text(&result, f->check);
    if (rc == 0 && f->check && result.changes.length)
        rc = KM_EXIT_NO;
    km_lock_result_release(&result);
    km_http_free(http);
    km_arena_release(&a);
    return rc;
}
