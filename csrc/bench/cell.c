#include "bench/cell_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/cpu_sets.h"
#include "bench/heldout.h"
#include "bench/inputs.h"
#include "bench/late.h"
#include "bench/overwrite.h"
#include "bench/result_memory.h"
#include "bench/trace_check.h"
#include "bench/verify.h"
#include "core/limits.h"

#include <kernmill/op.h>

#define SAMPLE_MIN_US  1000.0      /* a sample is as many calls as take this long */
#define WARM_UP_MIN_US 50000.0     /* untimed rounds; torch is 10 % slower before (256 KiB) */
#define TORCH_MEMORY   "libc10.so" /* asks malloc for all tensors */

const char *const km_call_state_names[] = { "right",  "wrong",  "failed", "changed its inputs",
                                            "cheats", "missing" };

/* A cell under measurement. */
struct run {
    km_arena *a;
    const km_torch *t;
    const km_cell *cell;
    const km_bench_options *o;
    km_cell_result *out;
    km_random random;
    km_err call_err; /* here, so that no call pays for clearing it */
    size_t *next;    /* [calls]: the set that it walks over next */
    km_cpu_sets sets;
    uint64_t *hashes;          /* [sets][input_count] */
    size_t *order;             /* [sets]: in which one call has been made on them */
    km_late *looks;            /* [sets]: at the results of one call, in that order */
    km_prepared *prepared;     /* [calls][sets] */
    km_torch_tensor *returned; /* [calls][sets][KM_RETURNS_MAX]; NULL: none */
    km_cpu_sets *copies;       /* [calls]: of what each overwrites */
    size_t *fresh; /* [calls]: how many of its copies, from `next` on, are what the inputs are */
    const km_torch_tensor **given; /* [calls]: what each is given, [sets][input_count] */
};

double km_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static km_torch_tensor *inputs_of(const struct run *r, size_t set)
{
    return &r->sets.tensors[set * r->cell->op->input_count];
}

static km_torch_tensor *returned_by(const struct run *r, size_t call, size_t set)
{
    return &r->returned[(call * r->out->sets + set) * KM_RETURNS_MAX];
}

static const km_torch_tensor *given_to(const struct run *r, size_t call, size_t set)
{
    return &r->given[call][set * r->cell->op->input_count];
}

/* All results of a call; `out` has room for KM_RETURNS_MAX. */
static void results_of(const struct run *r, size_t call, size_t set, km_torch_tensor *out)
{
    km_overwrites_results(r->t, &r->cell->op->calls[call], returned_by(r, call, set),
                          given_to(r, call, set), out);
}

/* Brings a call's copies of what it overwrites back to what the inputs are. */
static void refresh(struct run *r, size_t call, size_t set)
{
    km_cpu_sets_refresh(r->t, &r->copies[call], &r->sets, set);
}

void km_set_state(km_arena *a, km_call_result *c, km_call_state state, const char *why)
{
    bool leaves = state != KM_CALL_WRONG && state != KM_CALL_CHEATS; /* nothing more is measured */

    if (c->state != KM_CALL_RIGHT && !(leaves && km_takes_part(c)))
        return;
    c->state = state;
    c->why = km_arena_strndup(a, why, strcspn(why, "\n"));
}

int km_cell_begin(km_arena *a, const km_bench_options *o, km_cell_result *out, km_err *err)
{
    const km_suite_op *op = out->cell.op;

    out->results = km_arena_array(a, op->call_count, sizeof *out->results);
    if (!out->results)
        return km_fail_nomem(err);
    for (size_t i = 0; i < op->call_count; i++) {
        const char *why = json_string_value(json_object_get(o->ended, op->calls[i].name));
        out->results[i].call = &op->calls[i];
        if (why)
            km_set_state(a, &out->results[i], KM_CALL_FAILED, why);
    }
    return 0;
}

