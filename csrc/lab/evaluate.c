#include "lab/evaluate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "core/file.h"
#include "core/path.h"
#include "core/proc.h"
#include "formats/json.h"
#include "lab/block.h"
#include "lab/built.h"
#include "lab/clock.h"
#include "lab/manifest.h"
#include "lab/worktree.h"

#define LOG_BYTES_MAX (16u << 20) /* of a command; more ends it */
#define TAIL_BYTES    200

enum { PARENT, CANDIDATE, ARMS };

/* One of the two. */
struct arm {
    const char *commit;
    const char *tree; /* a worktree of it */
    km_tree_image image;
    const char *build; /* what was built of it; NULL: nothing */
    km_sha256 stamp;   /* of that */
};

struct session {
    km_workspace *w;
    const km_evaluation *e;
    const char *scratch, *block;
    struct arm arms[ARMS];
    int blamed; /* for what one process does that measures both; ARMS: who runs */
    km_manifest manifest;
    json_t *ended; /* what the candidate did, or NULL */
    km_arena arena;
};

/* What one run gave. */
struct run {
    double value;
    int64_t amount; /* -1: not asked for; 0: not said */
    int64_t wall_ms;
};

int km_evaluation_read(const json_t *payload, km_evaluation *out, const char *name, km_err *err)
{
    int64_t seed;

    *out = (km_evaluation){ .pairs = 0 };
    if (km_json_text(payload, "parent", &out->parent, name, err) < 0 ||
        km_json_text(payload, "candidate", &out->candidate, name, err) < 0 ||
        km_json_int(payload, "pairs", &out->pairs, name, err) < 0 ||
        km_json_int(payload, "seed", &seed, name, err) < 0)
        return KM_EFORMAT;
    if (out->pairs < 1 || out->pairs > KM_LAB_PAIRS_MAX)
        return km_fail_at(err, KM_EFORMAT, name, 0, 0, "'pairs' is 1 to %d", KM_LAB_PAIRS_MAX);
    out->seed = (uint64_t)seed;
    out->holdout = json_is_true(json_object_get(payload, "holdout"));
    return 0;
}

/* splitmix64: G. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number generators, OOPSLA
 * 2014. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* --- how it ends --- */

/* The candidate's doing: its end, no error of ours. 1: it has ended. The parent's is an error, for
 * nothing can be said of the idea. */
static int end(struct session *s, int arm, km_err *err, const char *state, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static int end(struct session *s, int arm, km_err *err, const char *state, const char *format, ...)
{
    char text[600];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (s->blamed < ARMS)
        arm = s->blamed;
    if (arm == PARENT)
        return km_fail(err, KM_ECHILD, "the parent's run: %s", text);
    km_text_clean(text);
    s->ended = json_pack("{s:s,s:s}", "state", state, "reason", text);
    return s->ended ? 1 : km_fail_nomem(err);
}

static int check_builds(struct session *s, int arm, const char *after, km_err *err)
{
    static const char *const names[] = { "parent", "candidate" };
    km_err why = KM_ERR_INIT;
    km_sha256 now;

    for (int i = 0; i < ARMS; i++) {
        if (!s->arms[i].build)
            continue;
        if (km_built_stamp(s->arms[i].build, &now, &why) < 0 ||
            memcmp(&now, &s->arms[i].stamp, sizeof now) != 0)
            return end(s, arm, err, "invalid", "what was built of the %s was changed by %s",
                       names[i], after);
    }
    return 0;
}

static int stamp_builds(struct session *s, km_err *err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < ARMS; i++)
        if (s->arms[i].build)
            rc = km_built_stamp(s->arms[i].build, &s->arms[i].stamp, err);
    return rc;
}

/* What no command may change. */
static int check(struct session *s, int arm, const char *after, km_err *err)
{
    const char *odd;
    int rc = km_manifest_check(&s->manifest, s->arms[arm].tree, &odd, err);

    if (rc < 0)
        return rc;
    if (odd)
        return end(s, arm, err, "invalid", "'%s' is protected, and was changed by %s", odd, after);
    return check_builds(s, arm, after, err);
}

/* --- commands --- */

