#include "lab/told.h"

#include "formats/json.h"
#include "lab/overview.h"

int km_told_idea(km_lab *lab, int64_t hypothesis, json_t *job, km_err *err)
{
    static const char *const names[] = { "key",    "title",  "text",  "author",
                                         "source", "parent", "commit" };
    json_t *idea = json_pack("{s:I}", "id", (json_int_t)hypothesis);
    sqlite3_stmt *s;
    int rc = km_db_query(&lab->db, &s, err,
                         "SELECT key, title, text, author, source, parent, commit_id, payload"
                         " FROM hypotheses WHERE id = ?",
                         "i", hypothesis);

    if (rc < 0) {
        json_decref(idea);
        return rc;
    }
    rc = km_db_step(&lab->db, s, err);
    for (int i = 0; rc == 1 && i < (int)(sizeof names / sizeof *names); i++)
        json_object_set_new(idea, names[i], json_string((const char *)sqlite3_column_text(s, i)));
    if (rc == 1) {
        json_object_set_new(
            idea, "payload",
            json_loads((const char *)sqlite3_column_text(s, 7), JSON_DECODE_ANY, NULL));
        json_object_set(job, "idea", idea);
    }
    sqlite3_finalize(s);
    json_decref(idea);
    return rc < 0 ? rc : 0;
}

int km_told_report(km_lab *lab, const char *path, km_err *err)
{
    json_t *overview = NULL, *ideas = NULL, *doc;
    int rc = km_overview(lab, &overview, err);

    if (rc == 0)
        rc = km_overview_summary(lab, &ideas, err);
    doc = rc == 0 ? json_pack("{s:O,s:O}", "overview", overview, "hypotheses", ideas) : NULL;
    if (rc == 0)
        rc = doc ? km_json_write(path, doc, err) : km_fail_nomem(err);
    json_decref(doc);
    json_decref(ideas);
    json_decref(overview);
    return rc;
}
