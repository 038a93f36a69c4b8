/* The commit. Its body, a JSON document a line, is written to a file first, which has no name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base64.h"
#include "core/str.h"
#include "formats/json.h"
#include "net/wire_write.h"

#define PIECE_BYTES (48u << 10) /* a multiple of three, for base64 */

struct spool {
    int fd;
    uint64_t bytes;
};

static int spool_open(struct spool *s, km_err *err)
{
    const char *base = getenv("TMPDIR");
    char path[KM_PATH_BYTES_MAX];

    snprintf(path, sizeof path, "%s/kernmill-commit-XXXXXX", base && *base ? base : "/tmp");
    *s = (struct spool){ mkostemp(path, O_CLOEXEC), 0 };
    if (s->fd < 0)
        return km_fail_errno(err, errno, "unable to make '%s'", path);
    unlink(path);
    return 0;
}

static int spool_add(struct spool *s, const char *text, size_t size, km_err *err)
{
    for (ssize_t n; size; size -= (size_t)n, text += n) {
        n = write(s->fd, text, size);
        if (n < 0 && errno == EINTR)
            n = 0;
        if (n < 0)
            return km_fail_errno(err, errno, "unable to write a temporary file");
        s->bytes += (uint64_t)n;
    }
    return 0;
}

/* {"key":KEY,"value":VALUE}. Frees the value. */
static int put(struct spool *to, const char *key, json_t *value, km_err *err)
{
    json_t *line = json_pack("{s:s,s:o}", "key", key, "value", value);
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    int rc = text ? spool_add(to, text, strlen(text), err) : km_fail_nomem(err);

    if (rc == 0)
        rc = spool_add(to, "\n", 1, err);
    free(text);
    json_decref(line);
    return rc;
}

static ssize_t read_full(int fd, unsigned char *out, size_t size)
{
    size_t done = 0;
    ssize_t n = 0;

    while (done < size && (n = read(fd, out + done, size - done)) != 0)
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return -1;
    return (ssize_t)done;
}

static int put_bytes(struct spool *to, const km_upload *u, km_err *err)
{
    unsigned char piece[PIECE_BYTES];
    km_str text = KM_STR_INIT;
    uint64_t left = u->size_bytes;
    int fd = open(u->file, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? km_fail_errno(err, errno, "unable to read '%s'", u->file) : 0;

    while (rc == 0 && left) {
        size_t wanted = left < sizeof piece ? (size_t)left : sizeof piece;
        if (read_full(fd, piece, wanted) != (ssize_t)wanted) {
            rc = km_fail(err, KM_EIO, "'%s' became shorter, or unreadable, while it was sent",
                         u->file);
            break;
        }
        left -= wanted;
        km_str_clear(&text);
        km_base64_add(&text, piece, wanted);
        rc = km_str_check(&text, err);
        if (rc == 0)
            rc = spool_add(to, text.data, text.length, err);
    }
    if (fd >= 0)
        close(fd);
    km_str_release(&text);
    return rc;
}

/* {"key":"file","value":{"content":"...","path":...,"encoding":"base64"}}. The content comes before
 * the path, as the official client has it. */
static int put_content(struct spool *to, const km_upload *u, km_err *err)
{
    static const char begin[] = "{\"key\":\"file\",\"value\":{\"content\":\"";
    json_t *rest = json_pack("{s:s,s:s}", "path", u->path, "encoding", "base64");
    char *end = rest ? json_dumps(rest, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    int rc = end ? spool_add(to, begin, strlen(begin), err) : km_fail_nomem(err);

    if (rc == 0)
        rc = put_bytes(to, u, err);
    if (rc == 0)
        rc = spool_add(to, "\",", 2, err);
    if (rc == 0)
        rc = spool_add(to, end + 1, strlen(end + 1), err); /* without its brace */
    if (rc == 0)
        rc = spool_add(to, "}\n", 2, err);
    free(end);
    json_decref(rest);
    return rc;
}

static int put_all(struct spool *to, const km_commit *c, km_err *err)
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
    km_http_request request = {
        .method = KM_HTTP_POST, .headers = headers, .stall_s = KM_HUB_COMMIT_STALL_S, .once = true
    };
    struct spool body = { -1, 0 };
    json_t *doc = NULL;
    int rc = base ? check_inline(c, err) : km_fail_nomem(err);

    *out = (km_commit_result){ 0 };
    if (rc == 0)
        rc = spool_open(&body, err);
    if (rc == 0)
        rc = put_all(&body, c, err);
    if (rc == 0) {
        request.url = km_arena_printf(a, "%s%s", base, c->create_pr ? "?create_pr=1" : "");
        request.body_fd = body.fd;
        request.body_bytes = body.bytes;
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
    if (body.fd >= 0)
        close(body.fd);
    return rc;
}
