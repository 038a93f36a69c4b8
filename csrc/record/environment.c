#include "record/environment.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/proc.h"

static json_t *date_now(void)
{
    time_t now = time(NULL);
    char text[32];
    struct tm t;

    gmtime_r(&now, &t);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &t);
    return json_string(text);
}

/* The first "model name" of /proc/cpuinfo, read as a stream because its size is not known. */
static json_t *cpu_model(void)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[512], *colon;
    json_t *model = json_string("unknown");

    while (f && fgets(line, sizeof line, f)) {
        colon = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        json_decref(model);
        model = json_string(colon + 2);
        break;
    }
    if (f)
        fclose(f);
    return model;
}

static int git(const char *dir, const char *const *words, km_str *out)
{
    const char *argv[8] = { "git", "-C", dir };
    km_proc p = { .argv = argv, .timeout_ms = 10000 };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int rc;

    for (int i = 0; words[i]; i++)
        argv[3 + i] = words[i];
    rc = km_proc_check(&p, &r, NULL);
    km_str_add_bytes(out, r.out.data, r.out.length);
    km_proc_result_release(&r);
    return rc;
}

json_t *km_environment_commit(const char *dir)
{
    static const char *const head[] = { "rev-parse", "HEAD", NULL };
    static const char *const changed[] = { "status", "--porcelain", "-uno", NULL };
    km_str text = KM_STR_INIT, status = KM_STR_INIT;
    json_t *commit = NULL;

    if (dir && git(dir, head, &text) == 0 && text.length >= 40) {
        git(dir, changed, &status);
        commit = json_sprintf("%.40s%s", text.data, status.length ? "+" : "");
    }
    km_str_release(&text);
    km_str_release(&status);
    return commit ? commit : json_null();
}

json_t *km_environment(const char *version, const char *dir)
{
    struct utsname u;

    if (uname(&u) < 0)
        memset(&u, 0, sizeof u);
    return json_pack("{s:o,s:s,s:o,s:o,s:I,s:o}", "date", date_now(), "kernmill", version, "system",
                     json_sprintf("%s %s %s", u.sysname, u.release, u.machine), "cpu", cpu_model(),
                     "cores", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "commit",
                     km_environment_commit(dir));
}
