#include "lab/team.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lab/champion.h"
#include "lab/clock.h"
#include "lab/event.h"
#include "lab/halving.h"
#include "lab/proposal.h"
#include "lab/queue.h"
#include "lab/search.h"

#define US "kernmill"

static void say(const km_team *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const km_team *t, const char *format, ...)
{
    char text[512];
    va_list values;

    if (!t->say)
        return;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    t->say(t->context, text);
}

/* --- ideas in a state --- */

/* Those of the highest priority first, then of the largest gain. */
typedef struct {
    int64_t *ids; /* in the arena */
    size_t count;
} ideas;

/* Those of the past (`lab import`) are nobody's work: they are at their end. */
static int find(km_lab *lab, const char *state, ideas *out, km_err *err)
{
    int64_t n = 0;
    sqlite3_stmt *s = NULL;
    int rc = km_db_int(&lab->db, &n, 0, err,
                       "SELECT count(*) FROM hypotheses WHERE campaign = ? AND state = ?", "it",
                       lab->campaign, state);

    *out = (ideas){ km_arena_array(&lab->arena, (size_t)n + 1, sizeof(int64_t)), 0 };
    if (rc == 0 && !out->ids)
        rc = km_fail_nomem(err);
    if (rc == 0)
        rc = km_db_query(&lab->db, &s, err,
                         "SELECT id FROM hypotheses WHERE campaign = ? AND state = ?"
                         " AND (state <> 'accepted' OR commit_id <> '') ORDER BY priority DESC, "
                         "(SELECT gain FROM decisions WHERE hypothesis ="
                         " hypotheses.id ORDER BY decisions.id DESC LIMIT 1) DESC, id",
                         "it", lab->campaign, state);
    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&lab->db, s, err)) == 1 && out->count < (size_t)n)
        out->ids[out->count++] = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

/* A job of a role, once for its key. */
static int ask(km_lab *lab, const char *kind, const char *key, int64_t hypothesis,
               const char *payload, bool *busy, km_err *err)
{
    km_job_request r = { .campaign = lab->campaign,
                         .hypothesis = hypothesis,
                         .key = key,
                         .kind = kind,
                         .payload = payload,
                         .priority = 2 };
    int64_t id;
    bool made = false;
    int rc = key && payload ? km_queue_submit(&lab->db, &r, &id, &made, err) : km_fail_nomem(err);

    *busy = *busy || made;
    return rc;
}

/* How often a role was asked, of a hypothesis or of none. */
static int count_jobs(km_lab *lab, const char *kind, int64_t hypothesis, int64_t *out, km_err *err)
{
    return km_db_int(&lab->db, out, 0, err,
                     "SELECT count(*) FROM jobs WHERE campaign = ? AND kind = ?"
                     " AND ifnull(hypothesis, 0) = ?",
                     "iti", lab->campaign, kind, hypothesis);
}

/* Whether its newest job waits or runs; or was given up since we began: it failed as often as it
 * may, or somebody cancelled it. Asking again would go on for ever. */
static int is_asked(km_lab *lab, const km_team *t, const char *kind, int64_t hypothesis, bool *out,
                    km_err *err)
{
    int64_t yes;
    int rc = km_db_int(&lab->db, &yes, 0, err,
                       "SELECT state IN ('queued', 'leased') OR (state IN ('dead', 'cancelled')"
                       " AND ended_us >= ?) FROM jobs WHERE campaign = ? AND kind = ?"
                       " AND ifnull(hypothesis, 0) = ? ORDER BY id DESC LIMIT 1",
                       "iiti", t->began_us, lab->campaign, kind, hypothesis);

    *out = yes != 0;
    return rc;
}

/* --- review, plan --- */

/* The first of an idea has no number. */
static int ask_review(km_lab *lab, const km_team *t, int64_t id, bool *busy, km_err *err)
{
    int64_t before = 0;
    bool asked = false;
    char *key;
    int rc = is_asked(lab, t, "review", id, &asked, err);

    if (rc == 0)
        rc = count_jobs(lab, "review", id, &before, err);
    if (rc < 0 || asked)
        return rc;
    key = before ? km_arena_printf(&lab->arena, "review %lld of hypothesis %lld",
                                   (long long)before + 1, (long long)id)
                 : km_arena_printf(&lab->arena, "review of hypothesis %lld", (long long)id);
    return ask(lab, "review", key, id, "{}", busy, err);
}

static int step_review(km_lab *lab, const km_team *t, bool *busy, km_err *err)
{
    ideas found;
    int rc = find(lab, "proposed", &found, err);

    for (size_t i = 0; rc == 0 && i < found.count; i++) {
        if (t->reviewer) {
            rc = ask_review(lab, t, found.ids[i], busy, err);
            continue;
        }
        rc = km_hypothesis_review(&lab->db, found.ids[i], US, true, "nobody reviews here", err);
        *busy = true;
    }
    return rc;
}

