/* Runs on this machine: each through the shell, and kept (core/keep.h), so that whatever it started
 * is killed at its end, when it is cancelled, and when this process is killed. Of [executor] it
 * knows gpus, cpu_seconds and memory_mb (limits of each process), and output_mb. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/keep.h"
#include "lab/clock.h"
#include "lab/executor.h"
#include "lab/run.h"

struct local {
    km_executor base;
    int *locks; /* of each GPU: held by a run of ours; -1: not by us */
};

/* --- the child --- */

static void limit(int what, int64_t value)
{
    const struct rlimit l = { (rlim_t)value, (rlim_t)value };

    if (value && setrlimit(what, &l) < 0)
        _exit(126);
}

static void export(const char *name, const char *value)
{
    if (setenv(name, value, 1) < 0)
        _exit(126);
}

struct worker {
    const struct local *x;
    const km_run *r;
    int in, out;
};

/* After fork; this process has one thread. */
static void become_worker(void *context)
{
    const struct worker *w = context;
    const struct local *x = w->x;
    const km_run *r = w->r;
    const km_lab_settings *s = x->base.settings;

    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    export("KERNMILL_RUN_DIR", r->dir);
    if (*r->tree)
        export("KERNMILL_WORKSPACE", r->tree);
    if (s->executor.gpus.given)
        export("CUDA_VISIBLE_DEVICES", r->gpu < 0 ? "" : s->executor.gpus.items[r->gpu]);
    limit(RLIMIT_CPU, s->executor.cpu_seconds);
    limit(RLIMIT_DATA, s->executor.memory_mb << 20);
    if (dup2(w->in, 0) < 0 || dup2(w->out, 1) < 0 || dup2(w->out, 2) < 0 ||
        chdir(*r->tree ? r->tree : x->base.lab->root) < 0)
        _exit(126);
    execl("/bin/sh", "sh", "-c", r->kind->command, (char *)NULL);
    _exit(127);
}

/* --- start --- */

/* One for all drivers of this lab. KM_ETIME: another has it. */
static int lock_gpu(const struct local *x, int i, km_err *err)
{
    km_str path = KM_STR_INIT;
    int fd;

    km_str_printf(&path, "%s/.lab/gpu-", x->base.lab->root);
    for (const char *c = x->base.settings->executor.gpus.items[i]; *c; c++)
        km_str_add_char(&path, *c == '/' ? '-' : *c);
    km_str_add(&path, ".lock");
    fd = path.failed ? km_fail_nomem(err) : km_file_lock(path.data, false, err);
    km_str_release(&path);
    return fd;
}

/* Runs that begin meanwhile have the descriptor, too: to close it is not enough. */
static void give_gpu(struct local *x, km_run *r)
{
    if (r->gpu < 0)
        return;
    flock(x->locks[r->gpu], LOCK_UN);
    close(x->locks[r->gpu]);
    x->locks[r->gpu] = -1;
}

/* 1: it has what it wants; 0: other drivers have those that are left. */
static int take_gpu(struct local *x, km_run *r, km_err *err)
{
    bool wanted = r->kind->gpu && x->base.gpus;

    r->gpu = -1;
    for (int i = 0; wanted && r->gpu < 0 && i < x->base.gpus; i++) {
        km_err why = KM_ERR_INIT;
        if (x->locks[i] >= 0)
            continue;
        x->locks[i] = lock_gpu(x, i, &why);
        if (x->locks[i] >= 0)
            r->gpu = i;
        else if (x->locks[i] != KM_ETIME) {
            if (err)
                *err = why;
            return x->locks[i];
        }
    }
    r->gpus = r->gpu >= 0;
    return !wanted || r->gpu >= 0;
}

static void begin(struct local *x, km_run *r)
{
    char path[KM_RUN_PATH_BYTES];
    int in = open(km_run_path(r, r->input, path), O_RDONLY | O_CLOEXEC);
    int out = open(km_run_path(r, "output.log", path),
                   O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    struct worker w = { x, r, in, out };

    r->pid = in < 0 || out < 0 ? -1 : km_keep_start(become_worker, &w);
    if (r->pid > 0) {
        r->running_ms = km_clock_boot_ms();
        r->state = KM_RUN_BEGUN;
        km_run_beat(r);
    } else {
        snprintf(r->why, sizeof r->why, "unable to start it: %s", strerror(errno));
        r->state = KM_RUN_ENDED;
        give_gpu(x, r);
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
}

static int start(km_executor *base, km_run **runs, size_t count, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc >= 0 && i < count; i++) {
        rc = take_gpu((struct local *)base, runs[i], err);
        if (rc == 1)
            begin((struct local *)base, runs[i]);
    }
    return rc < 0 ? rc : 0;
}

/* --- its end --- */

static void end(struct local *x, km_run *r, int status)
{
    r->state = KM_RUN_ENDED;
    r->good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFSIGNALED(status))
        snprintf(r->why, sizeof r->why, "ended by signal %d", WTERMSIG(status));
    else
        snprintf(r->why, sizeof r->why, "exit code %d; see %.180s/output.log", WEXITSTATUS(status),
                 strstr(r->dir, ".lab/") ? strstr(r->dir, ".lab/") : r->dir);
    r->gpu_seconds = r->gpus * (double)(km_clock_boot_ms() - r->running_ms) / 1000;
    give_gpu(x, r);
}

static int poll_all(km_executor *base, km_run **runs, size_t count, km_err *err)
{
    (void)err;
    for (size_t i = 0; i < count; i++) {
        siginfo_t ended = { 0 };
        km_run *r = runs[i];
        int status = 0;

        waitid(P_PID, (id_t)r->pid, &ended, WEXITED | WNOHANG | WNOWAIT);
        if (!ended.si_pid) {
            km_executor_check_output(base, r);
            continue;
        }
        if (waitpid(r->pid, &status, 0) < 0)
            status = SIGKILL;
        end((struct local *)base, r, status);
    }
    return 0;
}

static void cancel(km_executor *base, km_run *r)
{
    (void)base;
    if (r->state == KM_RUN_BEGUN)
        km_keep_end(r->pid);
}

static void release(km_executor *base)
{
    struct local *x = (struct local *)base;

    free(x->locks);
    free(x);
}

int km_executor_local(km_lab *lab, const km_lab_settings *settings, km_executor **out, km_err *err)
{
    struct local *x = calloc(1, sizeof *x);

    *out = NULL;
    if (!x || !(x->locks = calloc(settings->executor.gpus.count + 1, sizeof *x->locks))) {
        free(x);
        return km_fail_nomem(err);
    }
    for (size_t i = 0; i < settings->executor.gpus.count; i++)
        x->locks[i] = -1;
    x->base = (km_executor){ .name = "local",
                             .lab = lab,
                             .settings = settings,
                             .gpus = (int)settings->executor.gpus.count,
                             .start = start,
                             .poll = poll_all,
                             .cancel = cancel,
                             .free = release };
    *out = &x->base;
    return 0;
}
