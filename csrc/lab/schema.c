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

/* Version 2: ideas as commits, what their runs gave, who was promoted, what it cost, who was told.
 */
static const char version_2[] =
    "ALTER TABLE hypotheses ADD COLUMN commit_id TEXT NOT NULL DEFAULT '';" /* refs/lab/<id> */
    "ALTER TABLE hypotheses ADD COLUMN manifest TEXT NOT NULL DEFAULT '';"  /* lab/manifest.h */
    "CREATE INDEX jobs_to_claim_of_any ON jobs (state, priority DESC, id);"
    "CREATE INDEX hypotheses_by_patch ON hypotheses (campaign, patch);"

    /* where it ran and what it cost, whatever came of it; remote: Slurm's number, the Hub's id */
    "ALTER TABLE leases ADD COLUMN executor TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE leases ADD COLUMN remote TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE leases ADD COLUMN gpu_seconds REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE leases ADD COLUMN money REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE leases ADD COLUMN tokens REAL NOT NULL DEFAULT 0;"

    /* one run of one commit under the evaluator, of the pairs of an "evaluate" job */
    "CREATE TABLE runs ("
    "  job INTEGER NOT NULL REFERENCES jobs, pair INTEGER NOT NULL,"
    "  arm TEXT NOT NULL CHECK (arm IN ('parent', 'candidate')), commit_id TEXT NOT NULL,"
    "  seed INTEGER NOT NULL, block TEXT NOT NULL," /* which hardware, driver and image */
    "  value REAL, amount INTEGER,"                 /* NULL: it gave none, was not said */
    "  wall_ms INTEGER NOT NULL, PRIMARY KEY (job, pair, arm)) STRICT;"
    "CREATE INDEX runs_of ON runs (commit_id);"

    /* what the judge said, each time; the last counts. NULL: not known */
    "CREATE TABLE decisions ("
    "  id INTEGER PRIMARY KEY, hypothesis INTEGER NOT NULL REFERENCES hypotheses,"
    "  verdict TEXT NOT NULL, reason TEXT NOT NULL, pairs INTEGER NOT NULL,"
    "  gain REAL, low REAL, high REAL, sd REAL, more_pairs INTEGER,"
    "  created_us INTEGER NOT NULL) STRICT;"
    "CREATE INDEX decisions_of ON decisions (hypothesis);"

    /* what was promoted, one after the other; the last is the champion. One successor each: of two
     * promotions at once, one wins */
    "CREATE TABLE champions ("
    "  id INTEGER PRIMARY KEY, campaign INTEGER NOT NULL REFERENCES campaigns,"
    "  previous INTEGER UNIQUE REFERENCES champions," /* NULL: the baseline */
    "  hypothesis INTEGER REFERENCES hypotheses,"     /* NULL: the baseline */
    "  commit_id TEXT NOT NULL, created_us INTEGER NOT NULL) STRICT;"

    /* each use of the sealed holdout */
    "CREATE TABLE holdouts ("
    "  id INTEGER PRIMARY KEY, hypothesis INTEGER NOT NULL REFERENCES hypotheses,"
    "  parent REAL, candidate REAL, passed INTEGER NOT NULL, created_us INTEGER NOT NULL) STRICT;"

    /* what somebody should know; `key`: the same again is told once */
    "CREATE TABLE alerts ("
    "  id INTEGER PRIMARY KEY, campaign INTEGER NOT NULL REFERENCES campaigns,"
    "  key TEXT NOT NULL, level TEXT NOT NULL CHECK (level IN ('info', 'warn', 'error')),"
    "  title TEXT NOT NULL, text TEXT NOT NULL, subject TEXT NOT NULL,"  /* "job 7" */
    "  created_us INTEGER NOT NULL, sent_us INTEGER NOT NULL DEFAULT 0," /* to the webhook */
    "  UNIQUE (campaign, key)) STRICT;"

    "CREATE TRIGGER runs_stay BEFORE UPDATE ON runs BEGIN"
    "  SELECT RAISE (ABORT, 'a run is never changed'); END;"
    "CREATE TRIGGER runs_remain BEFORE DELETE ON runs BEGIN"
    "  SELECT RAISE (ABORT, 'a run is never deleted'); END;"
    "CREATE TRIGGER decisions_stay BEFORE UPDATE ON decisions BEGIN"
    "  SELECT RAISE (ABORT, 'a decision is never changed'); END;"
    "CREATE TRIGGER decisions_remain BEFORE DELETE ON decisions BEGIN"
    "  SELECT RAISE (ABORT, 'a decision is never deleted'); END;"
    "CREATE TRIGGER champions_stay BEFORE UPDATE ON champions BEGIN"
    "  SELECT RAISE (ABORT, 'a promotion is never changed'); END;"
    "CREATE TRIGGER champions_remain BEFORE DELETE ON champions BEGIN"
    "  SELECT RAISE (ABORT, 'a promotion is never deleted'); END;"
    "CREATE TRIGGER holdouts_stay BEFORE UPDATE ON holdouts BEGIN"
    "  SELECT RAISE (ABORT, 'a use of the holdout is never changed'); END;"
    "CREATE TRIGGER holdouts_remain BEFORE DELETE ON holdouts BEGIN"
    "  SELECT RAISE (ABORT, 'a use of the holdout is never deleted'); END;";

static const char *const migrations[] = { version_1, version_2, NULL };

const km_db_schema km_lab_schema = { migrations, 2 };