/* What a planner is told, in the arena; NULL: out of memory. */
static char *plan_payload(km_lab *lab, const ideas *found)
{
    json_t *list = json_array(), *doc;
    char *text, *kept;

    for (size_t i = 0; i < found->count; i++)
        json_array_append_new(list, json_integer((json_int_t)found->ids[i]));
    doc = json_pack("{s:o}", "ideas", list);
    text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    kept = text ? km_arena_strdup(&lab->arena, text) : NULL;
    free(text);
    json_decref(doc);
    return kept;
}

/* Whether the planner was asked for the same, and left it; since then nothing was decided. */
static int is_put_off(km_lab *lab, const char *payload, bool *out, km_err *err)
{
    int64_t yes;
    int rc = km_db_int(&lab->db, &yes, 0, err,
                       "SELECT state = 'done' AND payload = ? AND ended_us >"
                       " (SELECT ifnull(max(created_us), 0) FROM decisions)"
                       " FROM jobs WHERE campaign = ? AND kind = 'plan' ORDER BY id DESC LIMIT 1",
                       "ti", payload, lab->campaign);

    *out = yes != 0;
    return rc;
}

static int ask_plan(km_lab *lab, const km_team *t, const ideas *found, bool *busy, km_err *err)
{
    int64_t before = 0;
    bool asked = false, put_off = false;
    char *payload = plan_payload(lab, found);
    int rc = payload ? is_asked(lab, t, "plan", 0, &asked, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = is_put_off(lab, payload, &put_off, err);
    if (rc == 0)
        rc = count_jobs(lab, "plan", 0, &before, err);
    if (rc < 0 || asked || put_off)
        return rc;
    return ask(lab, "plan", km_arena_printf(&lab->arena, "plan %lld", (long long)before + 1), 0,
               payload, busy, err);
}

static int step_plan(km_lab *lab, const km_team *t, bool *busy, km_err *err)
{
    ideas found;
    int64_t job;
    int rc = find(lab, "reviewed", &found, err);

    if (rc == 0 && found.count && t->planner)
        return ask_plan(lab, t, &found, busy, err);
    for (size_t i = 0; rc == 0 && i < found.count; i++) {
        rc = km_hypothesis_queue(&lab->db, found.ids[i], "work", NULL, &job, err);
        *busy = true;
    }
    return rc;
}

/* --- research --- */

/* Whether there was nothing new twice, and the last time since we began: what can be tried may be
 * more by now. */
static int is_dry(km_lab *lab, const km_team *t, bool *dry, km_err *err)
{
    int64_t last;
    int rc = km_db_int(&lab->db, &last, 0, err,
                       "SELECT count(*) = 2 AND sum(body = '{\"new\":0}') = 2"
                       " AND max(at_us) >= ? FROM (SELECT body, at_us FROM events"
                       " WHERE what = 'ideas' ORDER BY id DESC LIMIT 2)",
                       "i", t->began_us);

    *dry = last != 0;
    return rc;
}

static int step_research(km_lab *lab, const km_team *t, bool *busy, km_err *err)
{
    int64_t open = 0, before = 0;
    bool dry = false, asked = false;
    char *payload;
    int rc = t->researcher ? km_db_int(&lab->db, &open, 0, err,
                                       "SELECT count(*) FROM hypotheses WHERE campaign = ? AND"
                                       " (state IN ('proposed', 'reviewed', 'queued', 'running')"
                                       " OR EXISTS (SELECT 1 FROM jobs WHERE hypothesis ="
                                       " hypotheses.id AND jobs.state IN ('queued', 'leased')))",
                                       "i", lab->campaign)
                           : 0;

    if (rc < 0 || !t->researcher || open >= t->open)
        return rc;
    rc = is_asked(lab, t, "research", 0, &asked, err);
    if (rc == 0)
        rc = count_jobs(lab, "research", 0, &before, err);
    if (rc == 0)
        rc = is_dry(lab, t, &dry, err);
    if (rc < 0 || asked || dry)
        return rc;
    payload = km_arena_printf(&lab->arena, "{\"wanted\":%lld}", (long long)(t->open - open));
    return ask(lab, "research",
               km_arena_printf(&lab->arena, "research %lld", (long long)before + 1), 0, payload,
               busy, err);
}

/* --- promotion --- */

/* 1: it is the champion; 0: not yet. */
static int try_promotion(km_workspace *w, km_team *t, int64_t id, bool *busy, km_err *err)
{
    bool moved, asked = false;
    int rc = km_workspace_rebase(w, id, &moved, err);

    if (rc == 0 && moved) {
        *busy = true;
        say(t, "hypothesis %lld: put on the new champion", (long long)id);
        return 0;
    }
    if (rc == 0)
        rc = is_asked(w->lab, t, "holdout", id, &asked, err);
    if (rc < 0 || asked)
        return rc;
    rc = km_champion_ask_holdout(w, id, &asked, err);
    *busy = *busy || asked;
    if (rc < 0 || asked)
        return rc;
    rc = km_champion_promote(w, id, err);
    return rc < 0 ? rc : 1;
}

/* One that cannot be promoted now, or that another driver was faster with, is told of, and left. */
static int promote(km_workspace *w, km_team *t, int64_t id, bool *busy, km_err *err)
{
    km_err why = KM_ERR_INIT, branch = KM_ERR_INIT;
    const char *late = NULL;
    int rc = try_promotion(w, t, id, busy, &why);

    if (rc == KM_EUSAGE) {
        if (t->told != id)
            say(t, "%s", why.message);
        t->told = id;
        return 0;
    }
    if (rc < 0 && err)
        *err = why;
    if (rc <= 0)
        return rc;
    *busy = true;
    say(t, "hypothesis %lld: promoted", (long long)id);
    if (km_champion_settle(w, &late, &branch) < 0)
        late = branch.message;
    if (late)
        say(t, "%s", late);
    return 0;
}

/* Ideas that wait to be measured against a champion of the past: against the one of now. */
static int step_stale(km_lab *lab, bool *busy, km_err *err)
{
    int64_t id = 0;
    km_workspace w;
    km_champion c = { 0, 0, NULL };
    km_err why = KM_ERR_INIT;
    bool moved = false;
    int rc = km_champion_read(lab, &c, err);

    if (rc <= 0)
        return rc;
    rc = km_db_int(&lab->db, &id, 0, err,
                   "SELECT id FROM hypotheses h WHERE campaign = ? AND commit_id <> ''"
                   " AND parent <> ? AND state IN ('evaluating', 'undecided')"
                   " AND EXISTS (SELECT 1 FROM jobs WHERE hypothesis = h.id AND kind = 'evaluate'"
                   "  AND (jobs.state = 'queued' OR h.state = 'evaluating'))"
                   " AND NOT EXISTS (SELECT 1 FROM jobs WHERE hypothesis = h.id"
                   "  AND jobs.state = 'leased') LIMIT 1",
                   "it", lab->campaign, c.commit);
    if (rc == 0 && id)
        rc = km_workspace_open(&w, lab, err);
    if (rc == 1)
        rc = km_workspace_rebase(&w, id, &moved, &why);
    if (rc < 0 && rc != KM_EUSAGE && err && why.code)
        *err = why;
    *busy = *busy || moved;
    return rc == KM_EUSAGE ? 0 : rc; /* another driver was faster */
}

/* The report of so many champions, once. */
static int ask_report(km_lab *lab, bool *busy, km_err *err)
{
    int64_t n;
    int rc = km_db_int(&lab->db, &n, 0, err, "SELECT count(*) FROM champions WHERE campaign = ?",
                       "i", lab->campaign);

    return rc == 0 ? ask(lab, "report",
                         km_arena_printf(&lab->arena, "report of champion %lld", (long long)n), 0,
                         "{}", busy, err)
                   : rc;
}

static int step_promote(km_lab *lab, km_team *t, bool *busy, km_err *err)
{
    km_workspace w;
    ideas found;
    int rc = find(lab, "accepted", &found, err);

    if (rc < 0 || !found.count)
        return rc;
    rc = km_workspace_open(&w, lab, err);
    if (rc <= 0)
        return rc;
    rc = 0;
    for (size_t i = 0; rc == 0 && i < found.count; i++)
        rc = promote(&w, t, found.ids[i], busy, err);
    return rc == 0 && *busy && t->reporter ? ask_report(lab, busy, err) : rc;
}

/* --- halving --- */

/* When there is nothing else to do. */
static int step_halving(km_lab *lab, const km_team *t, bool *busy, km_err *err)
{
    km_workspace w;
    int64_t dropped = 0;
    int rc = km_workspace_open(&w, lab, err);

    if (rc <= 0 || !km_search_halves(&w.settings))
        return rc < 0 ? rc : 0;
    rc = km_halving_step(&w, busy, &dropped, err);
    if (dropped)
        say(t, "halving: %lld ideas are behind, the others go on", (long long)dropped);
    return rc;
}

/* What is found to do, and what is done about it, in one transaction: another driver may look, too.
 */
static int in_turn(km_lab *lab, const km_team *t, bool *busy,
                   int (*act)(km_lab *, const km_team *, bool *, km_err *), km_err *err)
{
    bool own;
    int rc = km_db_enter(&lab->db, &own, err);

    if (rc == 0)
        rc = act(lab, t, busy, err);
    return km_db_leave(&lab->db, own, rc, err);
}

static int step(km_lab *lab, km_team *team, bool *busy, km_err *err)
{
    int rc = step_promote(lab, team, busy, err);

    if (team->spent)
        return rc;
    if (rc == 0)
        rc = step_stale(lab, busy, err);
    if (rc == 0)
        rc = in_turn(lab, team, busy, step_review, err);
    if (rc == 0)
        rc = in_turn(lab, team, busy, step_plan, err);
    if (rc == 0)
        rc = in_turn(lab, team, busy, step_research, err);
    if (rc == 0 && !*busy)
        rc = step_halving(lab, team, busy, err);
    return rc;
}

/* What a step allocates goes with it: a driver that waits takes ten in a second, for days. */
int km_team_step(km_lab *lab, km_team *team, bool *busy, km_err *err)
{
    km_arena kept = km_lab_arena_begin(lab);
    int rc;

    *busy = false;
    if (!team->began_us)
        team->began_us = km_clock_us();
    rc = step(lab, team, busy, err);
    km_lab_arena_end(lab, kept);
    return rc;
}

/* --- what a role said --- */

static int take_ideas(km_lab *lab, int64_t job, const json_t *body, km_err *err)
{
    json_t *list;
    int64_t made;
    int rc = km_json_array(body, "ideas", &list, "the result", err);

    if (rc == 0)
        rc = km_proposal_take(&lab->db, &lab->arena, lab->campaign, list, "the result", &made, err);
    if (rc == 0)
        rc = km_event_add(&lab->db, "job", job, "ideas",
                          json_pack("{s:I}", "new", (json_int_t)made), err);
    return rc;
}

/* Whether an idea is in that state. Errors: KM_EUSAGE when there is none. */
static int is_in(km_lab *lab, int64_t id, const char *state, km_err *err)
{
    km_idea idea = { 0 };
    int rc = km_hypothesis_read(&lab->db, &lab->arena, id, &idea, err);

    return rc < 0 ? rc : strcmp(idea.state, state) == 0;
}

static int take_review(km_lab *lab, int64_t hypothesis, const json_t *body, km_err *err)
{
    const char *verdict, *reviewer = "reviewer", *text = "";
    int rc;

    if (km_json_text(body, "verdict", &verdict, "the result", err) < 0 ||
        km_json_text_optional(body, "reviewer", &reviewer, "the result", err) < 0 ||
        km_json_text_optional(body, "text", &text, "the result", err) < 0)
        return KM_EFORMAT;
    if (strcmp(verdict, "approve") != 0 && strcmp(verdict, "reject") != 0)
        return km_fail_at(err, KM_EFORMAT, "the result", 0, 0,
                          "'verdict' is \"approve\" or \"reject\", not \"%.64s\"", verdict);
    rc = is_in(lab, hypothesis, "proposed", err);
    return rc == 1
               ? km_hypothesis_review(&lab->db, hypothesis, reviewer, *verdict == 'a', text, err)
               : rc;
}

static int take_plan(km_lab *lab, const json_t *body, km_err *err)
{
    json_t *order, *drop = NULL;
    const json_t *one;
    int64_t job;
    size_t k;
    int rc = km_json_array(body, "order", &order, "the result", err);

    if (rc == 0)
        rc = km_json_array_optional(body, "drop", &drop, "the result", err);
    json_array_foreach(order, k, one)
    {
        if (rc >= 0)
            rc = is_in(lab, json_integer_value(one), "reviewed", err);
        if (rc == 1)
            rc = km_hypothesis_queue(&lab->db, json_integer_value(one), "work", NULL, &job, err);
    }
    json_array_foreach(drop, k, one)
    {
        if (rc >= 0)
            rc = is_in(lab, json_integer_value(one), "reviewed", err);
        if (rc == 1)
            rc = km_hypothesis_move(&lab->db, json_integer_value(one), "cancelled",
                                    "dropped by the planner", err);
    }
    return rc < 0 ? rc : 0;
}

int km_team_apply(km_lab *lab, int64_t job, int64_t hypothesis, const char *kind,
                  const json_t *body, km_err *err)
{
    int rc = 0;

    if (strcmp(kind, "research") == 0)
        rc = take_ideas(lab, job, body, err);
    else if (strcmp(kind, "review") == 0 && hypothesis)
        rc = take_review(lab, hypothesis, body, err);
    else if (strcmp(kind, "plan") == 0)
        rc = take_plan(lab, body, err);
    else
        return 0;
    return rc < 0 ? rc : 1;
}