int km_prepare_for(km_arena *a, const km_torch *t, const km_cell *cell, km_call_result *c,
                   const km_torch_tensor *inputs, km_prepared *out, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int rc;

    if (!km_takes_part(c))
        return 0;
    rc = km_prepare(a, t, cell, c->call, inputs, false, out, c->call->python ? &why : err);
    if (rc == 0 || !c->call->python)
        return rc;
    km_set_state(a, c, rc == KM_ENOENT ? KM_CALL_MISSING : KM_CALL_FAILED, why.message);
    return 0;
}

bool km_takes_part(const km_call_result *c)
{
    return c->state == KM_CALL_RIGHT || c->state == KM_CALL_WRONG || c->state == KM_CALL_CHEATS;
}

static void set_state(struct run *r, size_t call, km_call_state state, const char *why)
{
    km_set_state(r->a, &r->out->results[call], state, why);
}

static bool is_timed(const struct run *r, size_t call)
{
    return km_takes_part(&r->out->results[call]);
}

/* One call on one set, whose results replace those that stood there. */
static bool call_once(struct run *r, size_t call, size_t set)
{
    km_torch_tensor returned[KM_RETURNS_MAX] = { NULL }, *kept = returned_by(r, call, set);

    if (km_prepared_call(&r->prepared[call * r->out->sets + set], r->t, returned, &r->call_err) <
        0) {
        set_state(r, call, KM_CALL_FAILED, r->call_err.message);
        return false;
    }
    km_results_delete(r->t, kept);
    memcpy(kept, returned, sizeof returned);
    return true;
}

/* Refreshes the copies that the next sample overwrites, half a walk before it does: what is copied
 * now would still be in the cache. */
static void look_ahead(struct run *r, size_t call)
{
    size_t sets = r->out->sets, wanted = sets / 2;

    if (!r->copies[call].inputs)
        return;
    if (wanted < r->out->calls_a_sample)
        wanted = r->out->calls_a_sample;
    for (; r->fresh[call] < wanted; r->fresh[call]++)
        refresh(r, call, (r->next[call] + r->fresh[call]) % sets);
    r->fresh[call] -= r->out->calls_a_sample;
}

/* Whether the call's copies hold inputs that wait for the next samples, no results. */
static bool is_fresh(const struct run *r, size_t call, size_t set)
{
    return (set + r->out->sets - r->next[call]) % r->out->sets < r->fresh[call];
}

/* The time of one call, the mean of calls_a_sample that walk on over the sets; negative when one
 * failed. */
static double sample(struct run *r, size_t call)
{
    double start;

    look_ahead(r, call);
    start = km_now_us();
    for (size_t i = 0; i < r->out->calls_a_sample; i++) {
        if (!call_once(r, call, r->next[call]))
            return -1;
        r->next[call] = (r->next[call] + 1) % r->out->sets;
    }
    return (km_now_us() - start) / (double)r->out->calls_a_sample;
}

/* ---- set-up ---- */

static void hash_inputs(struct run *r)
{
    size_t n = r->out->sets * r->cell->op->input_count;

    for (size_t i = 0; i < n; i++)
        r->hashes[i] = km_tensor_hash(r->t, r->sets.tensors[i]);
}

static int make_copies(struct run *r, size_t call, km_err *err)
{
    const km_suite_call *c = &r->cell->op->calls[call];

    if (c->overwrites.count && km_cpu_sets_make(r->a, r->t, r->cell, c, r->out->sets, &r->random,
                                                &r->copies[call], err) < 0)
        return err->code;
    r->given[call] = km_overwrites_given(r->a, r->cell->op, c, r->sets.tensors,
                                         r->copies[call].tensors, r->out->sets);
    return r->given[call] ? 0 : km_fail_nomem(err);
}

