#include "lab/standing.h"

#include <math.h>
#include <string.h>

#include "formats/json.h"
#include "lab/judge.h"

/* --- the champion's runs --- */

static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* All of them, and of them the part within blocks. */
struct total {
    km_lab_runs all;
    double squares; /* within the blocks */
    int64_t blocks;
};

static void add_block(struct total *t, json_t *blocks, const char *name, const km_lab_runs *runs)
{
    km_lab_runs_merge(&t->all, runs);
    t->squares += runs->squares;
    t->blocks++;
    json_array_append_new(blocks,
                          json_pack("{s:s,s:I,s:f,s:o}", "block", name, "n", (json_int_t)runs->n,
                                    "mean", runs->mean, "sd", real(km_lab_runs_sd(runs))));
}

static int add_rows(km_db *db, sqlite3_stmt *s, struct total *t, json_t *blocks, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_lab_runs runs = { 0 };
    const char *block = NULL;
    int rc;

    while ((rc = km_db_step(db, s, err)) == 1) {
        const char *here = (const char *)sqlite3_column_text(s, 0);
        if (!block || strcmp(block, here) != 0) {
            if (runs.n)
                add_block(t, blocks, block, &runs);
            runs = (km_lab_runs){ 0 };
            block = km_arena_strdup(&a, here);
            if (!block) {
                rc = km_fail_nomem(err);
                break;
            }
        }
        km_lab_runs_add(&runs, sqlite3_column_double(s, 1));
    }
    if (rc == 0 && runs.n)
        add_block(t, blocks, block, &runs);
    km_arena_release(&a);
    return rc;
}

static int add_runs(km_lab *lab, json_t *champion, km_err *err)
{
    json_t *blocks = json_array();
    struct total t = { 0 };
    sqlite3_stmt *s;
    int rc = km_db_query(&lab->db, &s, err,
                         "SELECT block, value FROM runs WHERE commit_id IN (?1, ?2)"
                         " AND value IS NOT NULL ORDER BY block, job, pair, arm",
                         "tt", km_json_text_of(champion, "commit"),
                         km_json_text_of(champion, "idea_commit"));

    if (rc == 0) {
        rc = add_rows(&lab->db, s, &t, blocks, err);
        sqlite3_finalize(s);
    }
    json_object_set_new(champion, "n", json_integer((json_int_t)t.all.n));
    json_object_set_new(champion, "mean", t.all.n ? json_real(t.all.mean) : json_null());
    json_object_set_new(champion, "sd",
                        t.all.n > t.blocks
                            ? json_real(sqrt(t.squares / (double)(t.all.n - t.blocks)))
                            : json_null());
    json_object_set_new(champion, "blocks", blocks);
    return rc;
}

/* --- the chain --- */

/* With the decision that accepted each. */
static int read_chain(km_lab *lab, json_t *chain, km_err *err)
{
    static const char sql[] =
        "SELECT c.id, c.hypothesis, ifnull(h.title, 'baseline') AS title, c.commit_id AS 'commit',"
        " ifnull(h.commit_id, '') AS idea_commit, c.created_us, d.pairs, d.gain, d.low, d.high "
        "FROM champions c"
        " LEFT JOIN hypotheses h ON h.id = c.hypothesis"
        " LEFT JOIN decisions d ON d.id = (SELECT max(id) FROM decisions"
        "   WHERE hypothesis = c.hypothesis AND verdict = 'accepted')"
        " WHERE c.campaign = ? ORDER BY c.id";
    sqlite3_stmt *s;
    int rc = km_db_query(&lab->db, &s, err, sql, "i", lab->campaign);

    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&lab->db, s, err)) == 1) {
        json_t *row = json_object();
        for (int i = 0; i < sqlite3_column_count(s); i++)
            json_object_set_new(row, sqlite3_column_name(s, i), km_db_json(s, i));
        json_array_append_new(chain, row);
    }
    sqlite3_finalize(s);
    return rc;
}

/* Those since the newest baseline: people may put another one on top of the champion. */
static size_t promotions(const json_t *chain)
{
    size_t n = 0;

    while (n < json_array_size(chain) &&
           json_is_integer(json_object_get(json_array_get(chain, json_array_size(chain) - 1 - n),
                                           "hypothesis")))
        n++;
    return n;
}

/* Over the promotions; null when there are none, or one of them does not know it. */
static json_t *sum(const json_t *chain, const char *key)
{
    size_t n = promotions(chain), size = json_array_size(chain);
    double total = 0;

    for (size_t i = size - n; i < size; i++) {
        const json_t *value = json_object_get(json_array_get(chain, i), key);
        if (!json_is_number(value))
            return json_null();
        total += json_number_value(value);
    }
    return n ? json_real(total) : json_null();
}

int km_standing(km_lab *lab, json_t **out, km_err *err)
{
    json_t *chain = json_array(), *champion = NULL, *settings = NULL;
    int rc = km_lab_kept(lab, &settings, err);

    *out = NULL;
    if (rc == 0)
        rc = read_chain(lab, chain, err);
    if (rc == 0 && json_array_size(chain)) {
        champion = json_copy(json_array_get(chain, json_array_size(chain) - 1));
        rc = add_runs(lab, champion, err);
    }
    if (rc == 0)
        *out = json_pack("{s:s,s:s,s:f,s:O?,s:O,s:I,s:o,s:o,s:o}", "metric",
                         km_json_text_of(settings, "metric"), "direction",
                         km_json_text_of(settings, "direction"), "effect",
                         km_json_number_of(settings, "effect"), "champion", champion, "chain",
                         chain, "promotions", (json_int_t)promotions(chain), "gain",
                         sum(chain, "gain"), "low", sum(chain, "low"), "high", sum(chain, "high"));
    json_decref(chain);
    json_decref(champion);
    json_decref(settings);
    return rc == 0 && !*out ? km_fail_nomem(err) : rc;
}
