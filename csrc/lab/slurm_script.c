#include "lab/slurm_script.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/file.h"
#include "core/str.h"
#include "lab/run.h"

/* A number that Slurm runs again has the same id: then it begins anew. The heartbeat's loop ends
 * its own sleep, which would keep the job alive otherwise. */
static const char before[] =
    "mkdir \"$dir/begun\" 2>/dev/null || [ \"$(cat \"$dir/begun/id\")\" = \"$SLURM_JOB_ID\" ] ||\n"
    "    exit 0\n"
    "echo \"$SLURM_JOB_ID\" >\"$dir/begun/id\"\n"
    "[ ! -e \"$dir/cancelled\" ] || exit 99\n"
    "rm -f \"$dir/exit\" \"$dir/result.json\"\n"
    "exec <\"$dir/$input\" >\"$dir/output.log\" 2>&1\n"
    "export KERNMILL_RUN_DIR=\"$dir\"\n"
    "cd \"$folder\" || exit 126\n"
    "began=$(date +%s)\n"
    "(\n"
    "    trap 'kill $nap; exit' TERM\n"
    "    while :; do : >\"$dir/heartbeat\"; sleep 10 & nap=$!; wait $nap; done\n"
    ") <&- >/dev/null 2>&1 &\n"
    "heart=$!\n";

static const char after[] = "code=$?\n"
                            "kill $heart\n"
                            "echo \"$code $(($(date +%s) - began))\" >\"$dir/exit.new\"\n"
                            "mv \"$dir/exit.new\" \"$dir/exit\"\n"
                            "exit $code\n";

static void set(km_str *s, const char *name, const char *value)
{
    km_str_printf(s, "%s=", name);
    km_executor_quote(s, value);
    km_str_add_char(s, '\n');
}

static int write_script(const km_run *run, const char *name, km_str *s, km_err *err)
{
    char path[KM_RUN_PATH_BYTES];
    int rc = km_str_check(s, err);

    if (rc == 0)
        rc = km_file_write(km_run_path(run, name, path), s->data, s->length, 0755, err);
    km_str_release(s);
    return rc;
}

int km_slurm_write_task(const km_executor *x, const km_run *run, km_err *err)
{
    const km_lab_settings *settings = x->settings;
    const char *folder = settings->executor.folder ? settings->executor.folder : x->lab->root;
    km_str s = KM_STR_INIT;

    km_str_printf(&s, "#!/bin/sh\n# job %" PRId64 ", token %" PRId64 ": made by kernmill lab run\n",
                  run->job, run->token);
    set(&s, "dir", run->dir);
    set(&s, "input", run->input);
    set(&s, "folder", *run->tree ? run->tree : folder);
    km_str_add(&s, before);
    if (*run->tree)
        set(&s, "export KERNMILL_WORKSPACE", run->tree);
    km_str_add(&s, "(\n");
    if (settings->executor.cpu_seconds)
        km_str_printf(&s, "    ulimit -t %" PRId64 "\n", settings->executor.cpu_seconds);
    if (settings->executor.memory_mb)
        km_str_printf(&s, "    ulimit -d %" PRId64 "\n", settings->executor.memory_mb * 1024);
    km_str_add(&s, "    exec sh -c ");
    km_executor_quote(&s, run->kind->command);
    km_str_add(&s, "\n)\n");
    km_str_add(&s, after);
    return write_script(run, "task.sh", &s, err);
}

int km_slurm_write_array(km_run *const *runs, size_t count, km_err *err)
{
    km_str s = KM_STR_INIT;

    km_str_add(&s, "#!/bin/sh\ncase $SLURM_ARRAY_TASK_ID in\n");
    for (size_t i = 0; i < count; i++) {
        km_str_printf(&s, "%zu) dir=", i);
        km_executor_quote(&s, runs[i]->dir);
        km_str_add(&s, " ;;\n");
    }
    km_str_add(&s, "esac\nexec sh \"$dir/task.sh\"\n");
    return write_script(runs[0], "array.sh", &s, err);
}

bool km_slurm_read_exit(const km_run *run, int *code, double *seconds)
{
    char path[KM_RUN_PATH_BYTES], *text;
    km_arena a = KM_ARENA_INIT;
    size_t size;
    bool there = km_file_read(&a, km_run_path(run, "exit", path), 256, &text, &size, NULL) == 0 &&
                 sscanf(text, "%d %lf", code, seconds) == 2;

    km_arena_release(&a);
    return there;
}
