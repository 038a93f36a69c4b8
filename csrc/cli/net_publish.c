#include <stdio.h>
#include <string.h>

#include "cli/findings.h"
#include "cli/meter.h"
#include "cli/net.h"
#include "hub/preflight.h"
#include "hub/publish.h"

struct run {
    const km_publish_fields *f;
    km_arena arena;
    km_packed packed;
    km_findings findings;
    km_endpoint endpoint;
    km_publish_request request;
    km_publish_result result;
};

/* --- what came of it --- */

static json_t *changes_json(const km_changes *c)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < c->count; i++) {
        const km_change *item = &c->items[i];
        json_array_append_new(rows,
                              json_pack("{s:s,s:s,s:I}", "change", km_change_names[item->kind],
                                        "path", item->path, "bytes",
                                        (json_int_t)(item->file ? item->file->size_bytes : 0)));
    }
    return rows;
}

static int print_json(const struct run *r, km_err *err)
{
    const km_publish_result *q = &r->result;
    json_t *kept = json_array();

    for (size_t i = 0; i < q->kept_count; i++)
        json_array_append_new(kept, json_string(q->kept[i]));
    return km_print_json(
        json_pack("{s:i,s:s,s:s,s:s,s:b,s:b,s:s,s:s?,s:I,s:o,s:o,s:o,s:o}", "schema",
                  KM_JSON_SCHEMA, "status", q->status, "repo_id", r->request.repo.id, "branch",
                  q->branch, "new_repository", q->makes_repo, "new_branch", q->makes_branch,
                  "commit", q->commit, "pull_request", q->pull_request, "verified_bytes",
                  (json_int_t)q->verified_bytes, "changes", changes_json(&q->changes), "main",
                  changes_json(&q->card), "kept_variants", kept, "findings",
                  km_findings_json(&r->findings)),
        err);
}

static void print_changes(const km_changes *c, const char *branch)
{
    static const char marks[] = { '+', '~', '-' };

    for (size_t i = 0; i < c->count; i++)
        printf("%c %s: %s\n", marks[c->items[i].kind], branch, c->items[i].path);
}

static void print_text(const struct run *r)
{
    const km_publish_result *q = &r->result;
    const char *id = r->request.repo.id;

    print_changes(&q->changes, q->branch);
    print_changes(&q->card, "main");
    for (size_t i = 0; i < q->kept_count; i++)
        printf("= %s: build/%s stays; it is not here, and the card does not speak of it\n",
               q->branch, q->kept[i]);
    printf("%s %s%s: ", id, q->branch,
           q->makes_repo ? ", a new repository" : (q->makes_branch ? ", a new branch" : ""));
    if (strcmp(q->status, "no_changes") == 0)
        printf("%zu files are there already", r->packed.file_count);
    else
        printf("%zu changes, %.2f MB%s", q->changes.count + q->card.count,
               (double)(q->changes.bytes + q->card.bytes) / 1e6,
               r->request.dry_run ? "; nothing was sent: --dry-run" : "");
    if (*q->commit)
        printf(", commit %.12s; read again: %.2f MB, the same", q->commit,
               (double)q->verified_bytes / 1e6);
    printf("\n");
    if (q->pull_request)
        printf("%s\n", q->pull_request);
}

static int refuse(const struct run *r, km_err *err)
{
    int rc = 0;

    if (r->f->common.json)
        rc = km_print_json(json_pack("{s:i,s:s,s:s,s:o}", "schema", KM_JSON_SCHEMA, "status",
                                     "refused", "repo_id", r->request.repo.id, "findings",
                                     km_findings_json(&r->findings)),
                           err);
    else {
        km_findings_print(&r->findings, stdout);
        printf("%s: not published: %zu error%s\n", r->packed.folder, r->findings.errors,
               r->findings.errors == 1 ? "" : "s");
    }
    return rc < 0 ? rc : KM_EXIT_NO;
}

/* --- what is asked for --- */

static int set_transport(struct run *r, km_err *err)
{
    const char *text = r->f->transport;

    if (!text)
        r->request.transport = km_endpoint_is_public(&r->endpoint) ? KM_TRANSPORT_HF
                                                                   : KM_TRANSPORT_HTTP;
    else if (strcmp(text, "hf") == 0)
        r->request.transport = KM_TRANSPORT_HF;
    else if (strcmp(text, "http") == 0)
        r->request.transport = KM_TRANSPORT_HTTP;
    else
        return km_fail(err, KM_EUSAGE, "--transport is hf or http, not '%s'", text);
    return 0;
}

static int prepare(struct run *r, const char **args, km_err *err)
{
    const km_publish_fields *f = r->f;
    int rc;

    r->request.dry_run = f->dry_run;
    r->request.create_pr = f->create_pr;
    r->request.private_repo = f->private_repo;
    r->request.message = f->message;
    rc = km_repo_parse(&r->arena, args[1], KM_REPO_KERNEL, &r->request.repo, err);
    if (rc == 0)
        rc = km_endpoint_find(&r->arena, &r->endpoint, err);
    if (rc == 0)
        rc = set_transport(r, err);
    if (rc == 0)
        rc = km_packed_read(&r->arena, args[0], &r->packed, err);
    if (rc == 0)
        rc = km_preflight_run(&r->findings, &r->arena, &r->packed,
                              &(km_preflight){ f->allow_untested, r->endpoint.token }, err);
    return rc;
}

int km_run_publish(void *fields, const char **args, size_t arg_count, km_err *err)
{
    struct run r = { .f = fields };
    km_term *term = &((km_publish_fields *)fields)->common.term;
    km_http *http = NULL;
    km_meter meter;
    int rc = km_check_args(arg_count, 2, 2, err);

    km_meter_init(&meter, term);
    if (rc == 0)
        rc = prepare(&r, args, err);
    if (rc == 0 && r.findings.errors) {
        rc = refuse(&r, err);
        goto out;
    }
    if (rc == 0)
        rc = km_endpoint_connect(&r.endpoint, "kernmill/" KM_VERSION, km_meter_show, &meter, &http,
                                 err);
    if (rc == 0)
        rc = km_publish(&r.arena, &r.endpoint, http, &r.packed, &r.request, &r.result, err);
    km_term_clear(term);
    if (rc == 0 && r.f->common.json)
        rc = print_json(&r, err);
    else if (rc == 0) {
        km_findings_print(&r.findings, stderr);
        print_text(&r);
    }
out:
    km_http_free(http);
    km_findings_release(&r.findings);
    km_arena_release(&r.arena);
    return rc;
}
