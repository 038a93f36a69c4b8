/* A large file's bytes, by git's LFS protocol: asked for a place, put there, in parts where the hub
 * wants parts, and verified. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/hash.h"
#include "formats/json.h"
#include "net/wire_internal.h"
#include "net/wire_write.h"

static int post(const km_wire *w, const char *url, json_t *fields, json_t **doc, km_err *err)
{
    long status;

    return km_wire_post_as(w, "application/vnd.git-lfs+json", url, fields, 0, &status, doc, err);
}

struct upload {
    const km_wire *w;
    km_arena *a;
    const km_upload *file;
    int fd;
};

/* One span of the file to an address that carries its own right: no token goes there. *etag is in
 * the arena. */
static int put_span(struct upload *u, const char *url, uint64_t at, uint64_t bytes,
                    const char **etag, km_err *err)
{
    km_http_answer answer = KM_HTTP_ANSWER_INIT;
    km_http_request request = { .method = KM_HTTP_PUT,
                                .url = url,
                                .body_fd = u->fd,
                                .body_at = at,
                                .body_bytes = bytes,
                                .anonymous = true };
    int rc = km_http_send(u->w->http, &request, &answer, err);
    const char *told = rc == 0 ? km_http_header_of(&answer, "etag") : NULL;

    if (rc == 0 && (answer.status < 200 || answer.status > 299))
        rc = km_http_expect(&answer, 200, err);
    *etag = told ? km_arena_strdup(u->a, told) : NULL;
    km_http_answer_release(&answer);
    return rc;
}

static int put_parts(struct upload *u, const char *href, const json_t *header, km_err *err)
{
    uint64_t part_bytes = strtoull(km_json_text_of(header, "chunk_size"), NULL, 10), at = 0;
    json_t *parts = json_array();
    char key[16];
    int rc = 0;

    for (int n = 1; rc == 0 && at < u->file->size_bytes; n++) {
        uint64_t left = u->file->size_bytes - at;
        const char *url, *etag;
        snprintf(key, sizeof key, "%05d", n);
        rc = n > KM_HUB_PARTS_MAX ? km_fail(err, KM_ELIMIT, "'%s' is in more than %d parts",
                                            u->file->path, KM_HUB_PARTS_MAX)
                                  : km_json_text(header, key, &url, "the hub's list of parts", err);
        if (rc == 0)
            rc = put_span(u, url, at, left < part_bytes ? left : part_bytes, &etag, err);
        if (rc == 0 && !etag)
            rc = km_fail(err, KM_EFORMAT, "part %d of '%s' was taken without an ETag", n,
                         u->file->path);
        if (rc == 0)
            json_array_append_new(parts, json_pack("{s:i,s:s}", "partNumber", n, "etag", etag));
        at += part_bytes;
    }
    if (rc < 0) {
        json_decref(parts);
        return rc;
    }
    return post(u->w, href, json_pack("{s:s,s:o}", "oid", u->file->sha256, "parts", parts), NULL,
                err);
}

/* What the batch said of one object. Nothing to do when the hub has it. */
static int follow(struct upload *u, const json_t *object, const char *name, km_err *err)
{
    json_t *failed = json_object_get(object, "error"), *actions = NULL, *put = NULL;
    const json_t *header, *verify;
    const char *href, *etag;
    int rc;

    if (failed)
        return km_fail(err, KM_EIO, "the hub does not take '%s': %.200s", u->file->path,
                       km_json_text_of(failed, "message"));
    if (km_json_object_optional(object, "actions", &actions, name, err) < 0 ||
        (actions && km_json_object_optional(actions, "upload", &put, name, err) < 0))
        return KM_EFORMAT;
    if (!put)
        return 0;
    if (km_json_text(put, "href", &href, name, err) < 0)
        return KM_EFORMAT;
    header = json_object_get(put, "header");
    rc = strtoull(km_json_text_of(header, "chunk_size"), NULL, 10)
             ? put_parts(u, href, header, err)
             : put_span(u, href, 0, u->file->size_bytes, &etag, err);
    verify = json_object_get(actions, "verify");
    if (rc == 0 && verify)
        rc = post(
            u->w, km_json_text_of(verify, "href"),
            json_pack("{s:s,s:I}", "oid", u->file->sha256, "size", (json_int_t)u->file->size_bytes),
            NULL, err);
    return rc;
}

/* What would be sent must be what was hashed: the hub refuses it otherwise, after all of it. */
static int open_file(struct upload *u, km_err *err)
{
    char now[KM_SHA256_HEX_BYTES];
    int rc;

    u->fd = open(u->file->file, O_RDONLY | O_CLOEXEC);
    if (u->fd < 0)
        return km_fail_errno(err, errno, "unable to read '%s'", u->file->file);
    rc = km_hash_fd(u->fd, KM_DIGEST_SHA256, now, err);
    if (rc == 0 && strcmp(now, u->file->sha256) != 0)
        rc = km_fail(err, KM_EIO, "'%s' was changed while it was published", u->file->file);
    return rc;
}

int km_wire_upload(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                   const km_upload *file, km_err *err)
{
    struct upload u = { w, a, file, -1 };
    char *url = km_arena_printf(a, "%s/%s%s.git/info/lfs/objects/batch", w->endpoint,
                                repo->type == KM_REPO_KERNEL ? "kernels/" : "", repo->id);
    json_t *fields = json_pack("{s:s,s:[s,s],s:[{s:s,s:I}],s:s,s:{s:s}}", "operation", "upload",
                               "transfers", "basic", "multipart", "objects", "oid", file->sha256,
                               "size", (json_int_t)file->size_bytes, "hash_algo", "sha256", "ref",
                               "name", revision);
    json_t *doc = NULL, *objects;
    int rc = open_file(&u, err);

    if (rc < 0)
        json_decref(fields);
    else
        rc = post(w, url, fields, &doc, err);
    if (rc == 0)
        rc = km_json_array(doc, "objects", &objects, url, err);
    if (rc == 0)
        rc = follow(&u, json_array_get(objects, 0), url, err);
    json_decref(doc);
    if (u.fd >= 0)
        close(u.fd);
    return rc;
}
