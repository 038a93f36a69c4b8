#include "hub/papers.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "core/str.h"
#include "formats/json.h"
#include "net/url.h"

#define ANSWER_BYTES_MAX (8u << 20)
#define PREFIX           "arXiv:"

const char *km_paper_id(km_arena *a, const char *text)
{
    size_t digits = 0, n = 5;

    if (strncasecmp(text, PREFIX, strlen(PREFIX)) == 0)
        text += strlen(PREFIX);
    if (strspn(text, "0123456789") != 4 || text[4] != '.')
        return NULL;
    digits = strspn(text + n, "0123456789");
    if (digits < 4 || digits > 5)
        return NULL;
    n += digits;
    if (text[n] == 'v' && text[n + 1] && !text[n + 1 + strspn(text + n + 1, "0123456789")])
        return km_arena_strndup(a, text, n);
    return text[n] ? NULL : km_arena_strndup(a, text, n);
}

/* An item of a list may have the paper in its "paper", and some of its texts beside that. */
static const char *member(const json_t *item, const char *key)
{
    const char *text = km_json_text_of(item, key);

    return *text ? text : km_json_text_of(json_object_get(item, "paper"), key);
}

/* One line, with single blanks: abstracts come with the line ends of their source. */
static const char *line_of(km_arena *a, const json_t *item, const char *key)
{
    char *text = km_arena_strdup(a, member(item, key)), *out = text;

    if (!text)
        return NULL;
    km_text_clean(text);
    for (const char *c = text; *c; c++) {
        bool blank = isspace((unsigned char)*c);
        if (!blank)
            *out++ = *c;
        else if (out > text && out[-1] != ' ')
            *out++ = ' ';
    }
    while (out > text && out[-1] == ' ')
        out--;
    *out = '\0';
    return text;
}

/* What has no id of arXiv's, or no title, is no paper. */
static int take(km_arena *a, const json_t *item, km_papers *out, km_err *err)
{
    km_paper *p = &out->papers[out->count];

    *p = (km_paper){ .id = km_paper_id(a, member(item, "id")),
                     .title = line_of(a, item, "title"),
                     .summary = line_of(a, item, "summary"),
                     .short_summary = line_of(a, item, "ai_summary") };
    if (!p->title || !p->summary || !p->short_summary)
        return km_fail_nomem(err);
    if (p->id && *p->title)
        out->count++;
    return 0;
}

static int get(km_http *http, const km_str *url, json_t **doc, km_err *err)
{
    km_http_request request = { .url = url->data,
                                .answer_bytes_max = ANSWER_BYTES_MAX,
                                .anonymous = true };
    km_http_answer answer = KM_HTTP_ANSWER_INIT;
    int rc = km_str_check(url, err);

    *doc = NULL;
    if (rc == 0)
        rc = km_http_send(http, &request, &answer, err);
    if (rc == 0)
        rc = km_http_expect(&answer, 200, err);
    if (rc == 0)
        rc = km_json_parse(answer.body.data, answer.body.length, answer.url, doc, err);
    km_http_answer_release(&answer);
    return rc;
}

int km_papers_search(km_arena *a, const km_endpoint *e, km_http *http, const char *query,
                     long limit, km_papers *out, km_err *err)
{
    km_str url = KM_STR_INIT;
    json_t *doc, *item;
    size_t i;
    int rc;

    out->count = 0;
    km_str_printf(&url, "%s/api/papers/search?q=", e->url);
    km_url_escape(&url, query, false);
    km_str_printf(&url, "&limit=%ld", limit);
    rc = get(http, &url, &doc, err);
    if (rc == 0 && !json_is_array(doc))
        rc = km_fail(err, KM_EFORMAT, "%s/api/papers/search: the answer is no list", e->url);
    json_array_foreach(doc, i, item)
    {
        if (rc < 0 || out->count == (size_t)limit)
            break;
        rc = take(a, item, out, err);
    }
    json_decref(doc);
    km_str_release(&url);
    return rc;
}

int km_papers_add(km_arena *a, const km_endpoint *e, km_http *http, const char *id, km_papers *out,
                  km_err *err)
{
    km_str url = KM_STR_INIT;
    size_t before = out->count;
    json_t *doc = NULL;
    int rc;

    if (before == KM_PAPERS_MAX)
        return km_fail(err, KM_ELIMIT, "more than %d papers", KM_PAPERS_MAX);
    km_str_printf(&url, "%s/api/papers/", e->url);
    km_url_escape(&url, id, false);
    rc = get(http, &url, &doc, err);
    if (rc == 0)
        rc = take(a, doc, out, err);
    if (rc == 0 && (out->count == before || strcmp(out->papers[before].id, id) != 0))
        rc = km_fail(err, KM_EFORMAT, "%s: the answer is not that paper", url.data);
    json_decref(doc);
    km_str_release(&url);
    return rc;
}
