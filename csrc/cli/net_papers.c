#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/net.h"
#include "core/limits.h"
#include "hub/papers.h"
#include "lab/hypothesis.h"
#include "lab/lab.h"

#define LIMIT 10

/* --- what is asked for --- */

struct request {
    km_arena *a;
    const char *query; /* NULL: by ids */
    const char **ids;
    size_t id_count;
    long limit;
};

static char *join(km_arena *a, const char **words, size_t count)
{
    char *text = km_arena_strdup(a, words[0]);

    for (size_t i = 1; text && i < count; i++)
        text = km_arena_printf(a, "%s %s", text, words[i]);
    return text;
}

/* Ids when all words are ids; else they are the query. */
static int make_request(km_arena *a, const km_papers_fields *f, const char **args, size_t count,
                        struct request *out, km_err *err)
{
    *out = (struct request){ .a = a, .limit = f->limit ? f->limit : LIMIT };
    if (out->limit < 1 || out->limit > KM_PAPERS_MAX)
        return km_fail(err, KM_EUSAGE, "--limit takes a number from 1 to %d", KM_PAPERS_MAX);
    if (f->dir && !f->propose)
        return km_fail(err, KM_EUSAGE, "--dir goes with --propose");
    out->ids = km_arena_array(a, count, sizeof *out->ids);
    out->query = join(a, args, count);
    if (!out->ids || !out->query)
        return km_fail_nomem(err);
    while (out->id_count < count && (out->ids[out->id_count] = km_paper_id(a, args[out->id_count])))
        out->id_count++;
    if (out->id_count == count)
        out->query = NULL;
    return 0;
}

static int fetch(const struct request *q, km_papers *out, km_err *err)
{
    km_endpoint endpoint;
    km_http *http = NULL;
    int rc = km_endpoint_find(q->a, &endpoint, err);

    out->count = 0;
    if (rc == 0)
        rc = km_endpoint_connect(&endpoint, "kernmill/" KM_VERSION, NULL, NULL, &http, err);
    if (rc == 0 && q->query)
        rc = km_papers_search(q->a, &endpoint, http, q->query, q->limit, out, err);
    for (size_t i = 0; rc == 0 && !q->query && i < q->id_count; i++)
        rc = km_papers_add(q->a, &endpoint, http, q->ids[i], out, err);
    km_http_free(http);
    return rc;
}

/* --- what comes out --- */

/* A text that `lab propose` takes: never longer than its limit, cut between characters. */
static char *text_of(km_arena *a, const km_paper *p)
{
    char *text = *p->short_summary
                     ? km_arena_printf(a, "%s\n\nIn short: %s", p->summary, p->short_summary)
                     : km_arena_strdup(a, p->summary);
    size_t n = KM_LAB_TEXT_BYTES_MAX;

    if (text && strlen(text) > n) {
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
        text[n] = '\0';
    }
    return text;
}

static json_t *stub_of(km_arena *a, const km_paper *p)
{
    char *text = text_of(a, p);
    const char *key = km_arena_printf(a, "paper:%s", p->id);
    const char *source = km_arena_printf(a, "arXiv:%s", p->id);

    if (!text || !key || !source)
        return NULL;
    return json_pack("{s:s,s:s,s:s,s:s,s:{}}", "key", key, "title", p->title, "text", text,
                     "source", source, "payload");
}

static int propose(km_lab *lab, json_t *stub, km_err *err)
{
    const km_proposal p = {
        .key = json_string_value(json_object_get(stub, "key")),
        .title = json_string_value(json_object_get(stub, "title")),
        .text = json_string_value(json_object_get(stub, "text")),
        .source = json_string_value(json_object_get(stub, "source")),
        .payload = "{}",
        .author = "",
        .parent = "",
    };
    int64_t id;
    bool made;
    int rc = km_hypothesis_propose(&lab->db, lab->campaign, &p, &id, &made, err);

    if (rc == 0 && json_object_update_new(stub, json_pack("{s:I,s:b}", "hypothesis", (json_int_t)id,
                                                          "made", made)) < 0)
        rc = km_fail_nomem(err);
    return rc;
}

static int make_stubs(km_arena *a, const km_papers *papers, json_t *out, km_err *err)
{
    for (size_t i = 0; i < papers->count; i++)
        if (json_array_append_new(out, stub_of(a, &papers->papers[i])) < 0)
            return km_fail_nomem(err);
    return 0;
}

/* All or none. */
static int propose_all(km_lab *lab, json_t *stubs, km_err *err)
{
    int rc = km_db_begin(&lab->db, err);
    json_t *stub;
    size_t i;

    json_array_foreach(stubs, i, stub) if (rc == 0) rc = propose(lab, stub, err);
    if (rc == 0)
        return km_db_commit(&lab->db, err);
    km_db_rollback(&lab->db);
    return rc;
}

static int print(const km_papers_fields *f, json_t *stubs, km_err *err)
{
    json_t *stub;
    size_t i;

    if (f->common.json)
        return km_print_json(json_pack("{s:i,s:O}", "schema", KM_JSON_SCHEMA, "papers", stubs),
                             err);
    json_array_foreach(stubs, i, stub)
    {
        char *text = json_dumps(stub, JSON_COMPACT);
        if (!text)
            return km_fail_nomem(err);
        puts(text);
        free(text);
    }
    return 0;
}

/* The lab is opened first: without one, nobody is asked. */
static int run(km_papers_fields *f, const struct request *q, km_papers *papers, json_t *stubs,
               km_err *err)
{
    km_lab lab = KM_LAB_INIT;
    int rc = f->propose ? km_lab_open(&lab, f->dir, err) : 0;

    if (rc == 0)
        rc = fetch(q, papers, err);
    if (rc == 0)
        rc = make_stubs(q->a, papers, stubs, err);
    if (rc == 0 && f->propose)
        rc = propose_all(&lab, stubs, err);
    km_lab_close(&lab);
    return rc == 0 ? print(f, stubs, err) : rc;
}

int km_run_papers(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_papers_fields *f = fields;
    km_arena a = KM_ARENA_INIT;
    json_t *stubs = json_array();
    struct request q;
    km_papers papers = { .count = 0 };
    int rc = km_check_args(arg_count, 1, KM_PAPERS_MAX, err);

    if (rc == 0)
        rc = make_request(&a, f, args, arg_count, &q, err);
    if (rc == 0)
        rc = run(f, &q, &papers, stubs, err);
    if (rc == 0 && !papers.count) {
        km_term_note(&f->common.term, "the hub knows no paper on '%s'", q.query);
        rc = KM_EXIT_NO;
    }
    json_decref(stubs);
    km_arena_release(&a);
    return rc;
}