static int make_sets(struct run *r, km_err *err)
{
    const km_suite_op *op = r->cell->op;

    if (km_cpu_sets_make(r->a, r->t, r->cell, NULL, r->out->sets, &r->random, &r->sets, err) < 0)
        return err->code;
    for (size_t call = 0; call < op->call_count; call++)
        if (make_copies(r, call, err) < 0)
            return err->code;
    for (size_t set = 0; set < r->out->sets; set++)
        for (size_t call = 0; call < op->call_count; call++)
            if (km_prepare_for(r->a, r->t, r->cell, &r->out->results[call], given_to(r, call, set),
                               &r->prepared[call * r->out->sets + set], err) < 0)
                return err->code;
    if (km_inputs_fill(r->t, r->cell, r->sets.tensors, r->out->sets, &r->random, err) < 0)
        return err->code;
    hash_inputs(r);
    return 0;
}

static int allocate(struct run *r, km_err *err)
{
    const km_suite_op *op = r->cell->op;
    size_t sets = r->out->sets, inputs = sets * op->input_count + 1;

    r->hashes = km_arena_array(r->a, inputs, sizeof *r->hashes);
    r->prepared = km_arena_array(r->a, op->call_count * sets, sizeof *r->prepared);
    r->returned = km_arena_array(r->a, op->call_count * sets * KM_RETURNS_MAX, sizeof *r->returned);
    r->next = km_arena_array(r->a, op->call_count, sizeof *r->next);
    r->fresh = km_arena_array(r->a, op->call_count, sizeof *r->fresh);
    r->copies = km_arena_array(r->a, op->call_count, sizeof *r->copies);
    r->given = km_arena_array(r->a, op->call_count, sizeof *r->given);
    r->looks = km_arena_array(r->a, sets, sizeof *r->looks);
    r->order = km_cpu_sets_order(r->a, sets);
    if (!r->looks || !r->order || !r->hashes || !r->prepared || !r->returned || !r->next ||
        !r->fresh || !r->copies || !r->given)
        return km_fail_nomem(err);
    if (km_cell_begin(r->a, r->o, r->out, err) < 0)
        return err->code;
    for (size_t i = 0; i < op->call_count; i++) {
        r->next[i] = i * sets / op->call_count; /* where no other call has just been */
        r->out->results[i].columns[KM_COLUMN_CALL].samples_us = km_arena_array(
            r->a, KM_BENCH_ROUNDS_MAX, sizeof(double));
        if (!r->out->results[i].columns[KM_COLUMN_CALL].samples_us)
            return km_fail_nomem(err);
    }
    return 0;
}

static void release(struct run *r)
{
    for (size_t i = 0; r->returned && i < r->cell->op->call_count; i++)
        for (size_t set = 0; set < r->out->sets; set++)
            km_results_delete(r->t, returned_by(r, i, set));
    for (size_t i = 0; r->prepared && i < r->cell->op->call_count * r->out->sets; i++)
        km_prepared_release(&r->prepared[i], r->t);
    for (size_t i = 0; r->copies && i < r->cell->op->call_count; i++)
        km_cpu_sets_release(r->t, &r->copies[i]);
    km_cpu_sets_release(r->t, &r->sets);
}

/* ---- timing ---- */

/* A sample of each call, the slowest of which is the result, in us. */
static double untimed_round(struct run *r)
{
    double slowest = 0;

    for (size_t call = 0; call < r->cell->op->call_count; call++) {
        double us = is_timed(r, call) ? sample(r, call) : 0;
        slowest = us > slowest ? us : slowest;
    }
    return slowest;
}

/* How many calls make a sample long enough, by the slowest; a copy that is overwritten serves one.
 */
static void warm_up(struct run *r)
{
    double slowest, end = km_now_us() + WARM_UP_MIN_US;

    r->out->calls_a_sample = 1;
    do
        slowest = untimed_round(r);
    while (km_now_us() < end);
    if (slowest > 0 && slowest < SAMPLE_MIN_US)
        r->out->calls_a_sample = (size_t)(SAMPLE_MIN_US / slowest) + 1;
    if (km_overwrites_any(r->cell->op) && r->out->calls_a_sample > r->out->sets)
        r->out->calls_a_sample = r->out->sets;
}