/* The end of what it said, on one line. */
static void tail(const km_proc_result *r, char out[TAIL_BYTES + 1])
{
    const km_str *s = r->err.length ? &r->err : &r->out;
    size_t n = s->length;

    while (n && strchr(" \n", s->data[n - 1]))
        n--;
    snprintf(out, TAIL_BYTES + 1, "%.*s", (int)(n > TAIL_BYTES ? TAIL_BYTES : n),
             s->data + (n > TAIL_BYTES ? n - TAIL_BYTES : 0));
    for (char *c = out; *c; c++)
        if (*c == '\n')
            *c = ' ';
}

/* 0: it ended well; 1: the candidate ended all. */
static int run_command(struct session *s, int arm, const char *command, const char *what,
                       const char *const *env, km_err *err)
{
    km_proc_result result = KM_PROC_RESULT_INIT;
    km_err why = KM_ERR_INIT;
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    char said[TAIL_BYTES + 1];
    km_proc p = { .argv = argv,
                  .env = env,
                  .cwd = km_path_join(&s->arena, s->arms[arm].tree,
                                      *s->w->prefix ? s->w->prefix : "."),
                  .alone = true,
                  .timeout_ms = (int)(s->w->settings.evaluate.limit_s * 1000),
                  .output_bytes_max = LOG_BYTES_MAX };
    int rc = km_proc_run(&p, &result, &why);

    fprintf(stderr, "--- %s\n%s%s", what, result.out.data, result.err.data);
    tail(&result, said);
    if (rc == KM_ETIME)
        rc = end(s, arm, err, "timed_out", "%s took longer than %lld s", what,
                 (long long)s->w->settings.evaluate.limit_s);
    else if (rc == KM_ELIMIT)
        rc = end(s, arm, err, "crashed", "%s: %s", what, why.message);
    else if (rc < 0 && err)
        *err = why;
    else if (result.exit_code)
        rc = end(s, arm, err, "crashed", "%s exited with %d: %s", what, result.exit_code, said);
    km_proc_result_release(&result);
    return rc;
}

/* Whether it is one of those that stay between commands: the trees, and what was built. */
static bool stays(const struct session *s, const char *path)
{
    for (int i = 0; i < ARMS; i++)
        if (strcmp(path, s->arms[i].tree) == 0 ||
            (s->arms[i].build && strcmp(path, s->arms[i].build) == 0))
            return true;
    return false;
}

/* Beside the trees, too, nothing is left for a later run. */
static int clean_scratch(struct session *s, km_arena *a, const char *out, km_err *err)
{
    km_names names;
    int rc = km_dir_list(a, s->scratch, &names, err);

    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        char *path = km_path_join(a, s->scratch, names.names[i]);
        if (!path)
            rc = km_fail_nomem(err);
        else if (!stays(s, path) && strcmp(path, out) != 0)
            rc = km_dir_remove(path, err);
    }
    return rc;
}

/* The tree is the commit again, and nothing else. `out` is this run's. */
static int clean(struct session *s, int arm, const char *out, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    int rc = clean_scratch(s, &a, out, err);

    if (rc == 0)
        rc = km_worktree_restore(&a, &s->arms[arm].image, s->scratch, err);
    km_arena_release(&a);
    return rc;
}

/* --- one run --- */

static void take_value(const km_lab_settings *set, const json_t *value, const json_t *amount,
                       struct run *out)
{
    out->value = json_is_number(value) ? json_number_value(value) : (double)NAN;
    out->amount = -1;
    if (set->evaluate.amount)
        out->amount = json_is_integer(amount) ? json_integer_value(amount) : 0;
}

/* What an evaluator wrote; *doc is the caller's. 1: the candidate ended all. */
static int read_document(struct session *s, int arm, const char *path, json_t **doc, km_err *err)
{
    km_err why = KM_ERR_INIT;
    const char *refused;
    int rc = km_json_read(path, doc, &why);

    if (rc == KM_ENOMEM)
        return km_fail_nomem(err);
    if (rc < 0)
        return end(s, arm, err, "invalid", "the evaluator wrote no metrics: %s", why.message);
    refused = json_string_value(json_object_get(*doc, "refused"));
    return refused ? end(s, arm, err, "invalid", "the evaluator refuses it: %s", refused) : 0;
}

static int check_value(struct session *s, int arm, const char *name, const struct run *r,
                       km_err *err)
{
    return isfinite(r->value)
               ? 0
               : end(s, arm, err, "invalid", "the evaluator's '%s' is no number", name);
}

