/* What comes back: headers, the body in memory or in a file, and the server's reasons. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "formats/json.h"
#include "net/http_internal.h"

void km_http_answer_release(km_http_answer *a)
{
    km_str_release(&a->body);
    km_arena_release(&a->arena);
    *a = (km_http_answer)KM_HTTP_ANSWER_INIT;
}

void km_http_answer_restart(km_http_answer *a)
{
    a->status = 0;
    a->headers = NULL;
    a->header_count = 0;
    a->url = "";
    a->location = a->next = NULL;
    km_str_clear(&a->body);
    km_arena_release(&a->arena);
}

const char *km_http_header_of(const km_http_answer *a, const char *name)
{
    for (size_t i = 0; i < a->header_count; i++)
        if (strcmp(a->headers[i].name, name) == 0)
            return a->headers[i].value;
    return NULL;
}

/* --- headers --- */

static int add_header(km_http_answer *a, const char *line, size_t length, km_err *err)
{
    const char *colon = memchr(line, ':', length), *end = line + length;
    char *name, *value;

    if (length > KM_HTTP_HEADER_BYTES_MAX || a->header_count == KM_HTTP_HEADERS_MAX)
        return km_fail(err, KM_ELIMIT, "the answer has more or longer headers than %d of %d bytes",
                       KM_HTTP_HEADERS_MAX, KM_HTTP_HEADER_BYTES_MAX);
    if (!colon)
        return 0;
    if (!a->headers)
        a->headers = km_arena_array(&a->arena, KM_HTTP_HEADERS_MAX, sizeof *a->headers);
    name = km_arena_strndup(&a->arena, line, (size_t)(colon - line));
    for (colon++; colon < end && isspace((unsigned char)*colon); colon++)
        ;
    while (end > colon && isspace((unsigned char)end[-1]))
        end--;
    value = km_arena_strndup(&a->arena, colon, (size_t)(end - colon));
    if (!a->headers || !name || !value)
        return km_fail_nomem(err);
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    a->headers[a->header_count++] = (km_http_header){ name, value };
    return 0;
}

size_t km_http_on_header(char *data, size_t size, size_t count, void *user)
{
    flight *f = user;
    size_t length = size * count;

    if (length >= 5 && memcmp(data, "HTTP/", 5) == 0) /* a proxy's or a provisional answer ended */
        km_http_answer_restart(&f->t->answer);
    else if (add_header(&f->t->answer, data, length, &f->err) < 0)
        return 0;
    return length;
}

/* The target of rel="next" in one header, or NULL: <URL>; rel="next", ... */
static const char *next_of(km_arena *a, const char *link)
{
    while ((link = strchr(link, '<'))) {
        const char *end = strchr(link, '>'), *stop;
        if (!end)
            return NULL;
        stop = strchr(end, '<');
        for (const char *p = end; (p = strstr(p, "rel=")) && (!stop || p < stop); p++) {
            size_t quoted = p[4] == '"';
            if (strncasecmp(p + 4 + quoted, "next", 4) == 0 &&
                !isalnum((unsigned char)p[8 + quoted]))
                return km_arena_strndup(a, link + 1, (size_t)(end - link - 1));
        }
        link = end;
    }
    return NULL;
}

int km_http_read_links(flight *f, km_err *err)
{
    km_http_answer *a = &f->t->answer;
    const char *next = NULL;
    km_url url;

    a->url = km_arena_strdup(&a->arena, f->url.show);
    if (!a->url)
        return km_fail_nomem(err);
    for (size_t i = 0; i < a->header_count && !next; i++)
        if (strcmp(a->headers[i].name, "link") == 0)
            next = next_of(&a->arena, a->headers[i].value);
    if (!next)
        return 0;
    if (km_url_join(&a->arena, &f->url, next, &url, err) < 0)
        return KM_EFORMAT;
    if (!km_url_same_origin(&url, &f->url))
        return km_fail(err, KM_EFORMAT, "the next page of %s is said to be on another host",
                       a->url);
    a->next = url.text;
    return 0;
}

/* --- the body --- */