static void time_round(struct run *r)
{
    size_t order[KM_CALLS_MAX], n = 0;

    for (size_t i = 0; i < r->cell->op->call_count; i++)
        if (is_timed(r, i))
            order[n++] = i;
    km_random_shuffle(&r->random, order, n);
    for (size_t i = 0; i < n; i++)
        r->out->results[order[i]].columns[KM_COLUMN_CALL].samples_us[r->out->rounds] = sample(
            r, order[i]);
    r->out->rounds++;
}

/* A look: fills medians, ratios and verdicts; true when no verdict is open. */
static bool judge(struct run *r)
{
    const km_column *first = &r->out->results[0].columns[KM_COLUMN_CALL];
    bool settled = true;

    for (size_t i = 0; i < r->cell->op->call_count; i++) {
        km_column *c = &r->out->results[i].columns[KM_COLUMN_CALL];
        if (!is_timed(r, i))
            continue;
        km_judge(c, is_timed(r, 0) ? first : NULL, NULL, r->out->rounds, r->o->margin);
        settled &= !c->ratio.rounds || c->verdict != KM_UNDECIDED;
    }
    return settled;
}

static void time_rounds(struct run *r)
{
    double end;
    size_t look = km_next_look(0);

    r->out->first_sample_us = km_now_us();
    end = r->out->first_sample_us + r->o->budget_s * 1e6;
    while (r->out->rounds < KM_BENCH_ROUNDS_MAX) {
        time_round(r);
        if (r->out->rounds >= KM_LOOKS_MIN && km_now_us() > end)
            break;
        if (r->out->rounds < look)
            continue;
        if (judge(r))
            return;
        look = km_next_look(look);
    }
    judge(r);
}

/* ---- checking ---- */

static void compare(struct run *r, size_t call, size_t set, const km_torch_tensor *want, int count)
{
    km_call_result *c = &r->out->results[call];
    km_torch_tensor got[KM_RETURNS_MAX], like[KM_RETURNS_MAX];
    km_err err = KM_ERR_INIT;
    const char *mismatch;
    double error;

    results_of(r, call, set, got);
    results_of(r, km_suite_reference_index(r->cell->op), set, like);
    if (km_results_count(got) != count)
        set_state(r, call, KM_CALL_WRONG, "it returns another number of results");
    for (int i = 0; i < count && c->state == KM_CALL_RIGHT; i++) {
        mismatch = km_dtype_mismatch(r->a, r->t, got[i], like[i]);
        if (km_verify(r->t, got[i], want[i], &error, &err) < 0)
            set_state(r, call, KM_CALL_WRONG, err.message);
        if (mismatch)
            set_state(r, call, KM_CALL_WRONG, mismatch);
        c->error_ulp = error > c->error_ulp ? error : c->error_ulp;
        if (error > r->cell->op->tolerance)
            set_state(r, call, KM_CALL_WRONG, "a result is beyond the tolerance");
    }
}

/* All calls' results on one set, against the reference on a wider copy of its inputs. */
static int check_set(struct run *r, size_t set, km_torch_tensor *wide, km_err *err)
{
    km_torch_tensor want[KM_RETURNS_MAX] = { NULL };

    if (km_inputs_widen(r->t, r->cell, inputs_of(r, set), wide, err) < 0 ||
        km_call_once(r->a, r->t, r->cell, km_suite_reference(r->cell->op), wide, true, want, err) <
            0)
        return err->code;
    for (size_t call = 0; call < r->cell->op->call_count; call++)
        if (is_timed(r, call) && !is_fresh(r, call, set))
            compare(r, call, set, want, km_results_count(want));
    km_results_delete(r->t, want);
    return 0;
}