static int read_metrics(struct session *s, int arm, const char *path, struct run *out, km_err *err)
{
    const km_lab_settings *set = &s->w->settings;
    json_t *doc = NULL;
    int rc = read_document(s, arm, path, &doc, err);

    if (rc == 0) {
        take_value(set, json_object_get(doc, set->metric),
                   set->evaluate.amount ? json_object_get(doc, set->evaluate.amount) : NULL, out);
        rc = check_value(s, arm, set->metric, out, err);
    }
    json_decref(doc);
    return rc;
}

/* Of a pair, {"parent", "candidate"}. */
static int read_both(struct session *s, const char *path, struct run out[ARMS], km_err *err)
{
    static const char *const names[] = { "parent", "candidate" };
    const char *amount = s->w->settings.evaluate.amount;
    json_t *doc = NULL;
    int rc = read_document(s, CANDIDATE, path, &doc, err);

    for (int i = 0; rc == 0 && i < ARMS; i++) {
        take_value(&s->w->settings, json_object_get(doc, names[i]),
                   amount ? json_array_get(json_object_get(doc, amount), (size_t)i) : NULL,
                   &out[i]);
        rc = check_value(s, i, names[i], &out[i], err);
    }
    json_decref(doc);
    return rc;
}

/* Files that nobody could have known of. */
static int make_places(struct session *s, char **out, char **metrics, km_err *err)
{
    uint64_t name[2];

    if (getrandom(name, sizeof name, 0) != sizeof name)
        return km_fail(err, KM_EIO, "the kernel gives no random numbers");
    *out = km_arena_printf(&s->arena, "%s/out-%016llx", s->scratch, (unsigned long long)name[0]);
    *metrics = km_arena_printf(&s->arena, "%s/metrics-%016llx.json", s->scratch,
                               (unsigned long long)name[1]);
    return *out && *metrics ? km_dir_make(*out, err) : km_fail_nomem(err);
}

static void forget(const char *out, const char *metrics)
{
    if (out)
        km_dir_remove(out, NULL);
    if (metrics)
        km_dir_remove(metrics, NULL);
}

static const char *built(const struct session *s, int arm)
{
    return s->arms[arm].build ? s->arms[arm].build : "";
}

/* 1: the candidate ended all. */
static int run_commands(struct session *s, int arm, uint64_t seed, const char *out,
                        const char *metrics, km_err *err)
{
    const km_lab_settings *set = &s->w->settings;
    const char *evaluator = s->e->holdout ? set->evaluate.holdout : set->evaluate.evaluate;
    const char *env[] = {
        km_arena_printf(&s->arena, "KERNMILL_OUT=%s", out),
        km_arena_printf(&s->arena, "KERNMILL_SEED=%u", (unsigned)(seed >> 33)),
        km_arena_printf(&s->arena, "KERNMILL_BUILD=%s", built(s, arm)),
        "KERNMILL_RUN_DIR=",
        "PYTHONDONTWRITEBYTECODE=1",
        NULL, /* the metrics' name, for the evaluator alone */
        NULL,
    };
    int rc = env[0] && env[1] && env[2] ? clean(s, arm, out, err) : km_fail_nomem(err);

    if (rc == 0 && set->evaluate.run)
        rc = run_command(s, arm, set->evaluate.run, "its run", env, err);
    if (rc == 0 && set->evaluate.run)
        rc = check(s, arm, "its run", err);
    if (rc == 0 && set->evaluate.run)
        rc = clean(s, arm, out, err);
    env[5] = km_arena_printf(&s->arena, "KERNMILL_METRICS=%s", metrics);
    if (rc == 0)
        rc = run_command(s, arm, evaluator, "its evaluation", env, err);
    return rc == 0 ? check(s, arm, "its evaluation", err) : rc;
}

static int run_arm(struct session *s, int arm, uint64_t seed, struct run *r, km_err *err)
{
    int64_t began = km_clock_boot_ms();
    char *out = NULL, *metrics = NULL;
    int rc = make_places(s, &out, &metrics, err);

    if (rc == 0)
        rc = run_commands(s, arm, seed, out, metrics, err);
    r->wall_ms = km_clock_boot_ms() - began;
    if (rc == 0)
        rc = read_metrics(s, arm, metrics, r, err);
    forget(out, metrics);
    return rc;
}

/* --- pairs --- */

