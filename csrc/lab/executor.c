#include "lab/executor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lab/lease.h"
#include "lab/run.h"

void km_executor_kill(km_executor *x, km_run *run, const char *why)
{
    if (run->killed)
        return;
    run->killed = why;
    x->cancel(x, run);
}

void km_executor_check_output(km_executor *x, km_run *run)
{
    const int64_t of_kind = run->kind->output_mb, of_all = x->settings->executor.output_mb;
    const int64_t mb = of_kind && of_kind < of_all ? of_kind : of_all;
    char path[KM_RUN_PATH_BYTES];
    struct stat s;

    if (stat(km_run_path(run, "output.log", path), &s) == 0 && s.st_size > mb << 20)
        km_executor_kill(x, run, "it printed more than its output limit");
}

void km_executor_say(const km_executor *x, const char *format, ...)
{
    char text[1024];
    va_list values;

    if (!x->say)
        return;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    x->say(x->context, text);
}

int64_t km_executor_poll_ms(const km_executor *x)
{
    return (int64_t)(x->settings->executor.poll_s * 1000);
}

int km_executor_store_id(km_lab *lab, char out[32], km_err *err)
{
    struct stat st;
    int64_t created;
    int rc = km_db_int(&lab->db, &created, 0, err, "SELECT min(created_us) FROM campaigns", "");

    if (rc == 0 && stat(lab->store, &st) < 0)
        rc = km_fail_errno(err, errno, "unable to look at '%s'", lab->store);
    if (rc == 0)
        snprintf(out, 32, "%" PRIx64 "-%" PRIx64, (uint64_t)created, (uint64_t)st.st_ino);
    return rc;
}

int km_executor_place(km_executor *x, km_run **runs, size_t count, km_err *err)
{
    bool own;
    int rc = km_db_enter(&x->lab->db, &own, err);

    for (size_t i = 0; rc >= 0 && i < count; i++)
        rc = km_lease_place(&x->lab->db, runs[i]->job, runs[i]->token, x->name, runs[i]->remote,
                            err);
    rc = km_db_leave(&x->lab->db, own, rc, err);
    return rc < 0 ? rc : 0;
}

void km_executor_quote(km_str *out, const char *text)
{
    km_str_add_char(out, '\'');
    for (; *text; text++)
        if (*text == '\'')
            km_str_add(out, "'\\''");
        else
            km_str_add_char(out, *text);
    km_str_add_char(out, '\'');
}
