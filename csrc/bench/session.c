#include "bench/session.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/auditor.h"
#include "bench/channel.h"
#include "bench/child.h"
#include "bench/guard.h"
#include "bench/watch.h"
#include "formats/json.h"

bool km_session_wants(const km_session *s, km_arena *a, const km_cell *cell)
{
    const char *text = km_arena_printf(a, "%s %s", cell->op->name, km_cell_text(a, cell));

    return !s->filter || (text && strstr(text, s->filter));
}

size_t km_session_count(const km_session *s)
{
    km_arena a = KM_ARENA_INIT;
    size_t n = 0;

    for (size_t i = 0; i < s->suite->op_count; i++)
        for (size_t j = 0; j < km_suite_cells(&s->suite->ops[i]); j++) {
            km_cell cell = km_suite_cell(&s->suite->ops[i], j);
            n += km_session_wants(s, &a, &cell);
        }
    km_arena_release(&a);
    return n;
}

bool km_session_cell(const km_session *s, km_arena *a, size_t number, km_cell *out)
{
    for (size_t i = 0; i < s->suite->op_count; i++)
        for (size_t j = 0; j < km_suite_cells(&s->suite->ops[i]); j++) {
            *out = km_suite_cell(&s->suite->ops[i], j);
            if (km_session_wants(s, a, out) && number-- == 0)
                return true;
        }
    return false;
}

/* The parent's side of a session. */
struct reader {
    km_session *s;
    const km_guard *guard;
    km_child measuring, auditor; /* the second is started when the first cell is measured */
    char cell[512];              /* the one that is being measured */
    bool failed;                 /* the child has said that it failed in it */
    json_t *ended;               /* the calls that ended the process in it */
    km_ticket ticket, audit;     /* its own, and of the inputs that it is audited on */
    size_t done, total;
};

/* What the child is at, for errors. */
static const char *subject(const struct reader *r)
{
    return *r->cell ? r->cell : "loading torch and the libraries";
}

/* It has SETTLE_MS to say which call it is in. */
static int end_slow(struct reader *r, int ms, km_err *err)
{
    enum { SETTLE_MS = 5000 };
    json_t *line;
    const char *call = NULL;
    bool at_end;

    kill(r->measuring.pid, SIGTERM);
    line = km_child_wait(&r->measuring, SETTLE_MS) ? km_child_read(&r->measuring, &at_end) : NULL;
    if (line)
        call = json_string_value(json_object_get(line, "hangs"));
    km_fail(err, KM_ETIME, "%s%s%s%s takes longer than %d s; it was ended", subject(r),
            call && *call ? ": '" : "", call ? call : "", call && *call ? "'" : "", ms / 1000);
    json_decref(line);
    return err ? err->code : KM_ETIME;
}

static int take_error(struct reader *r, const json_t *line, km_err *err)
{
    int code = (int)json_integer_value(json_object_get(line, "error"));
    const char *hint = json_string_value(json_object_get(line, "hint"));
    const char *message = json_string_value(json_object_get(line, "message"));

    km_fail(err, code < 0 ? code : KM_ECHILD, "%s%s%s", r->cell, *r->cell ? ": " : "",
            message ? message : "it failed");
    if (hint && *hint)
        km_hint(err, "%s", hint);
    r->failed = *r->ticket.word && code == KM_ECHILD;
    return code < 0 ? code : KM_ECHILD;
}

static int fail_forged(const struct reader *r, km_err *err)
{
    km_fail(err, KM_ECHILD,
            "%s: a forged record: its process wrote a line that is not the harness's", subject(r));
    return km_hint(err, "one of its calls writes to files that it did not open");
}

/* What a cell may take; two minutes are for inputs and checks. */
static int patience_ms(const km_session *s)
{
    double seconds = s->timeout_s > 0 ? s->timeout_s : s->options.budget_s * 10 + 120;

    return (int)(seconds * 1e3);
}

/* What the auditor says of the cell; NULL when it says nothing, and *why tells. */
static json_t *ask_auditor(struct reader *r, json_t *calls, char *why, size_t room)
{
    km_session audit = *r->s;
    km_err err = KM_ERR_INIT;
    char seed[17];
    json_t *answer = NULL;
    bool at_end;

    audit.audits = true;
    snprintf(seed, sizeof seed, "%016" PRIx64, r->audit.seed);
    if (!r->auditor.pid && km_child_start(&audit, &r->auditor, &err) < 0) {
        snprintf(why, room, "%.400s", err.message);
        return NULL;
    }
    snprintf(why, room, "the reference's own process ended");
    if (km_channel_send(fileno(r->auditor.lines),
                        json_pack("{s:I,s:s,s:O}", "cell", (json_int_t)r->done, "seed", seed,
                                  "calls", calls)) == 0) {
        if (km_child_wait(&r->auditor, patience_ms(r->s)))
            answer = km_child_read(&r->auditor, &at_end);
        else
            snprintf(why, room, "the reference's own process takes too long");
    }
    if (json_object_get(answer, "calls"))
        return answer;
    if (answer)
        snprintf(why, room, "%.400s", km_json_text_of(answer, "message"));
    json_decref(answer);
    km_child_end(&r->auditor, true); /* the next cell gets a new one */
    return NULL;
}

/* The cell's results before the process that holds the reference. "audit" is null once all that is
 * right was audited, else it says why not. */