int km_http_restart_file(flight *f, km_err *err)
{
    km_http_file *file = f->t->request.file;

    f->h->done_bytes -= f->counted_bytes;
    f->counted_bytes = 0;
    file->have_bytes = 0;
    f->tried_from = 0;
    return ftruncate(file->fd, 0) < 0 ? km_file_fail(file->fd, "empty", err) : 0;
}

/* The ETag as it compares: without quotes; NULL when it is weak or missing. */
static const char *strong_etag(const km_http_answer *a)
{
    const char *etag = km_http_header_of(a, "etag");

    return etag && etag[0] == '"' && etag[1] != '"' ? etag : NULL;
}

/* "bytes 10-99/100": the part must be what was asked for, of the file that was meant. */
static int check_part(flight *f, km_err *err)
{
    const km_http_answer *a = &f->t->answer;
    const km_http_file *file = f->t->request.file;
    const char *range = km_http_header_of(a, "content-range"), *etag = strong_etag(a);
    uint64_t first = 0, last = 0, total = 0;
    int end = 0;

    if (!range ||
        sscanf(range, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64 "%n", &first, &last, &total, &end) !=
            3 ||
        range[end] || last < first || last >= total)
        return km_fail(err, KM_EFORMAT, "%s: part of a file came with Content-Range '%s'",
                       f->url.show, range ? range : "");
    if (first != file->have_bytes ||
        (file->size_bytes != KM_HTTP_SIZE_UNKNOWN && total != file->size_bytes))
        return km_fail(err, KM_EFORMAT,
                       "%s: asked for the bytes from %" PRIu64 " on, and '%s' came", f->url.show,
                       file->have_bytes, range);
    if (f->validator && etag && strcmp(f->validator, etag) != 0)
        return km_fail(err, KM_EFORMAT, "%s: the file changed while it was downloaded",
                       f->url.show);
    return 0;
}

/* At the first byte: where does this body belong? */
static int begin_body(flight *f, km_err *err)
{
    km_http_answer *a = &f->t->answer;
    km_http_file *file = f->t->request.file;
    const char *coding = km_http_header_of(a, "content-encoding"), *etag;

    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &a->status);
    f->to_file = file && (a->status == 200 || a->status == 206);
    if (!f->to_file)
        return 0;
    if (coding && *coding && strcasecmp(coding, "identity") != 0)
        return km_fail(err, KM_EFORMAT,
                       "%s: the file came compressed ('%s'), which was not asked for", f->url.show,
                       coding);
    if (a->status == 206) {
        if (check_part(f, err) < 0) {
            f->start_over = file->have_bytes && !f->started_over;
            return KM_EFORMAT;
        }
    } else if (file->have_bytes && km_http_restart_file(f, err) < 0) {
        return KM_EIO;
    }
    etag = strong_etag(a);
    f->validator = etag ? km_arena_strdup(&f->arena, etag) : NULL;
    return 0;
}

