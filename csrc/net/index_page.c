#include "net/index_page.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"

/* The value of href in a tag, or NULL; entities stay. */
static char *href_of(km_arena *a, const char *tag, const char *end)
{
    for (const char *at = tag; at + 6 < end; at++) {
        char quote;
        const char *close;
        if (!isspace((unsigned char)at[0]) || strncasecmp(at + 1, "href=", 5) != 0)
            continue;
        quote = at[6];
        if (quote != '"' && quote != '\'')
            return NULL;
        close = memchr(at + 7, quote, (size_t)(end - at - 7));
        return close ? km_arena_strndup(a, at + 7, (size_t)(close - at - 7)) : NULL;
    }
    return NULL;
}

static void decode_entities(char *text)
{
    static const char *const names[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#43;" };
    static const char means[] = "&<>\"+";
    char *to = text;

    for (const char *at = text; *at; to++) {
        size_t i = 0;
        while (i < sizeof names / sizeof *names && !km_starts_with(at, names[i]))
            i++;
        if (i < sizeof names / sizeof *names) {
            *to = means[i];
            at += strlen(names[i]);
        } else {
            *to = *at++;
        }
    }
    *to = '\0';
}

static int digit(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10
                                        : -1;
}

/* %2B and the like. A zero byte ends the text, and then it names no wheel. */
static void decode_percent(char *text)
{
    char *to = text;

    for (const char *at = text; *at; to++)
        if (*at == '%' && digit(at[1]) >= 0 && digit(at[2]) >= 0) {
            *to = (char)(digit(at[1]) * 16 + digit(at[2]));
            at += 3;
        } else {
            *to = *at++;
        }
    *to = '\0';
}

static int add_link(km_arena *a, char *href, const char *page, km_index_page *out, km_err *err)
{
    km_index_link *link = &out->links[out->count];
    char *fragment, *name, *query;

    decode_entities(href);
    fragment = strchr(href, '#');
    if (fragment)
        *fragment++ = '\0';
    query = strchr(href, '?');
    name = query ? km_arena_strndup(a, href, (size_t)(query - href)) : km_arena_strdup(a, href);
    if (!name)
        return km_fail_nomem(err);
    name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    decode_percent(name);
    if (!km_ends_with(name, ".whl"))
        return 0;
    if (strchr(name, '/') || km_repo_path_check(name, NULL) < 0)
        return km_fail(err, KM_EFORMAT, "%s: a link names no file: '%.128s'", page, name);
    if (!fragment || !km_starts_with(fragment, "sha256=") || !km_is_sha256(fragment + 7)) {
        out->unsigned_count++;
        return 0;
    }
    if (out->count == KM_CANDIDATES_MAX)
        return km_fail(err, KM_ELIMIT, "%s: more than %d wheels", page, KM_CANDIDATES_MAX);
    link->name = name;
    link->href = href;
    memcpy(link->sha256, fragment + 7, KM_ETAG_HEX_BYTES);
    out->count++;
    return 0;
}

int km_index_page_read(km_arena *a, const char *html, size_t size, const char *name,
                       km_index_page *out, km_err *err)
{
    const char *end = html + size, *at = html, *close;
    int rc = 0;

    *out = (km_index_page){ .links = km_arena_array(a, KM_CANDIDATES_MAX, sizeof *out->links) };
    if (!out->links)
        return km_fail_nomem(err);
    while (rc == 0 && (at = memchr(at, '<', (size_t)(end - at))) != NULL) {
        char *href = NULL;
        close = memchr(at, '>', (size_t)(end - at));
        if (!close)
            break;
        if (close - at > 2 && (at[1] | 32) == 'a' && isspace((unsigned char)at[2]))
            href = href_of(a, at + 2, close);
        if (href)
            rc = add_link(a, href, name, out, err);
        at = close;
    }
    return rc;
}