static void audit(struct reader *r, json_t *line)
{
    json_t *calls = json_object_get(line, "audit"), *answer = NULL;
    char why[512] = "no results were handed over";

    if (json_is_object(calls))
        answer = ask_auditor(r, calls, why, sizeof why);
    if (!answer || !km_auditor_apply(line, answer, why, sizeof why))
        json_object_set_new(line, "audit", json_string(why));
    else
        json_object_set_new(line, "audit", json_null());
    json_decref(answer);
}

static int take_cell(struct reader *r, json_t *line, km_err *err)
{
    if (!km_channel_is_ours(line, &r->ticket))
        return fail_forged(r, err);
    r->ticket = (km_ticket){ 0 };
    audit(r, line);
    if (km_guard_check(r->guard, err) < 0)
        return err->code;
    r->done++;
    json_object_clear(r->ended);
    return r->s->on_cell(r->s->context, line, err);
}

static int take_line(struct reader *r, json_t *line, km_err *err)
{
    const char *starts = json_string_value(json_object_get(line, "starts"));
    int fd = fileno(r->measuring.lines);

    if (starts) {
        snprintf(r->cell, sizeof r->cell, "the cell '%s'", starts);
        return km_channel_admit(fd, &r->ticket, err);
    }
    if (json_object_get(line, "audits"))
        return km_channel_admit(fd, &r->audit, err);
    if (json_object_get(line, "error"))
        return take_error(r, line, err);
    return take_cell(r, line, err);
}

/* Until the child closes its end. */
static int read_lines(struct reader *r, km_err *err)
{
    int ms = patience_ms(r->s), rc = 0;

    while (rc == 0) {
        json_t *line;
        bool at_end;
        if (!km_child_wait(&r->measuring, ms))
            return end_slow(r, ms, err);
        line = km_child_read(&r->measuring, &at_end);
        if (at_end)
            return 0;
        rc = line ? take_line(r, line, err) : fail_forged(r, err);
        json_decref(line);
    }
    return rc;
}

/* ---- when the child is gone ---- */

/* How it ended, for an error and for the record. */
static void tell_end(const struct reader *r, int status, const km_err *said, char *out, size_t room)
{
    size_t n = strlen(r->cell);

    if (r->failed) /* the line is known where it is read */
        snprintf(out, room, "%.400s",
                 said->message + (strncmp(said->message, r->cell, n) == 0 ? n + 2 : 0));
    else if (WIFSIGNALED(status))
        snprintf(out, room, "the process ended (signal %d)", WTERMSIG(status));
    else
        snprintf(out, room, "the process ended (exit code %d)", WEXITSTATUS(status));
}

/* Whether the call of this name can be left out: the cell's, and not its reference. */
static bool can_do_without(const struct reader *r, const char *call)
{
    km_arena a = KM_ARENA_INIT;
    km_cell cell;
    bool there = false;

    if (*r->ticket.word && !json_object_get(r->ended, call) &&
        km_session_cell(r->s, &a, r->done, &cell))
        for (size_t i = 0; i < cell.op->call_count; i++)
            there |= i != km_suite_reference_index(cell.op) &&
                     strcmp(cell.op->calls[i].name, call) == 0;
    km_arena_release(&a);
    return there;
}

/* True when the cell is to be measured again, without the call that ended the process. Else *rc is
 * what the session ends with. */
static bool goes_on(struct reader *r, int *rc, km_err *err)
{
    int status = km_child_end(&r->measuring, *rc < 0);
    char call[256], how[512];

    km_watch_take(r->s->watch, call, sizeof call);
    if ((*rc < 0 && !r->failed) || (*rc == 0 && r->done == r->total && !WIFSIGNALED(status)))
        return false;
    tell_end(r, status, err, how, sizeof how);
    if (can_do_without(r, call) && json_object_set_new(r->ended, call, json_string(how)) == 0) {
        r->s->first = r->done;
        r->s->ended = r->ended;
        r->failed = false;
        r->ticket = (km_ticket){ 0 };
        *r->cell = '\0';
        *rc = 0;
        return true;
    }
    if (*rc < 0 && *call && !*err->hint)
        km_hint(err, "the call that was made last is '%s'", call);
    if (*rc == 0) {
        *rc = km_fail(err, KM_ECHILD, "%s%s%s%s: %s", subject(r), *call ? ": '" : "", call,
                      *call ? "'" : "", how);
        km_hint(err, "is the schema in the suite the operator's own?");
    }
    return false;
}

static int run(km_session *s, const km_guard *guard, km_err *err)
{
    struct reader r = { .s = s, .guard = guard, .total = km_session_count(s) };
    int rc;

    r.ended = json_object();
    do {
        rc = km_child_start(s, &r.measuring, err);
        if (rc == 0)
            rc = read_lines(&r, err);
    } while (goes_on(&r, &rc, err));
    km_child_end(&r.auditor, true); /* it is idle, or has given no answer */
    json_decref(r.ended);
    return rc;
}

int km_session_run(const km_session *s, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_session own = *s;
    km_guard guard;
    int rc = km_guard_take(&a, s, &guard, err);

    own.results = memfd_create("kernmill-results", 0); /* the children inherit it */
    own.watch = km_watch_make();
    if (rc == 0)
        rc = own.results < 0 || own.watch < 0 ? km_fail_errno(err, errno, "unable to share memory")
                                              : run(&own, &guard, err);
    if (own.results >= 0)
        close(own.results);
    if (own.watch >= 0)
        close(own.watch);
    km_arena_release(&a);
    return rc;
}
