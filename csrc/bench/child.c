#include "bench/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/auditor.h"
#include "bench/channel.h"
#include "bench/host.h"

static bool wants_python(const km_session *s)
{
    return s->audits ? km_auditor_wants_python(s->suite) : km_suite_has_python(s->suite);
}

static void run_child(const km_session *s, int fd)
{
    char number[16], *request;

    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);   /* an interrupt of the program ends what it measures */
    dup2(STDERR_FILENO, STDOUT_FILENO); /* what libraries print is no result of ours */
    if (!km_host_wants_gpu(s))
        setenv("OMP_PROC_BIND", "true", 0); /* torch's threads stay where they are */
    if (!wants_python(s)) {
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

int km_child_start(const km_session *s, km_child *out, km_err *err)
{
    int fds[2];

    *out = (km_child){ 0 };
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return km_fail_errno(err, errno, "unable to make a pair of sockets");
    fflush(NULL); /* the child must not write it again */
    out->pid = fork();
    if (out->pid == 0) {
        close(fds[0]);
        run_child(s, fds[1]);
    }
    close(fds[1]);
    if (out->pid > 0)
        out->lines = fdopen(fds[0], "r");
    if (out->lines) {
        setvbuf(out->lines, NULL, _IONBF, 0); /* so that poll sees what is left to read */
        return 0;
    }
    close(fds[0]);
    km_child_end(out, true);
    return km_fail_errno(err, errno, "unable to start a process");
}

bool km_child_wait(const km_child *c, int ms)
{
    struct pollfd p = { .fd = fileno(c->lines), .events = POLLIN };
    int n;

    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

json_t *km_child_read(const km_child *c, bool *at_end)
{
    char *text = NULL;
    size_t room = 0;
    json_t *line = NULL;

    *at_end = getline(&text, &room, c->lines) < 0;
    if (!*at_end)
        line = json_loads(text, 0, NULL);
    free(text);
    return line;
}

int km_child_end(km_child *c, bool kill_it)
{
    int status = 0;

    if (c->pid > 0 && kill_it)
        kill(c->pid, SIGKILL);
    if (c->lines)
        fclose(c->lines);
    while (c->pid > 0 && waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    *c = (km_child){ 0 };
    return status;
}
