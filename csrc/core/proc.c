#include "core/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/keep.h"
#include "core/path.h"

extern char **environ;

#define POLL_MS     20
#define READ_BYTES  16384
#define DRAIN_READS 64 /* 1 MiB, which is as much as a pipe holds */

#define GRACE_POLLS 50

/* What kill(2) wants: a process, or minus its group; 0 when no child runs. */
static volatile sig_atomic_t running;

void km_proc_interrupt(void)
{
    pid_t target = (pid_t)running, child = target < 0 ? -target : target;
    bool ended = false;

    if (!target)
        return;
    kill(target, SIGTERM);
    for (int i = 0; i < GRACE_POLLS && !ended; i++) {
        poll(NULL, 0, i ? POLL_MS : 0);
        ended = waitpid(child, NULL, WNOHANG) != 0;
    }
    if (target < 0 || !ended)
        kill(target, SIGKILL);
}

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whether `entry` ("NAME=value") sets the variable that `other` sets. */
static bool same_variable(const char *entry, const char *other)
{
    size_t n = strcspn(entry, "=") + 1;

    return strncmp(entry, other, n) == 0;
}

static char **make_environment(km_arena *a, const char *const *add)
{
    size_t ours = 0, more = 0, n = 0;
    char **env;

    while (environ[ours])
        ours++;
    while (add && add[more])
        more++;
    env = km_arena_array(a, ours + more + 1, sizeof *env);
    if (!env)
        return NULL;
    for (size_t i = 0; i < ours; i++) {
        bool replaced = false;
        for (size_t j = 0; j < more && !replaced; j++)
            replaced = same_variable(add[j], environ[i]);
        if (!replaced)
            env[n++] = environ[i];
    }
    for (size_t j = 0; j < more; j++)
        env[n++] = km_arena_strdup(a, add[j]);
    return env;
}

/* A child and the two pipes it is read through (-1: closed or shared). */
struct child {
    pid_t pid;
    int pidfd;
    int fd[2];
    km_str *text[2];
    size_t limit;
};

/* What a kept child becomes, in the fork of a fork. */
struct becoming {
    const km_proc *p;
    const char *program;
    char **env;
    int in, out, err;
};

static void become(void *context)
{
    const struct becoming *b = context;

    signal(SIGPIPE, SIG_DFL);
    if (dup2(b->in, 0) < 0 || dup2(b->out, 1) < 0 || dup2(b->err, 2) < 0 ||
        (b->p->cwd && chdir(b->p->cwd) < 0))
        _exit(126);
    execve(b->program, (char *const *)b->p->argv, b->env);
    _exit(127);
}

static int start_kept(const km_proc *p, const char *program, char **env, struct child *c,
                      km_err *err)
{
    int out[2] = { -1, -1 }, errors[2] = { -1, -1 }, in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct becoming b = { .p = p, .program = program, .env = env, .in = in };
    int rc = in < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0;

    b.out = out[1];
    b.err = errors[1];
    if (!rc)
        c->pid = km_keep_start(become, &b);
    if (rc || c->pid < 0)
        rc = km_fail_errno(err, errno, "unable to start '%s'", program);
    if (rc == 0) {
        running = -c->pid;
        c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
        c->fd[0] = out[0];
        c->fd[1] = errors[0];
        out[0] = errors[0] = -1;
    }
    for (int i = 0; i < 2; i++) {
        if (out[i] >= 0)
            close(out[i]);
        if (errors[i] >= 0)
            close(errors[i]);
    }
    if (in >= 0)
        close(in);
    return rc;
}

