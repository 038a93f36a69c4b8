/* The run: transfers start, are repeated, redirected, and end. One thread, one multi handle. */
#include "net/http.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net/http_internal.h"

#define POLL_MS   100
#define REPORT_MS 100

long long km_http_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- one try --- */

static size_t send_body(char *out, size_t size, size_t count, void *user)
{
    flight *f = user;
    const km_http_request *r = &f->t->request;
    uint64_t left = r->body_bytes - f->body_sent;
    size_t n = size * count < left ? size * count : (size_t)left;
    ssize_t got = (ssize_t)n;

    if (r->body)
        memcpy(out, (const char *)r->body + f->body_sent, n);
    else if (n)
        got = pread(r->body_fd, out, n, (off_t)(r->body_at + f->body_sent));
    if (got < 0 || (n && !got)) {
        km_fail(&f->err, KM_EIO, "a file became shorter, or unreadable, while it was sent");
        return CURL_READFUNC_ABORT;
    }
    f->body_sent += (uint64_t)got;
    return (size_t)got;
}

/* libcurl sends again what a reused connection had lost. */
static int rewind_body(void *user, curl_off_t offset, int origin)
{
    flight *f = user;

    if (origin != SEEK_SET || offset < 0)
        return CURL_SEEKFUNC_CANTSEEK;
    f->body_sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int add_header(flight *f, const char *line, km_err *err)
{
    struct curl_slist *more = curl_slist_append(f->headers, line);

    if (!more)
        return km_fail_nomem(err);
    f->headers = more;
    return 0;
}

static int add_token(flight *f, km_err *err)
{
    const km_http *h = f->h;
    km_str line = KM_STR_INIT;
    int rc;

    if (!h->options.token || f->t->request.anonymous || f->strayed ||
        !km_url_same_origin(&f->url, &h->hub))
        return 0;
    km_str_printf(&line, "Authorization: Bearer %s", h->options.token);
    rc = km_str_check(&line, err);
    if (rc == 0)
        rc = add_header(f, line.data, err);
    if (line.length)
        explicit_bzero(line.data, line.length);
    km_str_release(&line);
    return rc;
}

static int add_range(flight *f, km_err *err)
{
    const km_http_file *file = f->t->request.file;
    char line[128];
    int rc;

    if (!file)
        return 0;
    rc = add_header(f, "Accept-Encoding: identity", err);
    if (rc == 0 && file->have_bytes) {
        snprintf(line, sizeof line, "Range: bytes=%" PRIu64 "-", file->have_bytes);
        rc = add_header(f, line, err);
    }
    if (rc == 0 && file->have_bytes && f->validator && strlen(f->validator) < 100) {
        snprintf(line, sizeof line, "If-Range: %s", f->validator);
        rc = add_header(f, line, err);
    }
    return rc;
}

static int make_headers(flight *f, km_err *err)
{
    const char *const *own = f->t->request.headers;
    int rc = 0;

    curl_slist_free_all(f->headers);
    f->headers = NULL;
    /* they may be the hub's business: a stranger gets none of them */
    for (size_t i = 0; !f->strayed && own && own[i] && rc == 0; i++)
        rc = add_header(f, own[i], err);
    if (rc == 0) /* a server that does not answer it costs a second */
        rc = add_header(f, "Expect:", err);
    if (rc == 0)
        rc = add_range(f, err);
    if (rc == 0)
        rc = add_token(f, err);
    return rc;
}

static void set_method(flight *f)
{
    static const char *const names[] = { "GET", "HEAD", "POST", "PUT", "DELETE" };
    const km_http_request *r = &f->t->request;

    if (r->method == KM_HTTP_HEAD) {
        curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (r->method == KM_HTTP_GET) {
        if (r->file) /* libcurl's own 16 KiB are a recv and a poll each */
            curl_easy_setopt(f->easy, CURLOPT_BUFFERSIZE, (long)KM_HTTP_RECEIVE_BYTES);
        return;
    }
    if (r->body_bytes || r->method != KM_HTTP_DELETE) {
        curl_easy_setopt(f->easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(f->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_bytes);
        curl_easy_setopt(f->easy, CURLOPT_READFUNCTION, send_body);
        curl_easy_setopt(f->easy, CURLOPT_READDATA, f);
        curl_easy_setopt(f->easy, CURLOPT_SEEKFUNCTION, rewind_body);
        curl_easy_setopt(f->easy, CURLOPT_SEEKDATA, f);
    }
    curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, names[r->method]);
}

/* On a connection that was used before libcurl takes a silent end for an idle one's, and sends
 * again. */
static void set_once(flight *f)
{
    if (f->t->request.once)
        curl_easy_setopt(f->easy, CURLOPT_FRESH_CONNECT, 1L);
}

static void set_limits(flight *f)
{
    const km_http_options *o = &f->h->options;
    const km_http_request *r = &f->t->request;
    long stall_s = r->stall_s ? r->stall_s : o->stall_s;

    curl_easy_setopt(f->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_ms);
    curl_easy_setopt(f->easy, CURLOPT_LOW_SPEED_LIMIT, (long)KM_HTTP_STALL_BYTES_S);
    curl_easy_setopt(f->easy, CURLOPT_LOW_SPEED_TIME, stall_s);
    if (!r->file && !r->body_bytes)
        curl_easy_setopt(f->easy, CURLOPT_TIMEOUT,
                         stall_s > KM_HTTP_ANSWER_S ? stall_s : (long)KM_HTTP_ANSWER_S);
}

static void set_session(flight *f)
{
    const km_http *h = f->h;

    curl_easy_setopt(f->easy, CURLOPT_URL, f->url.text);
    curl_easy_setopt(f->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(f->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(f->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(f->easy, CURLOPT_ERRORBUFFER, f->problem);
    curl_easy_setopt(f->easy, CURLOPT_PRIVATE, f);
    curl_easy_setopt(f->easy, CURLOPT_USERAGENT, h->options.user_agent);
    curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
    curl_easy_setopt(f->easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* none to a proxy */
    curl_easy_setopt(f->easy, CURLOPT_HEADERFUNCTION, km_http_on_header);
    curl_easy_setopt(f->easy, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, km_http_on_body);
    curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f);
    if (!f->t->request.file && f->t->request.method != KM_HTTP_HEAD)
        curl_easy_setopt(f->easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    if (km_url_is_loopback(&f->url)) /* whose token may go in plain text, but not to a proxy */
        curl_easy_setopt(f->easy, CURLOPT_PROXY, "");
    if (h->ca_file)
        curl_easy_setopt(f->easy, CURLOPT_CAINFO, h->ca_file);
    if (h->ca_dir) {
        curl_easy_setopt(f->easy, CURLOPT_CAINFO, NULL);
        curl_easy_setopt(f->easy, CURLOPT_CAPATH, h->ca_dir);
    }
}

static int start_try(flight *f, km_err *err)
{
    km_http_file *file = f->t->request.file;
    int rc = make_headers(f, err);

    if (rc < 0)
        return rc;
    curl_easy_reset(f->easy);
    km_http_answer_restart(&f->t->answer);
    f->err = (km_err)KM_ERR_INIT;
    f->problem[0] = '\0';
    f->body_begins = true;
    f->to_file = f->waiting = f->enough = false;
    f->body_sent = 0;
    f->tries++;
    f->tries_total++;
    f->tried_from = file ? file->have_bytes : 0;
    set_session(f);
    set_limits(f);
    set_method(f);
    set_once(f);
    if (curl_multi_add_handle(f->h->multi, f->easy) != CURLM_OK)
        return km_fail(err, KM_EBUG, "libcurl refuses a transfer");
    return 0;
}

/* --- redirects --- */

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* 1: no redirect; 0: the next try goes elsewhere; negative: refused. */
static int redirect(flight *f, km_err *err)
{
    km_http_answer *a = &f->t->answer;
    const km_http_request *r = &f->t->request;
    const char *location = km_http_header_of(a, "location");
    bool reads = r->method == KM_HTTP_GET || r->method == KM_HTTP_HEAD, same;
    km_url to;

    if (!is_redirect(a->status) || !location)
        return 1;
    if (km_url_join(&f->arena, &f->url, location, &to, err) < 0)
        return km_fail(err, KM_EFORMAT,
                       "%s redirects to an address that is none, or not of the web", f->url.show);
    if (strcmp(f->url.scheme, "https") == 0 && strcmp(to.scheme, "https") != 0)
        return km_fail(err, KM_EIO, "%s redirects from https to plain http (%s); refused",
                       f->url.show, to.show);
    same = km_url_same_origin(&f->url, &to);
    if (r->stay && !same) {
        a->location = km_arena_strdup(&a->arena, to.text);
        return a->location ? 1 : km_fail_nomem(err);
    }
    if (!reads && (!same || a->status < 307))
        return km_fail(err, KM_EIO, "%s redirects what was sent to it to %s; refused", f->url.show,
                       to.show);
    if (++f->redirects > KM_HTTP_REDIRECTS_MAX)
        return km_fail(err, KM_EIO, "%s redirects more than %d times", f->url.show,
                       KM_HTTP_REDIRECTS_MAX);
    f->strayed |= !same;
    f->url = to;
    f->tries--; /* a step, no new try */
    return 0;
}

/* --- a transfer's end --- */

/* A server may repeat what it was sent, and what it says is shown. */
static void hide_token(const km_http *h, char *text, size_t size)
{
    const char *token = h->options.token;
    size_t n = token ? strlen(token) : 0;
    char *at;

    while (n && (at = memmem(text, size, token, n)))
        memset(at, '*', n);
}

static void hide_token_in(const km_http *h, km_http_transfer *t)
{
    km_http_answer *a = &t->answer;

    hide_token(h, t->err.message, strlen(t->err.message));
    for (size_t i = 0; i < a->header_count; i++)
        hide_token(h, (char *)a->headers[i].value, strlen(a->headers[i].value));
    hide_token(h, a->body.data, a->body.length);
}

/* 0: there is another try; 1: it has ended well; negative: badly. */
static int end_try(flight *f, CURLcode code, km_err *err)
{
    km_http_answer *a = &f->t->answer;
    int rc;

    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &a->status);
    rc = km_http_plan_retry(f, f->enough ? CURLE_OK : code, err);
    if (rc <= 0)
        return rc;
    rc = redirect(f, err);
    if (rc == 0) {
        rc = start_try(f, err);
        return rc;
    }
    if (rc > 0 && km_http_read_links(f, err) < 0)
        rc = KM_EFORMAT;
    if (rc > 0 && km_http_check_file(f, err) < 0)
        rc = KM_EFORMAT;
    return rc;
}

static void flight_free(flight *f)
{
    if (f->easy)
        curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    km_arena_release(&f->arena);
    free(f);
}

static int start_flight(km_http *h, km_http_transfer *t, flight **out, km_err *err)
{
    flight *f = calloc(1, sizeof *f);
    km_http_file *file = t->request.file;
    int rc;

    if (!f)
        return km_fail_nomem(err);
    f->h = h;
    f->t = t;
    t->err = (km_err)KM_ERR_INIT;
    f->easy = curl_easy_init();
    rc = f->easy ? km_url_parse(&f->arena, t->request.url, &f->url, err) : km_fail_nomem(err);
    if (rc == 0) {
        if (file) {
            f->counted_bytes = file->have_bytes;
            h->done_bytes += file->have_bytes;
            h->total_bytes += file->size_bytes == KM_HTTP_SIZE_UNKNOWN ? 0 : file->size_bytes;
        }
        rc = start_try(f, err);
    }
    if (rc < 0) {
        flight_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

/* --- the run --- */

struct run {
    km_http *h;
    const km_http_batch *batch;
    flight *flights[KM_HTTP_PARALLEL];
    bool drained; /* `next` has no more */
};

static int finish(struct run *r, size_t i, int rc, km_err *err)
{
    flight *f = r->flights[i];
    km_http_transfer *t = f->t;

    r->flights[i] = NULL;
    if (rc < 0 && !t->err.code)
        t->err.code = rc;
    hide_token_in(r->h, t);
    flight_free(f);
    return r->batch->done(r->batch->context, t, err);
}

/* Fills the free places. Returns how many fly, or a negative code. */
static int launch(struct run *r, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int flying = 0;

    for (size_t i = 0; i < KM_HTTP_PARALLEL; i++) {
        while (!r->flights[i] && !r->drained) {
            km_http_transfer *t = r->batch->next(r->batch->context, &why);
            r->drained = !t;
            if (why.code) {
                if (err)
                    *err = why;
                return why.code;
            }
            if (t && start_flight(r->h, t, &r->flights[i], &t->err) < 0) {
                int rc;
                hide_token_in(r->h, t);
                rc = r->batch->done(r->batch->context, t, err);
                if (rc < 0)
                    return rc;
            }
        }
        flying += r->flights[i] != NULL;
    }
    return flying;
}

/* Takes up those whose pause is over. Returns for how long nothing is to be done. */
static int wake(struct run *r, int *idle_ms, km_err *err)
{
    long long now = km_http_now_ms();

    *idle_ms = POLL_MS;
    for (size_t i = 0; i < KM_HTTP_PARALLEL; i++) {
        flight *f = r->flights[i];
        int rc;
        if (!f || !f->waiting)
            continue;
        if (f->wake_ms > now) {
            *idle_ms = f->wake_ms - now < *idle_ms ? (int)(f->wake_ms - now) : *idle_ms;
            continue;
        }
        rc = start_try(f, &f->t->err);
        if (rc < 0 && (rc = finish(r, i, rc, err)) < 0)
            return rc;
        *idle_ms = 0;
    }
    return 0;
}

/* Returns how many tries have ended, or a negative code. */
static int collect(struct run *r, km_err *err)
{
    CURLMsg *message;
    int left, rc = 0, count = 0;

    while (rc >= 0 && (message = curl_multi_info_read(r->h->multi, &left))) {
        flight *f = NULL;
        CURLcode code = message->data.result;
        size_t i = 0;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &f);
        curl_multi_remove_handle(r->h->multi, message->easy_handle);
        while (r->flights[i] != f)
            i++;
        rc = end_try(f, code, &f->t->err);
        if (rc != 0)
            rc = finish(r, i, rc, err);
        count++;
    }
    return rc < 0 ? rc : count;
}

static void report(km_http *h, bool last)
{
    long long now = km_http_now_ms();

    if (!h->options.progress || (!last && now - h->reported_ms < REPORT_MS))
        return;
    h->reported_ms = now;
    h->options.progress(h->options.progress_context, h->done_bytes, h->total_bytes);
}

static void abandon(struct run *r)
{
    for (size_t i = 0; i < KM_HTTP_PARALLEL; i++)
        if (r->flights[i]) {
            curl_multi_remove_handle(r->h->multi, r->flights[i]->easy);
            flight_free(r->flights[i]);
        }
}

int km_http_run(km_http *h, const km_http_batch *batch, km_err *err)
{
    struct run r = { .h = h, .batch = batch };
    int rc = 0, idle_ms, flying;

    if (h->options.offline) {
        km_fail(err, KM_EENV, "HF_HUB_OFFLINE is set, and this needs the network");
        return km_hint(err, "unset HF_HUB_OFFLINE, or use what was downloaded before");
    }
    h->done_bytes = h->total_bytes = 0;
    h->reported_ms = km_http_now_ms();
    while ((rc = launch(&r, err)) > 0) {
        rc = wake(&r, &idle_ms, err);
        if (rc < 0)
            break;
        if (curl_multi_perform(h->multi, &flying) != CURLM_OK) {
            rc = km_fail(err, KM_EBUG, "libcurl's transfers do not go on");
            break;
        }
        rc = collect(&r, err);
        if (rc < 0)
            break;
        report(h, false);
        if (rc == 0 && idle_ms)
            curl_multi_poll(h->multi, NULL, 0, idle_ms, NULL);
    }
    abandon(&r);
    report(h, true);
    return rc < 0 ? rc : 0;
}

/* --- one request --- */

struct single {
    km_http_transfer transfer;
    bool given;
};

static km_http_transfer *next_single(void *context, km_err *err)
{
    struct single *s = context;

    (void)err;
    if (s->given)
        return NULL;
    s->given = true;
    return &s->transfer;
}

static int done_single(void *context, km_http_transfer *t, km_err *err)
{
    (void)context;
    if (t->err.code && err)
        *err = t->err;
    return t->err.code;
}

int km_http_send(km_http *h, const km_http_request *request, km_http_answer *answer, km_err *err)
{
    struct single s = { .transfer = { .request = *request, .answer = *answer } };
    km_http_batch batch = { &s, next_single, done_single };
    int rc = km_http_run(h, &batch, err);

    *answer = s.transfer.answer;
    return rc;
}
