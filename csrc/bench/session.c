#include "bench/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/channel.h"
#include "bench/guard.h"
#include "bench/host.h"
#include "core/limits.h"

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

/* ---- the child ---- */

static void run_child(const km_session *s, int fd)
{
    char number[16], *request;

    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);   /* an interrupt of the program ends what it measures */
    dup2(STDERR_FILENO, STDOUT_FILENO); /* what libraries print is no result of ours */
    if (!km_host_wants_gpu(s))
        setenv("OMP_PROC_BIND", "true", 0); /* torch's threads stay where they are */
    if (!km_suite_has_python(s->suite)) {
        km_host_run(s, fd, NULL);
        _exit(0); /* torch's own exit handlers are not waited for */
    }
    snprintf(number, sizeof number, "%d", fd);
    request = km_session_text(s);
    if (request)
        execl(s->python, s->python, s->host, s->engine, request, number, (char *)NULL);
    km_channel_send(fd,
                    json_pack("{s:i,s:s}", "error", KM_EENV, "message", "unable to start Python"));
    _exit(1);
}

/* ---- the parent ---- */

struct reader {
    const km_session *s;
    const km_guard *guard;
    pid_t child;
    FILE *lines;
    char cell[512]; /* the one that is being measured */
    km_ticket ticket;
    size_t done, total;
};

/* What the child is at, for errors. */
static const char *subject(const struct reader *r)
{
    return *r->cell ? r->cell : "loading torch and the libraries";
}

static bool wait_for_line(const struct reader *r, int ms)
{
    struct pollfd p = { .fd = fileno(r->lines), .events = POLLIN };
    int n;

    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

/* One line of JSON; NULL at the end, and for a line that is none. */
static json_t *read_line(const struct reader *r, bool *at_end)
{
    char *text = NULL;
    size_t room = 0;
    json_t *line = NULL;

    *at_end = getline(&text, &room, r->lines) < 0;
    if (!*at_end)
        line = json_loads(text, 0, NULL);
    free(text);
    return line;
}

/* It has SETTLE_MS to say which call it is in. */
static int end_slow(struct reader *r, int ms, km_err *err)
{
    enum { SETTLE_MS = 5000 };
    json_t *line;
    const char *call = NULL;
    bool at_end;

    kill(r->child, SIGTERM);
    line = wait_for_line(r, SETTLE_MS) ? read_line(r, &at_end) : NULL;
    if (line)
        call = json_string_value(json_object_get(line, "hangs"));
    km_fail(err, KM_ETIME, "%s%s%s%s takes longer than %d s; it was ended", subject(r),
            call && *call ? ": '" : "", call ? call : "", call && *call ? "'" : "", ms / 1000);
    json_decref(line);
    return err ? err->code : KM_ETIME;
}

static int take_error(const struct reader *r, const json_t *line, km_err *err)
{
    int code = (int)json_integer_value(json_object_get(line, "error"));
    const char *hint = json_string_value(json_object_get(line, "hint"));
    const char *message = json_string_value(json_object_get(line, "message"));

    km_fail(err, code < 0 ? code : KM_ECHILD, "%s%s%s", r->cell, *r->cell ? ": " : "",
            message ? message : "it failed");
    if (hint && *hint)
        km_hint(err, "%s", hint);
    return code < 0 ? code : KM_ECHILD;
}

static int fail_forged(const struct reader *r, km_err *err)
{
    km_fail(err, KM_ECHILD,
            "%s: a forged record: its process wrote a line that is not the harness's", subject(r));
    return km_hint(err, "one of its calls writes to files that it did not open");
}

static int take_line(struct reader *r, json_t *line, km_err *err)
{
    const char *starts = json_string_value(json_object_get(line, "starts"));

    if (starts) {
        snprintf(r->cell, sizeof r->cell, "the cell '%s'", starts);
        return km_channel_admit(fileno(r->lines), &r->ticket, err);
    }
    if (json_object_get(line, "error"))
        return take_error(r, line, err);
    if (!km_channel_is_ours(line, &r->ticket))
        return fail_forged(r, err);
    r->ticket = (km_ticket){ 0 };
    if (km_guard_check(r->guard, err) < 0)
        return err->code;
    r->done++;
    return r->s->on_cell(r->s->context, line, err);
}

/* What a cell may take; two minutes are for inputs and checks. */
static int patience_ms(const km_session *s)
{
    double seconds = s->timeout_s > 0 ? s->timeout_s : s->options.budget_s * 10 + 120;

    return (int)(seconds * 1e3);
}

/* Until the child closes its end. */
static int read_lines(struct reader *r, km_err *err)
{
    int ms = patience_ms(r->s), rc = 0;

    setvbuf(r->lines, NULL, _IONBF, 0); /* so that poll sees what is left to read */
    while (rc == 0) {
        json_t *line;
        bool at_end;
        if (!wait_for_line(r, ms))
            return end_slow(r, ms, err);
        line = read_line(r, &at_end);
        if (at_end)
            return 0;
        rc = line ? take_line(r, line, err) : fail_forged(r, err);
        json_decref(line);
    }
    return rc;
}

static int end_child(struct reader *r, int rc, km_err *err)
{
    int status = 0;

    if (rc < 0)
        kill(r->child, SIGKILL);
    while (waitpid(r->child, &status, 0) < 0 && errno == EINTR)
        ;
    if (rc < 0)
        return rc;
    if (WIFSIGNALED(status)) {
        km_fail(err, KM_ECHILD, "%s ended the process (signal %d)", subject(r), WTERMSIG(status));
        return km_hint(err, "is the schema in the suite the operator's own?");
    }
    if (r->done < r->total)
        return km_fail(err, KM_ECHILD, "%s ended the process", subject(r));
    return 0;
}

static int run(const km_session *s, const km_guard *guard, km_err *err)
{
    struct reader r = { .s = s, .guard = guard, .total = km_session_count(s) };
    int fds[2], rc;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return km_fail_errno(err, errno, "unable to make a pair of sockets");
    fflush(NULL); /* the child must not write it again */
    r.child = fork();
    if (r.child == 0) {
        close(fds[0]);
        run_child(s, fds[1]);
    }
    close(fds[1]);
    if (r.child < 0) {
        close(fds[0]);
        return km_fail_errno(err, errno, "unable to start a process");
    }
    r.lines = fdopen(fds[0], "r"); /* written to by its number alone */
    rc = r.lines ? read_lines(&r, err) : km_fail_errno(err, errno, "unable to read from a socket");
    rc = end_child(&r, rc, err);
    if (r.lines)
        fclose(r.lines);
    return rc;
}

int km_session_run(const km_session *s, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_guard guard;
    int rc = km_guard_take(&a, s, &guard, err);

    if (rc == 0)
        rc = run(s, &guard, err);
    km_arena_release(&a);
    return rc;
}