static json_t *pair_json(struct session *s, const struct run r[ARMS], uint64_t seed, int first)
{
    json_t *pair = json_pack("{s:f,s:f,s:I,s:s,s:s,s:[I,I]}", "parent", r[PARENT].value,
                             "candidate", r[CANDIDATE].value, "seed", (json_int_t)(seed >> 33),
                             "block", s->block, "first", first == PARENT ? "parent" : "candidate",
                             "wall_ms", (json_int_t)r[PARENT].wall_ms,
                             (json_int_t)r[CANDIDATE].wall_ms);

    if (pair && r[PARENT].amount >= 0)
        json_object_set_new(
            pair, "amount",
            json_pack("[I,I]", (json_int_t)r[PARENT].amount, (json_int_t)r[CANDIDATE].amount));
    return pair;
}

/* `candidate` may be the parent again. 1: it has ended. */
static int measure_both(struct session *s, int candidate, uint64_t seed, const char *out,
                        const char *metrics, km_err *err)
{
    const km_lab_settings *set = &s->w->settings;
    const char *env[] = {
        km_arena_printf(&s->arena, "KERNMILL_OUT=%s", out),
        km_arena_printf(&s->arena, "KERNMILL_SEED=%u", (unsigned)(seed >> 33)),
        km_arena_printf(&s->arena, "KERNMILL_PARENT=%s", built(s, PARENT)),
        km_arena_printf(&s->arena, "KERNMILL_CANDIDATE=%s", built(s, candidate)),
        km_arena_printf(&s->arena, "KERNMILL_METRICS=%s", metrics),
        "KERNMILL_RUN_DIR=",
        "PYTHONDONTWRITEBYTECODE=1",
        NULL,
    };
    int rc = 0;

    for (int i = 0; rc == 0 && i < ARMS; i++)
        rc = clean(s, i, out, err);
    if (rc == 0)
        rc = run_command(s, PARENT, s->e->holdout ? set->evaluate.holdout : set->evaluate.pair,
                         "the evaluation of both", env, err);
    return rc == 0 ? check(s, PARENT, "the evaluation of both", err) : rc;
}

static int run_both(struct session *s, int candidate, uint64_t seed, struct run r[ARMS],
                    km_err *err)
{
    int64_t began = km_clock_boot_ms();
    char *out = NULL, *metrics = NULL;
    int rc = make_places(s, &out, &metrics, err);

    s->blamed = candidate;
    if (rc == 0)
        rc = measure_both(s, candidate, seed, out, metrics, err);
    r[PARENT].wall_ms = r[CANDIDATE].wall_ms = (km_clock_boot_ms() - began) / 2;
    if (rc == 0)
        rc = read_both(s, metrics, r, err);
    s->blamed = ARMS;
    forget(out, metrics);
    return rc;
}

/* In one process, either of the two may have ended it. It was the candidate when two of the parent
 * end well there; else it is nobody's, and an error. */
static int run_together(struct session *s, uint64_t seed, struct run r[ARMS], km_err *err)
{
    struct run twice[ARMS];
    json_t *ended;
    int rc = run_both(s, CANDIDATE, seed, r, err);

    if (rc != 1)
        return rc;
    ended = s->ended;
    s->ended = NULL;
    rc = stamp_builds(s, err); /* what it changed is said in `ended` */
    if (rc == 0)
        rc = run_both(s, PARENT, seed, twice, err);
    if (rc < 0) {
        json_decref(ended);
        return rc;
    }
    s->ended = ended;
    return 1;
}

/* The candidate has ended it before the parent had its turn: where the parent does no better, it is
 * the evaluator's fault, and an error. */
static int try_parent(struct session *s, uint64_t seed, km_err *err)
{
    json_t *ended = s->ended;
    struct run unused;
    int rc;

    s->ended = NULL;
    rc = stamp_builds(s, err); /* what it changed is said in `ended` */
    if (rc == 0)
        rc = run_arm(s, PARENT, seed, &unused, err);
    if (rc < 0) {
        json_decref(ended);
        return rc;
    }
    s->ended = ended;
    return 1;
}