static int start(const km_proc *p, const char *program, char **env, struct child *c, km_err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t ignored_here;
    int pipes[2][2] = { { -1, -1 }, { -1, -1 } };
    short flags = POSIX_SPAWN_SETSIGDEF;
    int rc = 0;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    for (int i = 0; i < 2 && !p->share_output; i++) {
        if (pipe2(pipes[i], O_CLOEXEC) < 0) {
            rc = km_fail_errno(err, errno, "unable to make a pipe");
            goto out;
        }
        posix_spawn_file_actions_adddup2(&actions, pipes[i][1], i + 1);
        flags |= POSIX_SPAWN_SETPGROUP;
    }
    if (p->share_output)
        posix_spawn_file_actions_adddup2(&actions, 2, 1);
    else
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (p->cwd)
        posix_spawn_file_actions_addchdir_np(&actions, p->cwd);
    sigemptyset(&ignored_here);
    sigaddset(&ignored_here, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &ignored_here);
    posix_spawnattr_setflags(&attributes, flags);
    rc = posix_spawn(&c->pid, program, &actions, &attributes, (char *const *)p->argv, env);
    if (rc != 0) {
        rc = km_fail_errno(err, rc, "unable to start '%s'", program);
        goto out;
    }
    running = p->share_output ? c->pid : -c->pid;
    c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    c->fd[0] = pipes[0][0];
    c->fd[1] = pipes[1][0];
    pipes[0][0] = pipes[1][0] = -1;
out:
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            if (pipes[i][j] >= 0)
                close(pipes[i][j]);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* Where there is no pidfd (an old kernel, a seccomp filter) the end is asked for instead. */
static bool has_ended(const struct child *c)
{
    siginfo_t info = { 0 };

    return waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}

static int wait_ms(const struct child *c, bool ended, long long left)
{
    if (ended)
        return 0;
    if (c->pidfd < 0 && (left < 0 || left > POLL_MS))
        return POLL_MS;
    return left > 1000000 ? 1000000 : (int)left;
}

static int read_some(struct child *c, int i, km_err *err)
{
    char buffer[READ_BYTES];
    ssize_t n = read(c->fd[i], buffer, sizeof buffer);

    if (n < 0 && errno == EINTR)
        return 0;
    if (n < 0)
        return km_fail_errno(err, errno, "unable to read a child's output");
    if (n == 0) {
        close(c->fd[i]);
        c->fd[i] = -1;
        return 0;
    }
    if (c->text[i]->length + (size_t)n > c->limit)
        return km_fail(err, KM_ELIMIT, "a child wrote more than %zu bytes", c->limit);
    km_str_add_bytes(c->text[i], buffer, (size_t)n);
    return km_str_check(c->text[i], err);
}

/* Reads until the child has ended and both pipes are drained, or something is exceeded. A
 * grandchild that keeps a pipe open after the child's end is not waited for, nor listened to for
 * longer than it takes to read what was in the pipe by then. */
static int pump(struct child *c, int timeout_ms, km_err *err)
{
    long long deadline = timeout_ms ? now_ms() + timeout_ms : 0;
    bool ended = false;
    int drained = 0;

    for (;;) {
        struct pollfd polled[3] = { { c->fd[0], POLLIN, 0 },
                                    { c->fd[1], POLLIN, 0 },
                                    { ended ? -1 : c->pidfd, POLLIN, 0 } };
        long long left = deadline ? deadline - now_ms() : -1;
        int ready;
        if (deadline && left <= 0)
            return km_fail(err, KM_ETIME, "a child ran longer than %.1f s", timeout_ms / 1000.0);
        ready = poll(polled, 3, wait_ms(c, ended, left));
        if (ready < 0 && errno != EINTR)
            return km_fail_errno(err, errno, "unable to wait for a child");
        if (ended && (ready == 0 || drained++ == DRAIN_READS))
            return 0; /* a pipe is still open, by a grandchild */
        for (int i = 0; ready > 0 && i < 2; i++)
            if (c->fd[i] >= 0 && polled[i].revents && read_some(c, i, err) < 0)
                return err ? err->code : KM_EIO;
        if ((ready > 0 && polled[2].revents) || (c->pidfd < 0 && has_ended(c)))
            ended = true;
        if (ended && c->fd[0] < 0 && c->fd[1] < 0)
            return 0;
    }
}

static int finish(struct child *c, const km_proc *p, bool kill_it)
{
    int status = 0;

    if (kill_it && p->alone)
        km_keep_end(c->pid);
    else if (kill_it)
        kill(p->share_output ? c->pid : -c->pid, SIGKILL);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    running = 0;
    if (c->pidfd >= 0)
        close(c->pidfd);
    for (int i = 0; i < 2; i++)
        if (c->fd[i] >= 0)
            close(c->fd[i]);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int km_proc_run(const km_proc *p, km_proc_result *result, km_err *err)
{
    struct child c = { .pidfd = -1, .fd = { -1, -1 }, .text = { &result->out, &result->err } };
    km_arena a = KM_ARENA_INIT;
    const char *program = km_path_program(&a, p->argv[0]);
    char **env = make_environment(&a, p->env);
    int rc;

    c.limit = p->output_bytes_max ? p->output_bytes_max : KM_PROC_OUTPUT_BYTES_MAX;
    if (!env)
        rc = km_fail_nomem(err);
    else if (!program)
        rc = km_fail(err, KM_EENV, "program '%s' is not found", p->argv[0]);
    else if (p->cwd && !km_dir_exists(p->cwd))
        rc = km_fail(err, KM_ENOENT, "unable to start '%s' in '%s': it is not a folder", p->argv[0],
                     p->cwd);
    else
        rc = (p->alone ? start_kept : start)(p, program, env, &c, err);
    if (rc == 0) {
        rc = pump(&c, p->timeout_ms, err);
        result->exit_code = finish(&c, p, rc < 0);
    }
    km_arena_release(&a);
    return rc;
}

#define TAIL_BYTES 1500

int km_proc_check(const km_proc *p, km_proc_result *result, km_err *err)
{
    const km_str *s;
    const char *tail;
    int rc = km_proc_run(p, result, err);

    if (rc < 0 || result->exit_code == 0)
        return rc;
    s = result->err.length ? &result->err : &result->out;
    tail = s->length > TAIL_BYTES ? s->data + s->length - TAIL_BYTES : s->data;
    return km_fail(err, KM_ECHILD, "%s exited with %d%s%s", km_path_base(p->argv[0]),
                   result->exit_code, s->length ? ":\n" : "", tail);
}

void km_proc_result_release(km_proc_result *result)
{
    km_str_release(&result->out);
    km_str_release(&result->err);
    result->exit_code = 0;
}
