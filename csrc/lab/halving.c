#include "lab/halving.h"

#include <stdlib.h>

struct arm {
    int64_t id, pairs; /* of its commit as it is now */
    double gain;
};

/* Better first; of equals, the older. */
static int compare(const void *a, const void *b)
{
    const struct arm *x = a, *y = b;

    if (x->gain != y->gain)
        return x->gain > y->gain ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int find_arms(km_workspace *w, struct arm **out, size_t *count, km_err *err)
{
    km_db *db = &w->lab->db;
    sqlite3_stmt *s = NULL;
    int64_t n = 0;
    int rc = km_db_int(db, &n, 0, err,
                       "SELECT count(*) FROM hypotheses WHERE campaign = ? AND state = 'undecided'",
                       "i", w->lab->campaign);

    *count = 0;
    *out = km_arena_array(&w->lab->arena, (size_t)n + 1, sizeof **out);
    if (rc == 0 && !*out)
        rc = km_fail_nomem(err);
    if (rc == 0)
        rc = km_db_query(
            db, &s, err,
            "SELECT id, (SELECT count(*) FROM runs JOIN jobs ON jobs.id = runs.job WHERE"
            " jobs.hypothesis = h.id AND arm = 'candidate' AND runs.commit_id = h.commit_id),"
            " ifnull((SELECT gain FROM decisions WHERE hypothesis = h.id ORDER BY id DESC LIMIT 1),"
            " -1e308) FROM hypotheses h WHERE campaign = ? AND state = 'undecided'"
            " AND commit_id <> ''",
            "i", w->lab->campaign);
    if (rc < 0)
        return rc;
    while ((rc = km_db_step(db, s, err)) == 1 && *count < (size_t)n)
        (*out)[(*count)++] = (struct arm){ sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
                                           sqlite3_column_double(s, 2) };
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

static int ask(km_workspace *w, const struct arm *a, int64_t pairs, bool *busy, km_err *err)
{
    km_idea idea;
    int rc = km_hypothesis_read(&w->lab->db, &w->lab->arena, a->id, &idea, err);

    *busy = true;
    return rc == 0 ? km_workspace_ask(w, &idea, "evaluate", pairs, err) : rc;
}

static int drop(km_workspace *w, const struct arm *a, km_err *err)
{
    char *why = km_arena_printf(&w->lab->arena, "halving: behind after %lld pairs",
                                (long long)a->pairs);

    return why ? km_hypothesis_move(&w->lab->db, a->id, "rejected", why, err) : km_fail_nomem(err);
}

/* In a transaction: a round is halved and asked for, or nothing of it has happened. */
static int step(km_workspace *w, struct arm *arms, size_t count, bool *busy, int64_t *dropped,
                km_err *err)
{
    int64_t most = 0, max = w->settings.evaluate.pairs_max, more;
    size_t stay = count - count / 2;
    int rc = 0;

    for (size_t i = 0; i < count; i++)
        most = arms[i].pairs > most ? arms[i].pairs : most;
    most = most < max ? most : max;
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (arms[i].pairs < most)
            rc = ask(w, &arms[i], most - arms[i].pairs, busy, err);
    if (rc < 0 || *busy || most >= max || !count)
        return rc;
    qsort(arms, count, sizeof *arms, compare);
    more = most < max - most ? most : max - most;
    for (size_t i = 0; rc == 0 && i < stay; i++)
        rc = ask(w, &arms[i], more ? more : 1, busy, err);
    for (size_t i = stay; rc == 0 && i < count; i++)
        rc = drop(w, &arms[i], err);
    *dropped = rc == 0 ? (int64_t)(count - stay) : 0;
    return rc;
}

static int count_open(km_workspace *w, int64_t *open, km_err *err)
{
    return km_db_int(&w->lab->db, open, 0, err,
                     "SELECT count(*) FROM jobs WHERE campaign = ? AND kind <> 'report'"
                     " AND state IN ('queued', 'leased')",
                     "i", w->lab->campaign);
}

/* Gains over different parents cannot be compared: who has another than the champion is put on that
 * first, and measured anew. */
static int rebase(km_workspace *w, bool *busy, km_err *err)
{
    int64_t id = 0;
    int rc = km_db_int(&w->lab->db, &id, 0, err,
                       "SELECT id FROM hypotheses WHERE campaign = ?1 AND state = 'undecided' AND"
                       " commit_id <> '' AND parent <> (SELECT commit_id FROM champions WHERE"
                       " campaign = ?1 ORDER BY id DESC LIMIT 1) ORDER BY id LIMIT 1",
                       "i", w->lab->campaign);

    return rc == 0 && id ? km_workspace_rebase(w, id, busy, err) : rc;
}

int km_halving_step(km_workspace *w, bool *busy, int64_t *dropped, km_err *err)
{
    struct arm *arms = NULL;
    size_t count = 0;
    int64_t open = 0;
    bool own;
    int rc = count_open(w, &open, err);

    *busy = false;
    *dropped = 0;
    if (rc == 0 && !open)
        rc = rebase(w, busy, err);
    if (rc < 0 || open || *busy)
        return rc;
    rc = km_db_enter(&w->lab->db, &own, err);
    if (rc < 0)
        return rc;
    rc = count_open(w, &open, err);
    if (rc == 0 && !open)
        rc = find_arms(w, &arms, &count, err);
    if (rc == 0 && count)
        rc = step(w, arms, count, busy, dropped, err);
    return km_db_leave(&w->lab->db, own, rc, err);
}
