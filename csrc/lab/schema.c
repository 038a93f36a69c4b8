#include "lab/schema.h"

/* Version 1. Times are microseconds since 1970, UTC, but for leases (lab/clock.h). What happened is
 * never changed: results, reviews, leases that ended and events refuse to be. */
static const char version_1[] =
    /* a question that is worked on: how to make one number better */
    "CREATE TABLE campaigns ("
    "  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    "  settings TEXT NOT NULL," /* lab.toml as JSON */
    "  state TEXT NOT NULL CHECK (state IN ('open', 'stopped')),"
    "  created_us INTEGER NOT NULL) STRICT;"

    /* what may be spent; no row: any amount */
    "CREATE TABLE budgets ("
    "  campaign INTEGER NOT NULL REFERENCES campaigns,"
    "  kind TEXT NOT NULL CHECK (kind IN ('runs', 'gpu_seconds', 'money', 'tokens')),"
    "  allowed REAL, used REAL NOT NULL DEFAULT 0," /* allowed NULL: counted, not limited */
    "  PRIMARY KEY (campaign, kind)) STRICT;"

    /* an idea: one change, and why it should help */
    "CREATE TABLE hypotheses ("
    "  id INTEGER PRIMARY KEY, campaign INTEGER NOT NULL REFERENCES campaigns,"
    "  key TEXT NOT NULL," /* the proposer's; the same again is the same idea */
    "  title TEXT NOT NULL, text TEXT NOT NULL, payload TEXT NOT NULL," /* JSON, for the worker */
    "  author TEXT NOT NULL, source TEXT NOT NULL," /* a paper, another hypothesis, ''  */
    "  parent TEXT NOT NULL,"                       /* the commit it changes, or '' */
    "  patch TEXT NOT NULL DEFAULT '',"             /* what it changes, canonically, or '' */
    "  state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',"
    "  priority INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL,"
    "  UNIQUE (campaign, key)) STRICT;"
    "CREATE INDEX hypotheses_by_state ON hypotheses (campaign, state);"

    "CREATE TABLE reviews ("
    "  id INTEGER PRIMARY KEY, hypothesis INTEGER NOT NULL REFERENCES hypotheses,"
    "  reviewer TEXT NOT NULL, verdict TEXT NOT NULL CHECK (verdict IN ('approve', 'reject')),"
    "  text TEXT NOT NULL, created_us INTEGER NOT NULL) STRICT;"

    /* a piece of work that somebody takes; `token` counts who has had it: a result with an old one
     * is refused */
    "CREATE TABLE jobs ("
    "  id INTEGER PRIMARY KEY, campaign INTEGER NOT NULL REFERENCES campaigns,"
    "  hypothesis INTEGER REFERENCES hypotheses," /* NULL: of the campaign as a whole */
    "  key TEXT NOT NULL," /* the submitter's, so that submitting twice is once */
    "  kind TEXT NOT NULL, payload TEXT NOT NULL, priority INTEGER NOT NULL,"
    "  state TEXT NOT NULL CHECK (state IN ('queued', 'leased', 'done', 'dead', 'cancelled')),"
    "  token INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,"
    "  attempts_max INTEGER NOT NULL, worker TEXT NOT NULL DEFAULT '',"
    "  lease_boot TEXT NOT NULL DEFAULT '', lease_until_ms INTEGER NOT NULL DEFAULT 0,"
    "  error TEXT NOT NULL DEFAULT '', created_us INTEGER NOT NULL,"
    "  started_us INTEGER NOT NULL DEFAULT 0, ended_us INTEGER NOT NULL DEFAULT 0,"
    "  UNIQUE (campaign, key)) STRICT;"
    "CREATE INDEX jobs_to_claim ON jobs (state, kind, priority DESC, id);"
    "CREATE INDEX jobs_of_hypothesis ON jobs (hypothesis);"

    /* who had a job, and how it ended: done, failed, expired, released, cancelled */
    "CREATE TABLE leases ("
    "  job INTEGER NOT NULL REFERENCES jobs, token INTEGER NOT NULL, worker TEXT NOT NULL,"
    "  began_us INTEGER NOT NULL, ended_us INTEGER, how TEXT,"
    "  PRIMARY KEY (job, token)) STRICT;"

    "CREATE TABLE results ("
    "  job INTEGER PRIMARY KEY REFERENCES jobs, token INTEGER NOT NULL,"
    "  body TEXT NOT NULL, created_us INTEGER NOT NULL) STRICT;"

    /* all that happened, in its order; `chain` is the SHA-256 of the one before and this */
    "CREATE TABLE events ("
    "  id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, subject TEXT NOT NULL," /* "job 7" */
    "  what TEXT NOT NULL, body TEXT NOT NULL, chain TEXT NOT NULL) STRICT;"
    "CREATE INDEX events_of ON events (subject);"

    "CREATE TRIGGER results_stay BEFORE UPDATE ON results BEGIN"
    "  SELECT RAISE (ABORT, 'a result is never changed'); END;"
    "CREATE TRIGGER results_remain BEFORE DELETE ON results BEGIN"
    "  SELECT RAISE (ABORT, 'a result is never deleted'); END;"
    "CREATE TRIGGER reviews_stay BEFORE UPDATE ON reviews BEGIN"
    "  SELECT RAISE (ABORT, 'a review is never changed'); END;"
    "CREATE TRIGGER reviews_remain BEFORE DELETE ON reviews BEGIN"
    "  SELECT RAISE (ABORT, 'a review is never deleted'); END;"
    "CREATE TRIGGER leases_stay BEFORE UPDATE ON leases WHEN OLD.ended_us IS NOT NULL BEGIN"
    "  SELECT RAISE (ABORT, 'a lease that ended is never changed'); END;"
    "CREATE TRIGGER leases_remain BEFORE DELETE ON leases BEGIN"
    "  SELECT RAISE (ABORT, 'a lease is never deleted'); END;"
    "CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN"
    "  SELECT RAISE (ABORT, 'an event is never changed'); END;"
    "CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN"
    "  SELECT RAISE (ABORT, 'an event is never deleted'); END;";

static const char *const migrations[] = { version_1, NULL };

const km_db_schema km_lab_schema = { migrations, 1 };
