#include "lab/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/str.h"
#include "formats/json.h"
#include "lab/workspace.h"

char *km_run_path(const km_run *run, const char *name, char out[KM_RUN_PATH_BYTES])
{
    snprintf(out, KM_RUN_PATH_BYTES, "%s/%s", run->dir, name);
    return out;
}

int km_run_name(km_run *r, const km_lab *lab, const char *folder, const km_job *job, km_err *err)
{
    int n = snprintf(r->dir, sizeof r->dir, "%s/%s/%" PRId64 "/%" PRId64,
                     folder ? folder : lab->root, folder ? "runs" : ".lab/runs", job->id,
                     job->token);

    r->job = job->id;
    r->token = job->token;
    r->hypothesis = job->hypothesis;
    r->input = "job.json";
    snprintf(r->key, sizeof r->key, "%s", job->key);
    if (n >= (int)sizeof r->dir)
        return km_fail(err, KM_ELIMIT, "the lab's path is too long");
    return 0;
}

static int write_job(km_run *r, const km_job *job, const char *store, km_err *err)
{
    json_t *payload = json_loads(job->payload, JSON_DECODE_ANY, NULL);
    json_t *doc = json_pack(
        "{s:i,s:I,s:I,s:I,s:s,s:s,s:I,s:s,s:o,s:s*}", "schema", 1, "job", (json_int_t)job->id,
        "token", (json_int_t)job->token, "attempt", (json_int_t)job->attempts, "key", job->key,
        "kind", job->kind, "hypothesis", (json_int_t)job->hypothesis, "store", store, "payload",
        payload ? payload : json_null(), "workspace", *r->tree ? r->tree : NULL);
    char path[KM_RUN_PATH_BYTES];
    int rc = doc ? km_json_write(km_run_path(r, "job.json", path), doc, err) : km_fail_nomem(err);

    json_decref(doc);
    return rc;
}

/* The git tree of an idea's work. */
static int make_tree(km_lab *lab, km_run *r, const km_job *job, km_err *err)
{
    const char *path = NULL;
    km_workspace w;
    int rc = strcmp(job->kind, "work") == 0 && job->hypothesis ? km_workspace_open(&w, lab, err)
                                                               : 0;

    *r->tree = '\0';
    if (rc > 0)
        rc = km_workspace_make(&w, &(km_worker_id){ job->hypothesis, job->id, job->token }, &path,
                               err);
    if (rc == 0 && path)
        snprintf(r->tree, sizeof r->tree, "%s", path);
    return rc;
}

/* What the command reads: the job, or a prompt and the job. */
static int make_input(km_run *r, km_err *err)
{
    char path[KM_RUN_PATH_BYTES], *prompt = NULL, *job = NULL;
    km_arena a = KM_ARENA_INIT;
    km_str text = KM_STR_INIT;
    size_t size;
    int rc;

    if (!r->kind->prompt)
        return 0;
    r->input = "input";
    rc = km_file_read(&a, r->kind->prompt, KM_LAB_BODY_BYTES_MAX, &prompt, &size, err);
    if (rc == 0)
        rc = km_file_read(&a, km_run_path(r, "job.json", path), KM_LAB_BODY_BYTES_MAX, &job, &size,
                          err);
    if (rc == 0) {
        km_str_printf(&text, "%s\n\nThe job:\n\n```json\n%s\n```\n", prompt, job);
        rc = km_str_check(&text, err);
    }
    if (rc == 0)
        rc = km_file_write(km_run_path(r, "input", path), text.data, text.length, 0644, err);
    km_str_release(&text);
    km_arena_release(&a);
    return rc;
}

int km_run_prepare(km_run *r, km_lab *lab, const char *folder, const km_job *job, km_err *err)
{
    int rc = km_run_name(r, lab, folder, job, err);

    if (rc == 0)
        rc = make_tree(lab, r, job, err);
    if (rc == 0)
        rc = km_dir_make(r->dir, err);
    if (rc == 0)
        rc = write_job(r, job, lab->store, err);
    return rc == 0 ? make_input(r, err) : rc;
}

void km_run_beat(const km_run *r)
{
    char path[KM_RUN_PATH_BYTES];
    int fd = open(km_run_path(r, "heartbeat", path), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0)
        return;
    futimens(fd, NULL);
    close(fd);
}

/* --- its result --- */

/* The end of a file, at most KM_LAB_BODY_BYTES_MAX of it, as a text. */
static int read_end(km_arena *a, const char *path, char **out, km_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)KM_LAB_BODY_BYTES_MAX ? size - (off_t)KM_LAB_BODY_BYTES_MAX : 0;
    ssize_t n = -1;

    *out = size < 0 ? NULL : km_arena_alloc(a, (size_t)(size - from) + 1);
    if (*out)
        n = pread(fd, *out, (size_t)(size - from), from);
    if (fd >= 0)
        close(fd);
    return n < 0 ? km_fail_errno(err, errno, "unable to read '%s'", path) : 0;
}

/* The last line of the output, when it is an object. */
static int last_line(km_arena *a, const km_run *r, char **out, km_err *err)
{
    char path[KM_RUN_PATH_BYTES], *text;
    size_t size;

    *out = NULL;
    if (read_end(a, km_run_path(r, "output.log", path), &text, err) < 0)
        return err ? err->code : KM_EIO;
    size = strlen(text);
    while (size && strchr(" \r\n", text[size - 1]))
        text[--size] = '\0';
    text = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
    *out = *text == '{' ? text : NULL;
    return 0;
}

int km_run_result(const km_run *r, char **body, double *tokens, km_err *err)
{
    char path[KM_RUN_PATH_BYTES], *line = NULL;
    km_arena a = KM_ARENA_INIT;
    json_t *doc = NULL;
    int rc;

    *body = NULL;
    if (km_file_exists(km_run_path(r, "result.json", path)))
        rc = km_json_read(path, &doc, err);
    else if ((rc = last_line(&a, r, &line, err)) == 0 && line)
        rc = km_json_parse(line, strlen(line), "output.log", &doc, err);
    if (rc == 0 && !json_is_object(doc))
        rc = km_fail(err, KM_EFORMAT, "it left no result.json, and its output ends with no object");
    if (rc == 0 && !(*body = json_dumps(doc, JSON_COMPACT)))
        rc = km_fail_nomem(err);
    *tokens = json_number_value(json_object_get(json_object_get(doc, "cost"), "tokens"));
    json_decref(doc);
    km_arena_release(&a);
    return rc;
}
