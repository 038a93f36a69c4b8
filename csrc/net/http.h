/* net/http.h: requests over libcurl that end: every wait, size, redirect and repeat is bounded.
 *
 * A session keeps connections, so that a run of requests to one host pays for one handshake. All
 * requests go through km_http_run, which holds up to KM_HTTP_PARALLEL of them at once;
 * km_http_send is the same for one.
 *
 * The token goes to the hub's own origin (scheme, host and port of `hub`) and nowhere else; once a
 * request has been redirected away, it is not sent any more, not even back at the hub. Redirects
 * are ours, never libcurl's: http or https only, never from https to http, and what is not GET or
 * HEAD stays in its origin. A proxy sees the token only where it carries plain http. No message
 * holds the token, a query (which may be a signature), or a password: addresses with one are
 * refused.
 *
 * What is tried again: no connection, a cut or stalled one, and 408, 429, 500, 502, 503, 504; after
 * pauses that double, or as long as Retry-After or RateLimit say, KM_HTTP_WAIT_MS_MAX together. A
 * download into a file goes on where it was cut. Any other answer is a success here: look at
 * `status`, or call km_http_expect.
 *
 * From the environment: http_proxy, https_proxy, all_proxy, no_proxy (libcurl's rules; this machine
 * is asked without one);
 * REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE, SSL_CERT_DIR, the first that is set.
 */
#ifndef KERNMILL_NET_HTTP_H
#define KERNMILL_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"
#include "core/str.h"

typedef struct km_http km_http;

/* Bytes that have come (or gone) of those that are known to. */
typedef void km_http_progress(void *context, uint64_t done_bytes, uint64_t total_bytes);

typedef struct {
    const char *hub;        /* whose origin gets the token: "https://hub.example" */
    const char *token;      /* or NULL */
    const char *user_agent; /* "kernmill/0.1.0; ..." */
    bool offline;           /* every request is refused before it is made */
    int connect_ms;         /* these four: 0 means the limit of core/limits.h */
    int stall_s;
    int backoff_ms;
    int wait_ms;
    km_http_progress *progress; /* may be NULL; some ten times a second */
    void *progress_context;
} km_http_options;

/* Copies what it needs of `options`. Errors: KM_EFORMAT for a malformed `hub`, KM_EUSAGE when the
 * token would cross a network in plain text: `hub` is http and not this machine. */
int km_http_new(km_http **out, const km_http_options *options, km_err *err);
void km_http_free(km_http *h);

typedef enum {
    KM_HTTP_GET,
    KM_HTTP_HEAD,
    KM_HTTP_POST,
    KM_HTTP_PUT,
    KM_HTTP_DELETE
} km_http_method;

#define KM_HTTP_SIZE_UNKNOWN UINT64_MAX

/* Where a download goes, and what is known of it. */
typedef struct {
    int fd;              /* open for reading and writing; the caller's */
    uint64_t have_bytes; /* at its start, from an earlier try: asked for is what follows. Out: what
                            there is now, also after a failure */
    uint64_t size_bytes; /* of the whole, or KM_HTTP_SIZE_UNKNOWN; another size is KM_EFORMAT */
} km_http_file;

typedef struct {
    km_http_method method;
    const char *url;
    const char *const *headers; /* "Name: value", ends with NULL; may be NULL. No secrets: they
                                   follow a redirect within the origin */
    const void *body;           /* of POST, PUT, DELETE; its Content-Type is for `headers` to say */
    int body_fd;                /* instead of `body`, when body_bytes > 0 */
    uint64_t body_at;           /* of body_fd: where it begins */
    uint64_t body_bytes;
    km_http_file *file;      /* GET: a 200 or 206 goes there; NULL: into the answer */
    size_t answer_bytes_max; /* 0: KM_HTTP_ANSWER_BYTES_MAX */
    int stall_s;             /* 0: the session's; for a server that thinks before it answers */
    bool anonymous;          /* without the token, to the hub too */
    bool stay;               /* a redirect to another origin is the answer */
    bool once;               /* never tried again: not safe to repeat */
} km_http_request;

typedef struct {
    const char *name; /* lower-case */
    const char *value;
} km_http_header;

typedef struct {
    long status;
    km_http_header *headers; /* of the last answer, in their order; in the arena */
    size_t header_count;
    km_str body;
    const char *url;      /* that answered, without its query */
    const char *location; /* `stay`: where it would have gone on, absolute; else NULL */
    const char *next; /* of a Link header with rel="next", absolute, within the origin; or NULL */
    km_arena arena;
} km_http_answer;

#define KM_HTTP_ANSWER_INIT { 0, NULL, 0, KM_STR_INIT, "", NULL, NULL, KM_ARENA_INIT }

void km_http_answer_release(km_http_answer *a);

/* A header's value, or NULL. `name` is lower-case. */
const char *km_http_header_of(const km_http_answer *a, const char *name);

/* KM_ENOENT for 404 and 410, KM_EENV for 401 and 403, KM_EIO for the rest, unless the status is
 * `expected`; with what the server says (X-Error-Message, or JSON's "error"), the id of the request
 * and what to do. */
int km_http_expect(const km_http_answer *a, long expected, km_err *err);

/* `what` names the subject in messages: "the file list of 'acme/relu'".
 * Errors: KM_EENV offline, KM_EIO, KM_ETIME, KM_ELIMIT, KM_EFORMAT. */
int km_http_send(km_http *h, const km_http_request *request, km_http_answer *answer, km_err *err);

typedef struct {
    km_http_request request;
    km_http_answer answer;
    km_err err; /* err.code < 0: there is no answer */
    void *user;
} km_http_transfer;

/* Many at once. Both functions are called from within km_http_run, on its thread. */
typedef struct {
    void *context;
    /* The next one to start, or NULL when there is none; it stays in place until `done`. With
     * err->code set NULL ends the run. */
    km_http_transfer *(*next)(void *context, km_err *err);
    /* It has ended. The first negative result ends the run and the transfers in flight, for which
     * `done` is not called. */
    int (*done)(void *context, km_http_transfer *t, km_err *err);
} km_http_batch;

int km_http_run(km_http *h, const km_http_batch *batch, km_err *err);

/* "libcurl/7.88.1 OpenSSL/3.0.20 ..." */
const char *km_http_libraries(void);

#endif
