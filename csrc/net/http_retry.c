/* What is tried again, and when. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net/http_internal.h"

bool km_http_status_is_passing(long status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

static bool is_passing(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

int km_http_curl_error(const flight *f, CURLcode code, km_err *err)
{
    const char *why = *f->problem ? f->problem : curl_easy_strerror(code);
    int rc = code == CURLE_OPERATION_TIMEDOUT ? KM_ETIME : KM_EIO;

    if (f->err.code) {
        if (err)
            *err = f->err;
        return f->err.code;
    }
    if (code == CURLE_OUT_OF_MEMORY)
        return km_fail_nomem(err);
    km_fail(err, rc, "%s: %s%s", f->url.show, why,
            f->tries > 1 ? ", at the last of several tries" : "");
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        km_hint(err, "the certificate is not trusted; SSL_CERT_FILE names other authorities");
    else if (code == CURLE_COULDNT_RESOLVE_PROXY)
        km_hint(err, "see https_proxy and http_proxy in the environment");
    else if (is_passing(code))
        km_hint(err, "check the network, or set HF_HUB_OFFLINE=1 to use what is here already");
    return rc;
}

/* RateLimit: "api";r=0;t=17 */
static long long rate_limit_s(const char *text)
{
    const char *r = text ? strstr(text, ";r=") : NULL, *t = text ? strstr(text, ";t=") : NULL;

    if (!r || !t || strtoll(r + 3, NULL, 10) != 0)
        return -1;
    return strtoll(t + 3, NULL, 10);
}

long long km_http_asked_ms(const km_http_answer *a, long long now_s)
{
    long long s = rate_limit_s(km_http_header_of(a, "ratelimit"));
    const char *after = km_http_header_of(a, "retry-after");
    char *end;

    if (s < 0 && after) {
        s = strtoll(after, &end, 10);
        if (end == after || *end) {
            time_t date = curl_getdate(after, NULL);
            s = date < 0 ? -1 : date > now_s ? (long long)date - now_s : 0;
        }
    }
    if (s < 0)
        return -1;
    return s > 1000000 ? 1000000000LL : s * 1000;
}

/* Doubling, and a quarter more or less, so that many clients do not come back as one. */
static long long backoff_ms(const flight *f)
{
    long long base = f->h->options.backoff_ms, shift = f->tries > 8 ? 8 : f->tries - 1;
    long long ms = base << shift;

    if (ms > KM_HTTP_BACKOFF_MS_MAX)
        ms = KM_HTTP_BACKOFF_MS_MAX;
    return ms - ms / 4 + (km_http_now_ms() * 7919 + getpid() * 104729LL) % (ms / 2 + 1);
}

/* From its first address on: one that it was redirected to may have been good for minutes only. */
static int wait_for(flight *f, long long ms, km_err *err)
{
    f->waited_ms += ms;
    f->wake_ms = km_http_now_ms() + ms;
    f->waiting = true;
    f->strayed = false;
    f->redirects = 0;
    return km_url_parse(&f->arena, f->t->request.url, &f->url, err);
}

/* Whether a try is worth another one, by what came and what was spent. */
static bool may_repeat(flight *f, CURLcode code)
{
    const km_http_request *r = &f->t->request;
    bool passing = code == CURLE_OK ? km_http_status_is_passing(f->t->answer.status)
                                    : is_passing(code) && !f->err.code;

    if (r->file && r->file->have_bytes > f->tried_from)
        f->tries = 1; /* it came on */
    return passing && !r->once && f->tries < KM_HTTP_TRIES_MAX &&
           f->tries_total < KM_HTTP_TRIES_TOTAL_MAX;
}

int km_http_plan_retry(flight *f, CURLcode code, km_err *err)
{
    const km_http_answer *a = &f->t->answer;
    const km_http_file *file = f->t->request.file;
    long long asked;

    if (code == CURLE_OK && (a->status == 412 || a->status == 416) && file && file->have_bytes &&
        !f->started_over)
        f->start_over = true;
    if (f->start_over) {
        f->start_over = false;
        f->started_over = true;
        f->err = (km_err)KM_ERR_INIT;
        return km_http_restart_file(f, err) < 0 ? KM_EIO : wait_for(f, 0, err);
    }
    if (!may_repeat(f, code)) {
        if (code == CURLE_OK)
            return 1;
        return km_http_curl_error(f, code, err);
    }
    asked = code == CURLE_OK ? km_http_asked_ms(a, (long long)time(NULL)) : -1;
    if (asked < 0)
        asked = backoff_ms(f);
    if (asked > f->h->options.wait_ms - f->waited_ms)
        return code == CURLE_OK ? 1 : km_http_curl_error(f, code, err);
    return wait_for(f, asked, err);
}
