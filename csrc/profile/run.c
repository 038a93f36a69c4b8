#include "profile/profile.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/proc.h"
#include "formats/json.h"

#define TAIL_BYTES 1500

/* What the document says instead of a profile. */
static int take_failure(const json_t *document, const char *script, const char *python, km_err *err)
{
    const json_t *exit = json_object_get(document, "exit");

    if (json_object_get(document, "missing")) {
        km_fail(err, KM_EENV, "'%s' has no torch that can be imported: %s", python,
                km_json_text_of(document, "missing"));
        return km_hint(err, "pip install 'torch>=2.10', or name another Python in KERNMILL_PYTHON");
    }
    if (json_object_get(document, "failed"))
        return km_fail(err, KM_ECHILD, "the script '%s' failed: %s", script,
                       km_json_text_of(document, "failed"));
    if (exit)
        return km_fail(err, KM_ECHILD, "the script '%s' ended with exit code %lld", script,
                       json_integer_value(exit));
    if (!json_object_get(document, "too_many"))
        return 0;
    km_fail(err, KM_ELIMIT, "the script '%s' calls more than %d operators", script,
            KM_PROFILE_EVENTS_MAX);
    return km_hint(err, "let it do fewer steps: a few show what a thousand show");
}

static int without_document(const char *script, const km_proc_result *r, km_err *err)
{
    const char *tail = r->err.data;

    tail += r->err.length > TAIL_BYTES ? r->err.length - TAIL_BYTES : 0;
    km_fail(err, KM_ECHILD,
            "the script '%s' ended its process (exit code %d) and left no profile%s%s", script,
            r->exit_code, *tail ? ":\n" : "", tail);
    return km_hint(err, "it must end by returning or by sys.exit, not by os._exit");
}

static int run_host(const km_profile_run *p, int fd, json_t **trace, km_err *err)
{
    const char *argv[KM_PROC_ARGS_MAX];
    char number[16], most[16], path[64];
    km_proc proc = { .argv = argv, .share_output = !p->quiet };
    km_proc_result r = KM_PROC_RESULT_INIT;
    size_t n = 0;
    int rc;

    snprintf(number, sizeof number, "%d", fd);
    snprintf(most, sizeof most, "%d", KM_PROFILE_EVENTS_MAX);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    argv[n++] = p->python;
    argv[n++] = p->host;
    argv[n++] = number;
    argv[n++] = most;
    for (const char *const *word = p->words; *word && n + 1 < KM_PROC_ARGS_MAX; word++)
        argv[n++] = *word;
    argv[n] = NULL;
    rc = km_proc_run(&proc, &r, err);
    if (rc == 0 && km_file_size(path, err) <= 0)
        rc = without_document(p->words[0], &r, err);
    if (rc == 0)
        rc = km_json_read(path, trace, err);
    if (rc == 0)
        rc = take_failure(*trace, p->words[0], p->python, err);
    km_proc_result_release(&r);
    return rc;
}

int km_profile_run_script(const km_profile_run *p, json_t **trace, km_err *err)
{
    int fd, rc;

    *trace = NULL;
    if (!km_file_exists(p->words[0])) {
        km_fail(err, KM_ENOENT, "there is no script '%s'", p->words[0]);
        return km_hint(err, "name a Python file: kernmill profile SCRIPT.py");
    }
    /* memory that has a descriptor: the script's own output keeps both streams, and nothing is left
     * behind when the run is cut short */
    fd = memfd_create("kernmill-profile", 0);
    if (fd < 0)
        return km_fail_errno(err, errno, "unable to make room for the profile");
    rc = run_host(p, fd, trace, err);
    if (rc < 0) {
        json_decref(*trace);
        *trace = NULL;
    }
    close(fd);
    return rc;
}
