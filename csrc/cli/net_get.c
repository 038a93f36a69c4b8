#include <stdio.h>

#include "cli/meter.h"
#include "cli/net.h"
#include "core/file.h"
#include "core/path.h"
#include "hub/get.h"
#include "hub/get_folder.h"
#include "hub/get_wheel.h"

/* A packed folder may look like OWNER/NAME; nobody's kernel has a build/ here. */
static int parse_name(km_arena *a, const char *name, km_repo *out, km_err *err)
{
    const char *build = km_path_join(a, name, "build");

    if (build && km_dir_exists(build)) {
        km_fail(err, KM_EUSAGE, "'%s' is a folder here", name);
        return km_hint(err, "write ./%s for the folder", name);
    }
    return km_repo_parse(a, name, KM_REPO_KERNEL, out, err);
}

static int make_request(km_arena *a, const km_get_fields *f, const char *name, km_get_request *out,
                        km_err *err)
{
    *out = (km_get_request){
        .revision = f->revision, .variant = f->variant, .all = f->all, .output = f->output
    };
    if (f->version && f->revision)
        return km_fail(err, KM_EUSAGE, "--version and --revision name the same thing twice");
    if (f->variant && f->all)
        return km_fail(err, KM_EUSAGE, "--variant names one, --all means all of them");
    if (f->version < 0)
        return km_fail(err, KM_EUSAGE, "--version takes a number from 1 on");
    if (f->variant &&
        (km_repo_path_check(f->variant, err) < 0 || km_path_base(f->variant) != f->variant))
        return km_fail(err, KM_EUSAGE, "'%s' is no name of a variant", f->variant);
    if (f->version && !(out->revision = km_arena_printf(a, "v%ld", f->version)))
        return km_fail_nomem(err);
    return name ? parse_name(a, name, &out->repo, err) : 0;
}

static int print_refused(const km_get_fields *f, const km_get_result *r, km_err *err)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < r->refused.count; i++) {
        const km_refusal *item = &r->refused.items[i];
        json_array_append_new(rows,
                              json_pack("{s:s,s:s}", "path", item->path, "message", item->message));
        if (!f->common.json)
            fprintf(stderr, "%s: %s\n", item->path, item->message);
    }
    if (f->common.json)
        return km_print_json(json_pack("{s:i,s:s,s:s,s:o}", "schema", KM_JSON_SCHEMA, "commit",
                                       r->commit, "lock", f->lock, "refused", rows),
                             err);
    fprintf(stderr, "kernmill: refused: at %s it is not what '%s' says\n", r->commit, f->lock);
    json_decref(rows);
    return 0;
}

static int print_json(const char *from, const km_get_result *r, km_err *err)
{
    return km_print_json(
        json_pack("{s:i,s:s,s:s,s:s,s:s?,s:s,s:I,s:I,s:I}", "schema", KM_JSON_SCHEMA, "repository",
                  from, "revision", r->revision, "commit", r->commit, "variant", r->variant, "path",
                  r->path, "files", (json_int_t)r->file_count, "bytes", (json_int_t)r->size_bytes,
                  "downloaded_bytes", (json_int_t)r->downloaded_bytes),
        err);
}

/* --- a wheel of an index --- */

static int check_wheel_fields(const km_get_fields *f, km_err *err)
{
    if (f->revision || f->version || f->variant || f->all || f->lock)
        return km_fail(err, KM_EUSAGE, "with --index only --output has a meaning");
    return 0;
}

static int run_wheel(km_get_fields *f, km_arena *a, km_http *http, const char *project, km_err *err)
{
    km_get_wheel_result r;
    int rc = check_wheel_fields(f, err);

    if (rc == 0)
        rc = km_get_wheel(a, http, f->index, project, f->output ? f->output : ".", &r, err);
    km_term_clear(&f->common.term);
    if (rc == 0 && f->common.json)
        return km_print_json(json_pack("{s:i,s:s,s:s,s:s,s:s,s:I}", "schema", KM_JSON_SCHEMA,
                                       "wheel", r.path, "name", r.name, "sha256", r.sha256, "page",
                                       r.page, "bytes", (json_int_t)r.size_bytes),
                             err);
    if (rc == 0)
        puts(r.path);
    return rc;
}

/* --- a folder --- */

static bool is_folder(const char *name)
{
    return name[0] == '/' || name[0] == '.';
}

static int run_folder(km_get_fields *f, km_arena *a, const char *folder, km_err *err)
{
    km_get_request request;
    km_get_result r;
    int rc = 0;

    if (f->revision || f->version || f->lock)
        return km_fail(err, KM_EUSAGE,
                       "a folder has no versions: --revision, --version and --lock "
                       "are for a hub's");
    rc = make_request(a, f, NULL, &request, err);
    if (rc == 0)
        rc = km_get_folder(a, folder, &request, &r, err);
    if (rc == 0 && f->common.json)
        return print_json(folder, &r, err);
    if (rc == 0)
        puts(r.path);
    return rc;
}

/* --- a hub --- */

static int run_hub(km_get_fields *f, km_arena *a, const km_endpoint *endpoint, km_http *http,
                   const char *name, km_err *err)
{
    km_get_request request;
    km_get_result result = { 0 };
    km_lock lock;
    int rc = make_request(a, f, name, &request, err);

    if (rc == 0 && f->lock) {
        request.lock = &lock;
        rc = km_lock_read(a, f->lock, &lock, err);
    }
    if (rc == 0)
        rc = km_get(a, endpoint, http, &request, &result, err);
    km_term_clear(&f->common.term);
    if (rc == 0 && result.refused.count)
        return print_refused(f, &result, err) < 0 ? KM_EIO : KM_EXIT_NO;
    if (rc == 0 && f->common.json)
        return print_json(request.repo.id, &result, err);
    if (rc == 0)
        puts(result.path);
    return rc;
}

int km_run_get(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_get_fields *f = fields;
    km_arena a = KM_ARENA_INIT;
    km_endpoint endpoint;
    km_http *http = NULL;
    km_meter meter;
    int rc = km_check_args(arg_count, 1, 1, err);

    km_meter_init(&meter, &f->common.term);
    if (rc == 0 && !f->index && is_folder(args[0])) {
        rc = run_folder(f, &a, args[0], err);
        goto out;
    }
    if (rc == 0)
        rc = km_endpoint_find(&a, &endpoint, err);
    if (rc == 0)
        rc = km_endpoint_connect(&endpoint, "kernmill/" KM_VERSION, km_meter_show, &meter, &http,
                                 err);
    if (rc == 0)
        rc = f->index ? run_wheel(f, &a, http, args[0], err)
                      : run_hub(f, &a, &endpoint, http, args[0], err);
    km_term_clear(&f->common.term);
out:
    km_http_free(http);
    km_arena_release(&a);
    return rc;
}