static int check_results(struct run *r, km_err *err)
{
    km_torch_tensor *wide = km_arena_array(r->a, r->cell->op->input_count + 1, sizeof *wide);
    int rc = wide ? km_inputs_make(r->t, r->cell, true, wide, err) : km_fail_nomem(err);

    if (rc < 0)
        return rc;
    for (size_t set = 0; set < r->out->sets && rc == 0; set++)
        rc = check_set(r, set, wide, err);
    km_inputs_delete(r->t, r->cell, wide);
    return rc;
}

/* New values in the same memory, and nothing right left in the old results: a call that keeps an
 * answer, or computes none, has nothing to show. */
static int renew(struct run *r, km_err *err)
{
    km_torch_tensor results[KM_RETURNS_MAX];

    if (km_inputs_fill(r->t, r->cell, r->sets.tensors, r->out->sets, &r->random, err) < 0)
        return KM_ENOMEM;
    hash_inputs(r);
    km_cpu_sets_guard(&r->sets);
    for (size_t call = 0; call < r->cell->op->call_count; call++) {
        km_cpu_sets_guard(&r->copies[call]);
        r->fresh[call] = 0;
        for (size_t set = 0; set < r->out->sets && is_timed(r, call); set++) {
            results_of(r, call, set, results);
            for (int i = 0; i < km_results_count(results); i++)
                km_poison(r->t, results[i], NULL);
        }
    }
    return 0;
}

/* The name of an input that is not what it was, or NULL. */
static const char *changed_input(const struct run *r)
{
    size_t n = r->cell->op->input_count;
    bool whole = km_cpu_sets_are_whole(&r->sets);

    for (size_t i = 0; i < r->out->sets * n; i++)
        if (km_tensor_hash(r->t, r->sets.tensors[i]) != r->hashes[i])
            return r->cell->op->inputs[i % n].name;
    for (size_t call = 0; call < r->cell->op->call_count; call++)
        whole = whole && km_cpu_sets_are_whole(&r->copies[call]);
    return whole ? NULL : "memory beside an input";
}

/* Makes the call on each set, and looks whether its results are complete when it returns. In random
 * order: in that in which the sets are walked over, results would lie as the walk goes, and a
 * sample would tell of its region of memory. */
static void call_sets(struct run *r, size_t call)
{
    km_torch_tensor results[KM_RETURNS_MAX];
    size_t sets = 0;

    r->fresh[call] = 0;
    km_random_shuffle(&r->random, r->order, r->out->sets);
    for (; sets < r->out->sets; sets++) {
        size_t set = r->order[sets];
        refresh(r, call, set);
        if (!call_once(r, call, set))
            break;
        results_of(r, call, set, results);
        km_late_look(r->t, results, &r->random, &r->looks[sets]);
    }
    for (size_t i = 0; i < sets; i++) {
        size_t set = r->order[i];
        results_of(r, call, set, results);
        if (km_late_changed(&r->looks[i]))
            set_state(r, call, KM_CALL_CHEATS, "it writes its results after it has returned");
        if (km_shares_memory(r->t, results, inputs_of(r, set), r->cell->op->input_count)) {
            km_results_delete(r->t, returned_by(r, call, set)); /* before it is poisoned */
            set_state(r, call, KM_CALL_FAILED, "it returns memory of an input");
        }
    }
}

/* Makes each call, alone; one that changes its inputs leaves the measurement, and the others are
 * given new ones. */
static int call_all(struct run *r, km_err *err)
{
    for (size_t call = 0; call < r->cell->op->call_count; call++) {
        const char *changed;
        if (is_timed(r, call))
            call_sets(r, call);
        changed = changed_input(r);
        if (!changed)
            continue;
        set_state(r, call, KM_CALL_CHANGED_INPUTS, changed);
        if (renew(r, err) < 0)
            return KM_ENOMEM;
        call = (size_t)-1; /* what was computed before was of the old values */
    }
    return 0;
}

/* What was timed; then new values. A call that spoiled inputs only while it was timed is found by
 * none of this, but the sets it spoiled are: then nobody's time is believed. */
