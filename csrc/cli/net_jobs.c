/* How `lab run --executor hf-jobs` asks the Hub: one request, with the endpoint, the token and the
 * care of net/http.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/net.h"
#include "net/endpoint.h"

/* A log without a word for so long has said what it had; a result that is not whole by then is read
 * again. */
#define PAUSE_S 2

struct hub {
    km_arena arena;
    km_endpoint endpoint;
    km_http *http;
};

/* A log's stream stays open between two lines; what came until it paused is the answer. */
static int read_stream(struct hub *hub, km_http_request *request, km_http_answer *answer,
                       km_err *err)
{
    km_http_file file = { .fd = memfd_create("log", MFD_CLOEXEC),
                          .size_bytes = KM_HTTP_SIZE_UNKNOWN };
    char room[16384];
    ssize_t n = 0;
    int rc;

    if (file.fd < 0)
        return km_fail_errno(err, errno, "unable to keep a log");
    request->file = &file;
    request->stall_s = PAUSE_S;
    request->once = true;
    rc = km_http_send(hub->http, request, answer, err);
    request->file = NULL;
    if (rc == KM_ETIME && file.have_bytes) {
        rc = 0;
        answer->status = 200;
    }
    for (off_t at = 0; rc == 0 && (n = pread(file.fd, room, sizeof room, at)) > 0; at += n)
        km_str_add_bytes(&answer->body, room, (size_t)n);
    close(file.fd);
    return rc;
}

static int send(struct hub *hub, const char *method, const char *url, const char *body, bool stream,
                km_http_answer *answer, km_err *err)
{
    static const char *const headers[] = { "Content-Type: application/json", NULL };
    const bool post = strcmp(method, "POST") == 0;
    km_http_request request = { .method = post ? KM_HTTP_POST : KM_HTTP_GET,
                                .url = url,
                                .headers = body ? headers : NULL,
                                .body = body ? body : "",
                                .body_bytes = body ? strlen(body) : 0,
                                .once = post };

    if (stream)
        return read_stream(hub, &request, answer, err);
    return km_http_send(hub->http, &request, answer, err);
}

static int call(void *context, const char *method, const char *path, const char *body, bool stream,
                long *status, km_str *out, km_str *next, km_err *err)
{
    struct hub *hub = context;
    km_http_answer answer = KM_HTTP_ANSWER_INIT;
    km_str url = KM_STR_INIT;
    km_err why = KM_ERR_INIT;
    int rc;

    if (*path == '/')
        km_str_add(&url, hub->endpoint.url);
    km_str_add(&url, path);
    rc = km_str_check(&url, err);
    if (rc == 0)
        rc = send(hub, method, url.data, body, stream, &answer, err);
    *status = answer.status;
    km_str_clear(out);
    if (next)
        km_str_clear(next);
    if (rc == 0 && (answer.status < 200 || answer.status > 299)) {
        km_http_expect(&answer, 200, &why);
        km_str_add(out, why.message);
    } else if (rc == 0) {
        km_str_add_bytes(out, answer.body.data, answer.body.length);
        if (next && answer.next)
            km_str_add(next, answer.next);
    }
    if (rc == 0)
        rc = km_str_check(out, err);
    km_http_answer_release(&answer);
    km_str_release(&url);
    return rc;
}

static void release(void *context)
{
    struct hub *hub = context;

    km_http_free(hub->http);
    km_arena_release(&hub->arena);
    free(hub);
}

int km_jobs_connect(km_jobs_api *out, km_err *err)
{
    struct hub *hub = calloc(1, sizeof *hub);
    int rc = hub ? km_endpoint_find(&hub->arena, &hub->endpoint, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_endpoint_connect(&hub->endpoint, "kernmill/" KM_VERSION, NULL, NULL, &hub->http,
                                 err);
    if (rc == 0 && !hub->endpoint.token) {
        rc = km_fail(err, KM_EENV, "there is no token, and Hugging Face Jobs need one");
        km_hint(err, "hf auth login; or set HF_TOKEN");
    }
    if (rc < 0 && hub)
        release(hub);
    *out = (km_jobs_api){ hub, call, release };
    return rc;
}
