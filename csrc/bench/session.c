#include "bench/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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
    dprintf(fd, "{\"error\": %d, \"message\": \"unable to start Python\", \"hint\": \"\"}\n",
            KM_EENV);
    _exit(1);
}

/* ---- the parent ---- */

struct reader {
    const km_session *s;
    pid_t child;
    FILE *lines;
    char cell[512]; /* the one that is being measured */
    size_t done, total;
};

/* A cell has ten times its budget, and two minutes for inputs and checks. */
static int wait_for_line(const struct reader *r, km_err *err)
{
    struct pollfd p = { .fd = fileno(r->lines), .events = POLLIN };
    int ms = (int)(r->s->options.budget_s * 10e3) + 120000, n;

    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return 0;
    return km_fail(err, KM_ETIME, "%s takes longer than %d s; it was ended", r->cell, ms / 1000);
}

static int take_line(struct reader *r, const json_t *line, km_err *err)
{
    const char *starts = json_string_value(json_object_get(line, "starts"));
    const json_t *error = json_object_get(line, "error");

    if (starts) {
        snprintf(r->cell, sizeof r->cell, "the cell '%s'", starts);
        return 0;
    }
    if (error) {
        int code = (int)json_integer_value(error);
        const char *hint = json_string_value(json_object_get(line, "hint"));
        km_fail(err, code, "%s%s%s", r->cell, *r->cell ? ": " : "",
                json_string_value(json_object_get(line, "message")));
        if (hint && *hint)
            km_hint(err, "%s", hint);
        return code;
    }
    r->done++;
    return r->s->on_cell(r->s->context, line, err);
}

/* Until the child closes its end. */
static int read_lines(struct reader *r, km_err *err)
{
    char *text = NULL;
    size_t room = 0;
    int rc = 0;

    setvbuf(r->lines, NULL, _IONBF, 0); /* so that poll sees what is left to read */
    while (rc == 0) {
        json_t *line;
        rc = wait_for_line(r, err);
        if (rc < 0 || getline(&text, &room, r->lines) < 0)
            break;
        line = json_loads(text, 0, NULL);
        rc = line ? take_line(r, line, err)
                  : km_fail(err, KM_ECHILD, "%s left a line that is no record", r->cell);
        json_decref(line);
    }
    free(text);
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
        km_fail(err, KM_ECHILD, "%s ended the process (signal %d)",
                *r->cell ? r->cell : "loading torch and the libraries", WTERMSIG(status));
        return km_hint(err, "is the schema in the suite the operator's own?");
    }
    if (r->done < r->total)
        return km_fail(err, KM_ECHILD, "%s ended the process", r->cell);
    return 0;
}

int km_session_run(const km_session *s, km_err *err)
{
    struct reader r = { .s = s, .total = km_session_count(s) };
    int fds[2], rc;

    if (pipe(fds) < 0)
        return km_fail_errno(err, errno, "unable to make a pipe");
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
    r.lines = fdopen(fds[0], "r");
    rc = r.lines ? read_lines(&r, err) : km_fail_errno(err, errno, "unable to read a pipe");
    rc = end_child(&r, rc, err);
    if (r.lines)
        fclose(r.lines);
    return rc;
}