static int write_part(flight *f, const char *data, size_t length, km_err *err)
{
    km_http_file *file = f->t->request.file;
    uint64_t limit = file->size_bytes == KM_HTTP_SIZE_UNKNOWN ? KM_HUB_FILE_BYTES_MAX
                                                              : file->size_bytes;

    if (length > limit - file->have_bytes)
        return km_fail(err, KM_EFORMAT,
                       "%s: more than the %" PRIu64 " bytes came that it should have", f->url.show,
                       limit);
    while (length) {
        ssize_t n = pwrite(file->fd, data, length, (off_t)file->have_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_file_fail(file->fd, "write", err);
        data += n;
        length -= (size_t)n;
        file->have_bytes += (uint64_t)n;
        f->counted_bytes += (uint64_t)n;
        f->h->done_bytes += (uint64_t)n;
    }
    return 0;
}

static int keep_part(flight *f, const char *data, size_t length, km_err *err)
{
    km_http_answer *a = &f->t->answer;
    const km_http_request *r = &f->t->request;
    size_t limit = r->answer_bytes_max ? r->answer_bytes_max : KM_HTTP_ANSWER_BYTES_MAX;

    if (a->status >= 300) { /* the reason; its end is of no use */
        f->enough = length > KM_HTTP_ERROR_BYTES_MAX - a->body.length;
        if (f->enough)
            return KM_ELIMIT;
    } else if (length > limit - a->body.length) {
        return km_fail(err, KM_ELIMIT, "%s: the answer has more than %zu bytes", f->url.show,
                       limit);
    }
    km_str_add_bytes(&a->body, data, length);
    return km_str_check(&a->body, err);
}

size_t km_http_on_body(char *data, size_t size, size_t count, void *user)
{
    flight *f = user;
    size_t length = size * count;
    int rc = 0;

    if (f->body_begins) {
        rc = begin_body(f, &f->err);
        f->body_begins = false;
    }
    if (rc == 0)
        rc = f->to_file ? write_part(f, data, length, &f->err)
                        : keep_part(f, data, length, &f->err);
    return rc == 0 ? length : 0;
}

int km_http_check_file(flight *f, km_err *err)
{
    km_http_file *file = f->t->request.file;
    long status = f->t->answer.status;

    if (!file || (status != 200 && status != 206))
        return 0;
    if (f->body_begins && status == 200 && km_http_restart_file(f, err) < 0)
        return KM_EIO;
    if (file->size_bytes != KM_HTTP_SIZE_UNKNOWN && file->have_bytes != file->size_bytes)
        return km_fail(err, KM_EFORMAT, "%s: %" PRIu64 " bytes came; it should have %" PRIu64,
                       f->url.show, file->have_bytes, file->size_bytes);
    return 0;
}

/* --- what a server says --- */

static const char *json_reason(const json_t *o)
{
    const json_t *e = json_object_get(o, "error"), *list = json_object_get(o, "errors");
    const char *text = json_string_value(e);

    if (!text && json_is_array(e))
        text = json_string_value(json_array_get(e, 0));
    if (!text)
        text = json_string_value(json_object_get(json_array_get(list, 0), "message"));
    return text ? text : json_string_value(json_object_get(o, "message"));
}

static void add_reason(const km_http_answer *a, km_str *out)
{
    const char *said = km_http_header_of(a, "x-error-message"), *id;
    json_t *doc = NULL;

    if (!said && a->body.length && km_json_parse(a->body.data, a->body.length, "", &doc, NULL) == 0)
        said = json_reason(doc);
    if (said && *said)
        km_str_printf(out, ": %.400s", said);
    json_decref(doc);
    if (km_http_status_is_passing(a->status) && km_http_asked_ms(a, (long long)time(NULL)) > 0)
        km_str_printf(out, "; it asks to wait %lld s",
                      km_http_asked_ms(a, (long long)time(NULL)) / 1000);
    id = km_http_header_of(a, "x-request-id");
    if (id && *id)
        km_str_printf(out, " (request %.64s)", id);
}

static const char *advice(const km_http_answer *a)
{
    const char *code = km_http_header_of(a, "x-error-code");

    if (code && strcmp(code, "GatedRepo") == 0)
        return "access must be granted on the hub's page of the repository";
    if (code && strcmp(code, "RevisionNotFound") == 0)
        return "check the name of the revision or the version";
    if (code && strcmp(code, "RepoNotFound") == 0)
        return "check its name; a private one needs a token: set HF_TOKEN, or run 'hf auth login'";
    if (a->status == 401)
        return "set HF_TOKEN to a valid token, or run 'hf auth login'";
    if (a->status == 403)
        return "the token may not do this; check its rights on the hub";
    if (a->status == 429)
        return "wait, or set HF_TOKEN: whoever is logged in has a larger share";
    if (a->status >= 500)
        return "the server has trouble; try again later";
    return NULL;
}

int km_http_expect(const km_http_answer *a, long expected, km_err *err)
{
    km_str said = KM_STR_INIT;
    const char *hint = advice(a);
    int code = KM_EIO;

    if (a->status == expected)
        return 0;
    if (a->status == 404 || a->status == 410)
        code = KM_ENOENT;
    else if (a->status == 401 || a->status == 403)
        code = KM_EENV;
    add_reason(a, &said);
    km_fail(err, code, "%s answered %ld%s", a->url, a->status, said.data);
    if (hint)
        km_hint(err, "%s", hint);
    km_str_release(&said);
    return code;
}