static int check(struct run *r, km_err *err)
{
    const char *changed = changed_input(r);
    int rc = 0;

    for (size_t call = 0; changed && call < r->cell->op->call_count; call++)
        set_state(r, call, KM_CALL_CHANGED_INPUTS, "while it was timed, by one of the calls");
    if (!changed)
        rc = check_results(r, err);
    if (rc < 0 || changed)
        return rc;
    rc = renew(r, err);
    if (rc == 0)
        rc = call_all(r, err);
    return rc == 0 ? check_results(r, err) : rc;
}

/* The results of one set, with values that the parent has just drawn, for the auditor. */
static int audit(struct run *r, km_audit *audit, km_err *err)
{
    km_random random;
    uint64_t seed;

    if (!km_audit_begin(audit, &seed, err))
        return err ? err->code : 0;
    km_random_seed(&random, seed);
    if (km_inputs_fill(r->t, r->cell, inputs_of(r, 0), 1, &random, err) < 0)
        return KM_ENOMEM;
    for (size_t call = 0; call < r->cell->op->call_count; call++) {
        km_torch_tensor results[KM_RETURNS_MAX];
        if (!is_timed(r, call))
            continue;
        refresh(r, call, 0);
        if (!call_once(r, call, 0))
            continue;
        results_of(r, call, 0, results);
        if (km_audit_put(audit, r->t, r->cell->op->calls[call].name, results, err) < 0)
            return err->code;
    }
    return 0;
}

static int measure_cpu(km_arena *a, const km_torch *t, const km_cell *cell,
                       const km_bench_options *o, km_audit *au, km_cell_result *out, km_err *err)
{
    struct run r = { .a = a, .t = t, .cell = cell, .o = o, .out = out };
    int rc;

    km_random_seed(&r.random, out->seed);
    out->sets = km_cpu_sets_count(out->bytes, &out->cache_bytes);
    out->holds_results = km_result_memory_begin(TORCH_MEMORY);
    rc = allocate(&r, err);
    if (rc == 0)
        rc = make_sets(&r, err);
    if (rc == 0)
        rc = call_all(&r, err);
    if (rc == 0) {
        warm_up(&r);
        time_rounds(&r);
        rc = check(&r, err);
    }
    if (rc == 0)
        rc = audit(&r, au, err);
    if (rc == 0)
        rc = km_heldout_check(a, t, &r.random, out, err);
    if (rc == 0)
        rc = km_rule_check(a, t, &r.random, out, err);
    release(&r);
    km_result_memory_end();
    return rc;
}

int km_cell_measure(km_arena *a, const km_torch *t, const km_cell *cell, const km_bench_options *o,
                    uint64_t seed, km_audit *au, km_cell_result *out, km_err *err)
{
    km_variable variables[KM_EXPR_NAMES_MAX];
    size_t n = km_cell_variables(cell, variables);

    *out = (km_cell_result){ .cell = *cell, .seed = seed, .gpu = t->gpu };
    t->torch_get_num_threads(&out->threads);
    if (km_expr_value(cell->op->bytes, variables, n, &out->bytes, err) < 0 ||
        (cell->op->flops && km_expr_value(cell->op->flops, variables, n, &out->flops, err) < 0))
        return err->code;
    if (!(out->bytes > 0))
        return km_fail(err, KM_EFORMAT, "'bytes' is %g for this cell: how many are moved?",
                       out->bytes);
    return t->gpu ? km_cell_measure_gpu(a, t, cell, o, au, out, err)
                  : measure_cpu(a, t, cell, o, au, out, err);
}

double km_cell_light_us(const km_cell_result *r)
{
    double copy = r->yards[KM_YARD_COPY].median_us, empty = r->yards[KM_YARD_EMPTY].median_us;
    double early = r->yards[KM_YARD_EMPTY_EARLY].median_us;

    empty = early > 0 && early < empty ? early : empty;
    return copy > empty ? copy : empty;
}