/* 1: the candidate ended all. */
static int run_pair(struct session *s, uint64_t seed, json_t *pairs, km_err *err)
{
    int first = (int)(seed & 1);
    struct run r[ARMS];
    int rc;

    if (s->w->settings.evaluate.pair) {
        rc = run_together(s, seed, r, err);
    } else {
        rc = run_arm(s, first, seed, &r[first], err);
        if (rc == 0)
            rc = run_arm(s, !first, seed, &r[!first], err);
        else if (rc == 1 && first == CANDIDATE)
            rc = try_parent(s, seed, err);
    }
    if (rc == 0 && json_array_append_new(pairs, pair_json(s, r, seed, first)) < 0)
        rc = km_fail_nomem(err);
    return rc;
}

/* --- all of it --- */

/* 1: the candidate ended all. */
static int build(struct session *s, int arm, km_err *err)
{
    char *out = NULL, *unused = NULL;
    int rc = make_places(s, &out, &unused, err);
    const char *env[] = { km_arena_printf(&s->arena, "KERNMILL_BUILD=%s", out),
                          "KERNMILL_RUN_DIR=", "PYTHONDONTWRITEBYTECODE=1", NULL };

    if (rc == 0)
        rc = run_command(s, arm, s->w->settings.evaluate.build, "its build", env, err);
    if (rc == 0)
        rc = check(s, arm, "its build", err);
    s->arms[arm].build = out;
    return rc == 0 ? km_built_stamp(out, &s->arms[arm].stamp, err) : rc;
}

static int make_trees(struct session *s, km_err *err)
{
    const km_list *open = &s->w->settings.workspace.change;
    bool swapped = s->e->seed & 2;
    int rc = 0;

    for (int i = 0; rc == 0 && i < ARMS; i++) {
        s->arms[i].tree = km_arena_printf(&s->arena, "%s/%c", s->scratch, "ab"[swapped ? !i : i]);
        rc = s->arms[i].tree ? km_worktree_add(s->w, s->arms[i].commit, s->arms[i].tree, err)
                             : km_fail_nomem(err);
        if (rc == 0)
            rc = km_worktree_image(s->w, &s->arena, s->arms[i].tree, s->arms[i].commit, s->scratch,
                                   &s->arms[i].image, err);
    }
    if (rc == 0)
        rc = km_manifest_make(&s->arena, s->arms[PARENT].tree, s->w->prefix, open->items,
                              open->count, &s->manifest, err);
    return rc;
}

/* Where a command needs the folder's absolute name: worktrees, and what the commands are told. */
static int set_scratch(struct session *s, const char *scratch, km_err *err)
{
    char *real = NULL;
    int rc = km_path_real(&s->arena, scratch, &real, err);

    s->scratch = real;
    s->block = km_block(&s->arena);
    return rc == 0 && !s->block ? km_fail_nomem(err) : rc;
}

static json_t *result_json(const struct session *s, json_t *pairs)
{
    json_t *doc = json_pack("{s:s,s:s,s:b,s:O}", "parent_commit", s->e->parent, "candidate_commit",
                            s->e->candidate, "holdout", s->e->holdout, "pairs", pairs);

    if (doc && s->ended)
        json_object_set(doc, "ended", s->ended);
    return doc;
}

int km_evaluate(km_workspace *w, const km_evaluation *e, const char *scratch, json_t **out,
                km_err *err)
{
    struct session s = { .w = w,
                         .e = e,
                         .arms = { { .commit = e->parent }, { .commit = e->candidate } },
                         .blamed = ARMS,
                         .arena = KM_ARENA_INIT };
    json_t *pairs = json_array();
    int rc = pairs ? set_scratch(&s, scratch, err) : km_fail_nomem(err);

    *out = NULL;
    if (rc == 0)
        rc = make_trees(&s, err);
    if (rc == 0)
        rc = check(&s, CANDIDATE, "its commit", err);
    for (int i = 0; rc == 0 && w->settings.evaluate.build && i < ARMS; i++)
        rc = build(&s, i, err);
    for (int64_t i = 0; rc == 0 && i < e->pairs; i++)
        rc = run_pair(&s, mix(e->seed + (uint64_t)i * 4), pairs, err);
    for (int i = 0; i < ARMS; i++)
        if (s.arms[i].tree)
            km_worktree_remove(w, s.arms[i].tree, NULL);
    if (rc >= 0 && !(*out = result_json(&s, pairs)))
        rc = km_fail_nomem(err);
    json_decref(s.ended);
    json_decref(pairs);
    km_arena_release(&s.arena);
    return rc < 0 ? rc : 0;
}
