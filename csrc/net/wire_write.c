/* The requests that are about the repository as a whole, and the commit. Large files:
 * wire_upload.c. */
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

/* --- the commit: its body is written to a file first --- */

static int put(FILE *to, const char *key, json_t *value, km_err *err)
{
    json_t *line = json_pack("{s:s,s:o}", "key", key, "value", value);
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    int rc = text ? 0 : km_fail_nomem(err);

    if (rc == 0 && (fputs(text, to) == EOF || fputc('\n', to) == EOF))
        rc = km_fail(err, KM_EIO, "unable to write the commit's temporary file");
    free(text);
    json_decref(line);
    return rc;
}

/* {"key":"file","value":{"content":"...","path":...,"encoding":"base64"}}, the content in pieces.
 */
static int put_content(FILE *to, const km_upload *u, km_err *err)
{
    char *path = json_dumps(json_string(u->path), JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    unsigned char *piece = malloc(PIECE_BYTES);
    km_str text = KM_STR_INIT;
    FILE *from = fopen(u->file, "rbe");
    uint64_t left = u->size_bytes;
    int rc = !path || !piece ? km_fail_nomem(err) : 0;

    if (rc == 0 && !from)
        rc = km_fail(err, KM_EIO, "unable to read '%s'", u->file);
    if (rc == 0)
        fputs("{\"key\":\"file\",\"value\":{\"content\":\"", to);
    while (rc == 0 && left) {
        size_t n = fread(piece, 1, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, from);
        if (!n)
            rc = km_fail(err, KM_EIO, "'%s' became shorter while it was read", u->file);
        left -= n;
        km_str_clear(&text);
        km_base64_add(&text, piece, n);
        if (rc == 0 && (text.failed || fputs(text.data, to) == EOF))
            rc = km_fail(err, KM_EIO, "unable to write the commit's temporary file");
    }
    if (rc == 0 && fprintf(to, "\",\"path\":%s,\"encoding\":\"base64\"}}\n", path) < 0)
        rc = km_fail(err, KM_EIO, "unable to write the commit's temporary file");
    if (from)
        fclose(from);
    km_str_release(&text);
    free(piece);
    free(path);
    return rc;
}

static int put_all(FILE *to, const km_commit *c, km_err *err)
{
    json_t *header = json_pack("{s:s,s:s,s:s}", "summary", c->summary, "description",
                               c->description, "parentCommit", c->parent);
    int rc = put(to, "header", header, err);

    for (size_t i = 0; i < c->deleted_count && rc == 0; i++)
        rc = put(to, "deletedFile", json_pack("{s:s}", "path", c->deleted[i]), err);
    for (size_t i = 0; i < c->file_count && rc == 0; i++) {
        const km_upload *u = &c->files[i];
        rc = !u->large ? put_content(to, u, err)
                       : put(to, "lfsFile",
                             json_pack("{s:s,s:s,s:s,s:I}", "path", u->path, "algo", "sha256",
                                       "oid", u->sha256, "size", (json_int_t)u->size_bytes),
                             err);
    }
    if (rc == 0 && (fflush(to) == EOF || ferror(to)))
        rc = km_fail(err, KM_EIO, "unable to write the commit's temporary file");
    return rc;
}

static int check_inline(const km_commit *c, km_err *err)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < c->file_count; i++)
        sum += c->files[i].large ? 0 : c->files[i].size_bytes;
    if (sum <= KM_HUB_INLINE_BYTES_MAX)
        return 0;
    return km_fail(err, KM_ELIMIT,
                   "this hub takes large files in the commit alone, and these are %llu MiB",
                   (unsigned long long)(sum >> 20));
}

static int read_result(km_arena *a, const json_t *doc, const char *url, bool create_pr,
                       km_commit_result *out, km_err *err)
{
    const char *commit, *web, *pull = NULL, *number;

    if (km_json_text(doc, "commitOid", &commit, url, err) < 0 ||
        km_json_text(doc, "commitUrl", &web, url, err) < 0 ||
        (create_pr && km_json_text(doc, "pullRequestUrl", &pull, url, err) < 0))
        return KM_EFORMAT;
    if (!km_is_commit(commit))
        return km_fail_at(err, KM_EFORMAT, url, 0, 0, "no id of 40 digits: '%.64s'", commit);
    memcpy(out->commit, commit, KM_OID_HEX_BYTES);
    out->url = km_arena_strdup(a, web);
    if (pull) {
        number = strrchr(pull, '/');
        out->pull_request = km_arena_strdup(a, pull);
        out->pull_number = number ? strtol(number + 1, NULL, 10) : 0;
    }
    return out->url && (!pull || out->pull_request) ? 0 : km_fail_nomem(err);
}

/* Somebody else was faster: nothing was done. */
static int moved(const char *revision, km_err *err)
{
    km_fail(err, KM_EFORMAT, "the branch '%s' has moved since it was read; nothing was changed",
            revision);
    return km_hint(err, "look at what was published there, then run this again");
}

int km_wire_commit(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                   const km_commit *c, km_commit_result *out, km_err *err)
{
    static const char *const headers[] = { "Content-Type: application/x-ndjson", NULL };
    const char *base = km_wire_api_url(w, a, repo, "commit", revision, NULL);
    km_http_answer answer = KM_HTTP_ANSWER_INIT;
    json_t *doc = NULL;
    FILE *body = tmpfile();
    int rc = base ? check_inline(c, err) : km_fail_nomem(err);
    km_http_request request = {
        .method = KM_HTTP_POST, .headers = headers, .stall_s = KM_HUB_COMMIT_STALL_S, .once = true
    };

    *out = (km_commit_result){ 0 };
    if (rc == 0 && !body)
        rc = km_fail(err, KM_EIO, "unable to make a temporary file");
    if (rc == 0)
        rc = put_all(body, c, err);
    if (rc == 0) {
        request.url = km_arena_printf(a, "%s%s", base, c->create_pr ? "?create_pr=1" : "");
        request.body_fd = fileno(body);
        request.body_bytes = (uint64_t)ftello(body);
        rc = request.url ? km_http_send(w->http, &request, &answer, err) : km_fail_nomem(err);
    }
    if (rc == 0)
        rc = answer.status == 412 ? moved(revision, err) : km_http_expect(&answer, 200, err);
    if (rc == 0)
        rc = km_json_parse(answer.body.data, answer.body.length, base, &doc, err);
    if (rc == 0)
        rc = read_result(a, doc, base, c->create_pr, out, err);
    json_decref(doc);
    km_http_answer_release(&answer);
    if (body)
        fclose(body);
    return rc;
}
