#include "core/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_NS   2000000L
#define LIST_BYTES 4096
#define FILES_MAX  1024 /* without close_range(2) */

/* The keeper's own state: it was forked, so it allocates nothing. */
struct keeper {
    pid_t parent, command;
    int status; /* the command's, once it has ended */
    bool ended;
};

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Ours would keep a pipe open, or a lock held, after its owner's end. */
static void close_files(void)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 0u, ~0u, 0u) == 0)
        return;
#endif
    for (int fd = 0; fd < FILES_MAX; fd++)
        close(fd);
}

/* --- its children --- */

/* Whether there are any left. */
static bool collect(struct keeper *k)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == k->command) {
            k->status = status;
            k->ended = true;
        }
    return pid == 0 || errno != ECHILD;
}

/* The kernel's list of our children, numbers with a space after each. Where it keeps none
 * (CONFIG_PROC_CHILDREN), the group has to do, and we are in it. */
static void kill_children(void)
{
    char path[64], text[LIST_BYTES];
    long pid = 0;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        kill(0, SIGKILL);
    while (fd >= 0 && (n = read(fd, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
                continue;
            }
            if (pid > 1)
                kill((pid_t)pid, SIGKILL);
            pid = 0;
        }
    close(fd);
}

/* Whether all are gone. A child's children are ours once it has ended. */
static bool end_all(struct keeper *k)
{
    const struct timespec pause = { 0, PAUSE_NS };
    long long deadline = now_ms() + KM_KEEP_MS;

    while (collect(k)) {
        if (now_ms() > deadline)
            return false;
        if (!k->ended)
            kill(k->command, SIGKILL);
        kill_children();
        if (collect(k))
            nanosleep(&pause, NULL);
    }
    return true;
}

/* --- its life --- */

/* Ends as the command did, for who waits for us. */
static _Noreturn void end_as(int status)
{
    const struct rlimit none = { 0, 0 };
    sigset_t all;

    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    setrlimit(RLIMIT_CORE, &none);
    signal(WTERMSIG(status), SIG_DFL);
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    raise(WTERMSIG(status));
    _exit(128 + WTERMSIG(status));
}

/* Until the command has ended: true; or somebody who may says that it shall: false. Those in the
 * group may not: a script's `kill 0` is meant for itself. */
static bool wait_for_end(struct keeper *k, const sigset_t *signals)
{
    siginfo_t info;

    for (;;) {
        int got = sigwaitinfo(signals, &info);
        collect(k);
        if (k->ended)
            return true;
        if (got == SIGTERM && (info.si_pid == k->parent || getppid() != k->parent))
            return false;
    }
}

static _Noreturn void keep(struct keeper *k)
{
    sigset_t signals;
    bool by_itself;

    close_files();
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGCHLD);
    by_itself = wait_for_end(k, &signals);
    if (!end_all(k) || !by_itself)
        raise(SIGKILL);
    end_as(k->status);
}

/* In the keeper: all signals are blocked. */
static _Noreturn void live(pid_t parent, const sigset_t *mask, void (*become)(void *),
                           void *context)
{
    struct keeper k = { .parent = parent };

    setpgid(0, 0);
    signal(SIGTERM, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || getppid() != parent)
        _exit(127);
    k.command = fork();
    if (k.command == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_SETMASK, mask, NULL);
        become(context);
        _exit(127);
    }
    if (k.command < 0)
        _exit(127);
    keep(&k);
}

pid_t km_keep_start(void (*become)(void *context), void *context)
{
    sigset_t all, before;
    pid_t parent = getpid(), keeper;
    int error;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    keeper = fork();
    if (keeper == 0)
        live(parent, &before, become, context);
    error = errno;
    if (keeper > 0)
        setpgid(keeper, keeper);
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return keeper;
}

void km_keep_end(pid_t keeper)
{
    kill(keeper, SIGTERM);
    kill(keeper, SIGCONT); /* it may have been stopped */
}
