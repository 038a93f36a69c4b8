#include "net/url.h"

#include <ctype.h>
#include <curl/curl.h>
#include <string.h>

/* libcurl before 7.81 knows no better way than this to say what was wrong. */
static int bad_url(CURLUcode code, km_err *err)
{
    if (code == CURLUE_OUT_OF_MEMORY)
        return km_fail_nomem(err);
    if (code == CURLUE_UNSUPPORTED_SCHEME)
        return km_fail(err, KM_EFORMAT, "an address is neither http nor https");
    if (code == CURLUE_USER_NOT_ALLOWED)
        return km_fail(err, KM_EFORMAT, "an address holds a user or a password");
    return km_fail(err, KM_EFORMAT, "an address is malformed");
}

static CURLUcode get(km_arena *a, CURLU *u, CURLUPart part, unsigned flags, const char **out)
{
    char *value = NULL;
    CURLUcode code = curl_url_get(u, part, &value, flags);

    if (code == CURLUE_OK) {
        *out = km_arena_strdup(a, value);
        if (!*out)
            code = CURLUE_OUT_OF_MEMORY;
    }
    curl_free(value);
    return code;
}

static CURLUcode take_apart(km_arena *a, CURLU *u, km_url *out)
{
    CURLUcode code;

    curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    code = get(a, u, CURLUPART_URL, 0, &out->text);
    if (code == CURLUE_OK)
        code = get(a, u, CURLUPART_SCHEME, 0, &out->scheme);
    if (code == CURLUE_OK)
        code = get(a, u, CURLUPART_HOST, 0, &out->host);
    if (code == CURLUE_OK)
        code = get(a, u, CURLUPART_PORT, CURLU_DEFAULT_PORT, &out->port);
    if (code == CURLUE_OK && strcmp(out->scheme, "http") != 0 && strcmp(out->scheme, "https") != 0)
        code = CURLUE_UNSUPPORTED_SCHEME;
    if (code == CURLUE_OK) {
        curl_url_set(u, CURLUPART_QUERY, NULL, 0);
        code = get(a, u, CURLUPART_URL, 0, &out->show);
    }
    for (char *c = code == CURLUE_OK ? (char *)out->host : NULL; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return code;
}

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= 0x20 || *text == 0x7f)
            return true;
    return false;
}

static int parse(km_arena *a, const char *base, const char *text, km_url *out, km_err *err)
{
    CURLU *u = curl_url();
    CURLUcode code = u ? CURLUE_OK : CURLUE_OUT_OF_MEMORY;

    *out = (km_url){ 0 };
    if (has_control(text) || strlen(text) > KM_URL_BYTES_MAX)
        code = CURLUE_MALFORMED_INPUT;
    if (code == CURLUE_OK && base)
        code = curl_url_set(u, CURLUPART_URL, base, CURLU_DISALLOW_USER | CURLU_PATH_AS_IS);
    if (code == CURLUE_OK)
        code = curl_url_set(u, CURLUPART_URL, text, CURLU_DISALLOW_USER | CURLU_PATH_AS_IS);
    if (code == CURLUE_OK)
        code = take_apart(a, u, out);
    curl_url_cleanup(u);
    return code == CURLUE_OK ? 0 : bad_url(code, err);
}

int km_url_parse(km_arena *a, const char *text, km_url *out, km_err *err)
{
    return parse(a, NULL, text, out, err);
}

int km_url_join(km_arena *a, const km_url *base, const char *location, km_url *out, km_err *err)
{
    return parse(a, base->text, location, out, err);
}

bool km_url_same_origin(const km_url *a, const km_url *b)
{
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0 &&
           strcmp(a->port, b->port) == 0;
}

bool km_url_is_loopback(const km_url *u)
{
    return strcmp(u->host, "localhost") == 0 || strcmp(u->host, "[::1]") == 0 ||
           (km_starts_with(u->host, "127.") && u->host[strspn(u->host, "0123456789.")] == '\0');
}

void km_url_escape(km_str *out, const char *text, bool keep_slash)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x80 && (isalnum(c) || strchr("-._~", c) || (keep_slash && c == '/')))
            km_str_add_char(out, (char)c);
        else
            km_str_printf(out, "%%%02X", c);
    }
}
