/* The requests that are about the repository as a whole. Large files: wire_upload.c; the commit:
 * wire_commit.c. */
#include "net/wire_write.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base64.h"
#include "core/file.h"
#include "formats/json.h"
#include "net/wire_internal.h"

#define PIECE_BYTES                                                                                \
    (48u << 10) /* a multiple of three: base64 of the pieces is that of the whole                  \
                 */

bool km_upload_is(const km_upload *u, const km_hub_entry *there)
{
    if (!there || there->is_folder || there->size_bytes != u->size_bytes)
        return false;
    return *there->sha256 ? strcmp(there->sha256, u->sha256) == 0
                          : strcmp(there->oid, u->git_id) == 0;
}

int km_wire_post_as(const km_wire *w, const char *type, const char *url, json_t *fields, long also,
                    long *status, json_t **doc, km_err *err)
{
    char *header = NULL, *body = fields ? json_dumps(fields, JSON_COMPACT) : NULL;
    const char *headers[2] = { NULL, NULL };
    km_http_answer answer = KM_HTTP_ANSWER_INIT;
    km_http_request request = { .method = KM_HTTP_POST, .url = url, .body = body };
    int rc = url && body && asprintf(&header, "Content-Type: %s", type) >= 0 ? 0
                                                                             : km_fail_nomem(err);

    json_decref(fields);
    if (rc == 0) {
        headers[0] = header;
        request.headers = headers;
        request.body_bytes = strlen(body);
        rc = km_http_send(w->http, &request, &answer, err);
    }
    if (rc == 0 && (answer.status < 200 || answer.status > 299) && answer.status != also)
        rc = km_http_expect(&answer, 200, err);
    *status = answer.status;
    if (rc == 0 && doc)
        rc = km_json_parse(answer.body.data, answer.body.length, answer.url, doc, err);
    km_http_answer_release(&answer);
    free(header);
    free(body);
    return rc;
}

static int post(const km_wire *w, const char *url, json_t *fields, long also, long *status,
                json_t **doc, km_err *err)
{
    return km_wire_post_as(w, "application/json", url, fields, also, status, doc, err);
}

/* --- repository and branch --- */

int km_wire_create_repo(const km_wire *w, km_arena *a, const km_repo *repo, bool private_repo,
                        bool *made, km_err *err)
{
    const char *slash = strchr(repo->id, '/');
    char *url = km_arena_printf(a, "%s/api/repos/create", w->endpoint);
    json_t *fields = json_pack("{s:s,s:s%,s:s}", "name", slash + 1, "organization", repo->id,
                               (size_t)(slash - repo->id), "type",
                               repo->type == KM_REPO_KERNEL ? "kernel" : "model");
    long status = 0;
    int rc;

    if (private_repo && fields)
        json_object_set_new(fields, "visibility", json_string("private"));
    rc = post(w, url, fields, 409, &status, NULL, err);
    *made = rc == 0 && status != 409;
    return rc;
}

int km_wire_create_branch(const km_wire *w, km_arena *a, const km_repo *repo, const char *name,
                          km_err *err)
{
    long status;

    return post(w, km_wire_api_url(w, a, repo, "branch", name, NULL), json_object(), 409, &status,
                NULL, err);
}

/* --- which way each file goes --- */

/* The first bytes, by which the hub tells text from binary. */
static int sample_of(const km_upload *u, km_str *out, km_err *err)
{
    unsigned char bytes[KM_HUB_SAMPLE_BYTES];
    int fd = open(u->file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);

    if (fd >= 0)
        close(fd);
    if (n < 0)
        return km_fail(err, KM_EIO, "unable to read '%s'", u->file);
    km_str_clear(out);
    km_base64_add(out, bytes, (size_t)n);
    return km_str_check(out, err);
}

static int list_of(const km_upload *files, size_t count, json_t **out, km_err *err)
{
    json_t *list = json_array();
    km_str sample = KM_STR_INIT;
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = sample_of(&files[i], &sample, err);
        if (rc == 0 && json_array_append_new(list, json_pack("{s:s,s:s,s:I}", "path", files[i].path,
                                                             "sample", sample.data, "size",
                                                             (json_int_t)files[i].size_bytes)) < 0)
            rc = km_fail_nomem(err);
    }
    km_str_release(&sample);
    *out = json_pack("{s:o}", "files", list);
    return rc;
}

static int take_mode(km_upload *u, const json_t *reply, const char *url, km_err *err)
{
    const char *mode;

    if (km_json_text(reply, "uploadMode", &mode, url, err) < 0)
        return KM_EFORMAT;
    if (json_is_true(json_object_get(reply, "shouldIgnore"))) {
        km_fail(err, KM_EFORMAT,
                "the hub would leave '%s' out: a .gitignore in the repository names it", u->path);
        return km_hint(err, "delete .gitignore from the repository on the hub");
    }
    u->large = strcmp(mode, "lfs") == 0;
    if (!u->large && strcmp(mode, "regular") != 0)
        return km_fail_at(err, KM_EFORMAT, url, 0, 0, "unknown uploadMode '%.64s'", mode);
    return 0;
}

static int take_modes(km_upload *files, size_t count, const json_t *doc, const char *url,
                      km_err *err)
{
    json_t *list, *reply;
    size_t k, told = 0;

    if (km_json_array(doc, "files", &list, url, err) < 0)
        return KM_EFORMAT;
    json_array_foreach(list, k, reply)
    {
        const char *path = km_json_text_of(reply, "path");
        for (size_t i = 0; i < count; i++) {
            if (strcmp(files[i].path, path) != 0)
                continue;
            if (take_mode(&files[i], reply, url, err) < 0)
                return KM_EFORMAT;
            told++;
        }
    }
    return told == count ? 0
                         : km_fail_at(err, KM_EFORMAT, url, 0, 0,
                                      "of %zu files the hub's answer names %zu", count, told);
}

int km_wire_preupload(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                      bool create_pr, km_upload *files, size_t count, km_err *err)
{
    const char *base = km_wire_api_url(w, a, repo, "preupload", revision, NULL);
    char *url = base ? km_arena_printf(a, "%s%s", base, create_pr ? "?create_pr=1" : "") : NULL;
    int rc = 0;

    for (size_t at = 0; at < count && rc == 0; at += KM_HUB_FILES_A_REQUEST) {
        size_t n = count - at < KM_HUB_FILES_A_REQUEST ? count - at : KM_HUB_FILES_A_REQUEST;
        json_t *fields = NULL, *doc = NULL;
        long status;
        rc = list_of(files + at, n, &fields, err);
        if (rc < 0)
            json_decref(fields);
        else
            rc = post(w, url, fields, 0, &status, &doc, err);
        if (rc == 0)
            rc = take_modes(files + at, n, doc, base, err);
        json_decref(doc);
    }
    return rc;
}
