/* The session: what the environment says, and what every request has in common. */
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "net/http_internal.h"

const char *km_http_libraries(void)
{
    return curl_version();
}

static const char *keep(km_arena *a, const char *text)
{
    return text ? km_arena_strdup(a, text) : NULL;
}

/* The first of these variables that is set names a file or a folder. */
static int find_authorities(km_http *h, km_err *err)
{
    static const char *const names[] = { "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE",
                                         "SSL_CERT_DIR" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *path = getenv(names[i]);
        if (!path || !*path)
            continue;
        if (km_dir_exists(path))
            h->ca_dir = keep(&h->arena, path);
        else if (km_file_exists(path))
            h->ca_file = keep(&h->arena, path);
        else
            return km_fail(err, KM_EENV, "%s names '%s', which is not there", names[i], path);
        return h->ca_dir || h->ca_file ? 0 : km_fail_nomem(err);
    }
    return 0;
}

static bool has_line_end(const char *text)
{
    return text && text[strcspn(text, "\r\n")] != '\0';
}

/* A token in plain text on a network is everybody's. */
static int check_token(const km_http *h, km_err *err)
{
    const char *token = h->options.token;

    if (!token)
        return 0;
    if (has_line_end(token) || strlen(token) > KM_TOKEN_BYTES_MAX)
        return km_fail(err, KM_EUSAGE, "the token is malformed");
    if (strcmp(h->hub.scheme, "https") == 0 || km_url_is_loopback(&h->hub))
        return 0;
    km_fail(err, KM_EUSAGE, "the token would cross the network in plain text: HF_ENDPOINT is %s",
            h->hub.show);
    return km_hint(err, "use https, or set HF_HUB_DISABLE_IMPLICIT_TOKEN=1 to go without it");
}

static int begin(km_http *h, const km_http_options *o, km_err *err)
{
    km_http_options *own = &h->options;
    int rc;

    *own = *o;
    own->token = keep(&h->arena, o->token && *o->token ? o->token : NULL);
    own->user_agent = keep(&h->arena, o->user_agent ? o->user_agent : "kernmill");
    own->hub = NULL;
    own->connect_ms = o->connect_ms ? o->connect_ms : KM_HTTP_CONNECT_MS;
    own->stall_s = o->stall_s ? o->stall_s : KM_HTTP_STALL_S;
    own->backoff_ms = o->backoff_ms ? o->backoff_ms : KM_HTTP_BACKOFF_MS;
    own->wait_ms = o->wait_ms ? o->wait_ms : KM_HTTP_WAIT_MS_MAX;
    if (!own->user_agent || (o->token && *o->token && !own->token))
        return km_fail_nomem(err);
    rc = km_url_parse(&h->arena, o->hub, &h->hub, err);
    if (rc < 0) {
        km_hint(err, "see HF_ENDPOINT; it looks like https://hub.example");
        return rc;
    }
    rc = check_token(h, err);
    if (rc == 0)
        rc = find_authorities(h, err);
    if (rc == 0 && !(h->multi = curl_multi_init()))
        rc = km_fail_nomem(err);
    if (rc == 0)
        curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 2L * KM_HTTP_PARALLEL);
    return rc;
}

int km_http_new(km_http **out, const km_http_options *options, km_err *err)
{
    km_http *h = calloc(1, sizeof *h);
    int rc = h ? 0 : km_fail_nomem(err);

    if (rc == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        rc = km_fail(err, KM_EENV, "libcurl does not start");
    if (rc == 0)
        rc = begin(h, options, err);
    if (rc < 0) {
        km_http_free(h);
        h = NULL;
    }
    *out = h;
    return rc;
}

void km_http_free(km_http *h)
{
    if (!h)
        return;
    curl_multi_cleanup(h->multi);
    km_arena_release(&h->arena);
    free(h);
}
