#include "lab/jobs.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/base64.h"
#include "core/file.h"
#include "core/str.h"
#include "core/token.h"
#include "formats/json.h"
#include "lab/run.h"

#define ENVIRONMENT_BYTES_MAX (120u << 10) /* Linux takes 128 KiB of one variable */
#define NONCE_BYTES           33

/* For any image with a POSIX shell. The first shell was started with the nonce, which everybody can
 * read in /proc as long as it is there: so it hands it on through a pipe, and becomes another. Root
 * could still read it out of that one's memory. */
static const char first_script[] = "p=$(mktemp -u) && mkfifo \"$p\" || exit 126\n"
                                   "printf '%s\\n' \"$KERNMILL_NONCE\" >\"$p\" &\n"
                                   "KERNMILL_PIPE=$p exec env -u KERNMILL_NONCE sh -c \"$1\"\n";

static const char script[] =
    "read -r n <\"$KERNMILL_PIPE\"; rm -f \"$KERNMILL_PIPE\"; unset KERNMILL_PIPE\n"
    "d=$(mktemp -d) || exit 126\n"
    "export KERNMILL_RUN_DIR=\"$d\"\n"
    "printf %s \"$KERNMILL_JOB\" | base64 -d >\"$d/job.json\"\n"
    "printf %s \"$KERNMILL_INPUT\" | base64 -d >\"$d/input\"\n"
    "sh -c \"$KERNMILL_COMMAND\" <\"$d/input\" 2>&1\n"
    "c=$?; s=0\n"
    "echo\n"
    "if [ -f \"$d/result.json\" ]; then\n"
    "    s=$(wc -c <\"$d/result.json\")\n"
    "    base64 <\"$d/result.json\" | tr -d '\\n' | fold -w 1000 | sed \"s/^/$n /\"\n"
    "    echo\n"
    "fi\n"
    "echo $n end $c $s\n"
    "exit $c\n";

/* --- settings --- */

static double unit_seconds(const char *label)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = { { "second", 1 }, { "minute", 60 }, { "hour", 3600 } };

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(units[i].name, label) == 0)
            return units[i].seconds;
    return 0;
}

static int unknown_flavor(const json_t *hardware, const char *name, km_err *err)
{
    km_str names = KM_STR_INIT;
    const json_t *item;
    size_t i;

    json_array_foreach(hardware, i, item)
        km_str_printf(&names, "%s%s", i ? ", " : "", km_json_text_of(item, "name"));
    km_fail(err, KM_EUSAGE, "the Hub has no flavor '%s' for jobs", name);
    km_hint(err, "lab.toml's [executor] flavor is one of %.400s", names.data);
    km_str_release(&names);
    return KM_EUSAGE;
}

int km_jobs_read_flavor(const json_t *hardware, const char *name, km_jobs_flavor *out, km_err *err)
{
    const json_t *item, *accelerator;
    size_t i;

    json_array_foreach(hardware, i, item)
    {
        double unit = unit_seconds(km_json_text_of(item, "unitLabel"));
        if (strcmp(km_json_text_of(item, "name"), name) != 0)
            continue;
        if (unit <= 0)
            return km_fail(err, KM_EFORMAT, "the Hub's price of '%s' is by '%s', which is no time",
                           name, km_json_text_of(item, "unitLabel"));
        accelerator = json_object_get(item, "accelerator");
        out->money_s = km_json_number_of(item, "unitCostMicroUSD") / 1e6 / unit;
        out->gpus = strcmp(km_json_text_of(accelerator, "type"), "gpu") == 0
                        ? strtod(km_json_text_of(accelerator, "quantity"), NULL)
                        : 0;
        return 0;
    }
    return unknown_flavor(hardware, name, err);
}

int64_t km_jobs_read_time(const char *text)
{
    char *unit;
    double n = strtod(text, &unit);
    double factor = *unit == 'd' ? 86400 : *unit == 'h' ? 3600 : *unit == 'm' ? 60 : 1;

    if (unit == text || (*unit && (!strchr("smhd", *unit) || unit[1])) || !(n > 0) || n > 1e6)
        return 0;
    return (int64_t)(n * factor);
}

void km_jobs_slug(const char *text, char out[49])
{
    size_t n = 0;

    for (; *text && n < 48; text++) {
        int c = tolower((unsigned char)*text);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            out[n++] = (char)c;
        else if (n && out[n - 1] != '_')
            out[n++] = '_';
    }
    while (n && out[n - 1] == '_')
        n--;
    out[n] = '\0';
}

/* hf://buckets/ns/name[/path]:/mount[:ro]; also models, datasets, spaces with @revision. */
static json_t *read_volume(const char *text)
{
    static const char *const kinds[][2] = { { "buckets", "bucket" },
                                            { "models", "model" },
                                            { "datasets", "dataset" },
                                            { "spaces", "space" } };
    char kind[16], owner[128], name[256], rest[512], mount[512] = "", path[512] = "", mode[8] = "";
    const char *type = NULL;
    char *at;
    json_t *v;

    if (sscanf(text, "hf://%15[a-z]/%127[^/:]/%255[^/:]%511[^\n]", kind, owner, name, rest) != 4)
        return NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i][0], kind) == 0)
            type = kinds[i][1];
    if (sscanf(rest, "/%511[^:]:%511[^:]:%7s", path, mount, mode) < 2 &&
        sscanf(rest, ":%511[^:]:%7s", mount, mode) < 1)
        return NULL;
    if (!type || *mount != '/' || (*mode && strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0))
        return NULL;
    at = strchr(name, '@');
    if (at)
        *at++ = '\0';
    snprintf(kind, sizeof kind, "%s", type);
    v = json_pack("{s:s,s:o,s:s,s:s*,s:s*}", "type", kind, "source",
                  json_sprintf("%s/%s", owner, name), "mountPath", mount, "revision", at, "path",
                  *path ? path : NULL);
    if (v && *mode)
        json_object_set_new(v, "readOnly", json_boolean(strcmp(mode, "ro") == 0));
    return v;
}

int km_jobs_read_volumes(const km_list *volumes, json_t **out, km_err *err)
{
    *out = json_array();
    for (size_t i = 0; i < volumes->count; i++) {
        json_t *v = read_volume(volumes->items[i]);
        if (!v)
            return km_fail(err, KM_EFORMAT,
                           "lab.toml's [executor] volumes: '%s' is not "
                           "hf://buckets/OWNER/NAME[/PATH]:/MOUNT[:ro]",
                           volumes->items[i]);
        json_array_append_new(*out, v);
    }
    return 0;
}

/* --- what is asked for --- */

static int make_nonce(const km_run *run, char out[NONCE_BYTES], km_err *err)
{
    char path[KM_RUN_PATH_BYTES], *text;
    unsigned char bytes[(NONCE_BYTES - 1) / 2];
    km_arena a = KM_ARENA_INIT;
    size_t size;
    int rc = 0;

    if (km_file_read(&a, km_run_path(run, "nonce", path), NONCE_BYTES, &text, &size, NULL) == 0 &&
        size == NONCE_BYTES - 1) {
        memcpy(out, text, NONCE_BYTES);
    } else if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
        rc = km_fail(err, KM_EIO, "the kernel gives no random numbers");
    } else {
        for (size_t i = 0; i < sizeof bytes; i++)
            snprintf(out + 2 * i, 3, "%02x", bytes[i]);
        rc = km_file_write(path, out, NONCE_BYTES - 1, 0600, err);
    }
    km_arena_release(&a);
    return rc;
}

static int read_base64(const km_run *run, const char *name, km_str *out, km_err *err)
{
    char path[KM_RUN_PATH_BYTES], *data;
    km_arena a = KM_ARENA_INIT;
    size_t size;
    int rc = km_file_read(&a, km_run_path(run, name, path), KM_LAB_BODY_BYTES_MAX, &data, &size,
                          err);

    if (rc == 0)
        km_base64_add(out, data, size);
    if (rc == 0 && out->length > ENVIRONMENT_BYTES_MAX)
        rc = km_fail(err, KM_ELIMIT, "its %s is too long for an environment: %zu bytes as base64",
                     name, out->length);
    km_arena_release(&a);
    return rc == 0 ? km_str_check(out, err) : rc;
}

static json_t *make_environment(const km_run *run, km_err *err)
{
    km_str job = KM_STR_INIT, input = KM_STR_INIT;
    json_t *doc = NULL;

    if (read_base64(run, "job.json", &job, err) == 0 &&
        read_base64(run, run->input, &input, err) == 0) {
        doc = json_pack("{s:s,s:s,s:s}", "KERNMILL_JOB", job.data, "KERNMILL_INPUT", input.data,
                        "KERNMILL_COMMAND", run->kind->command);
        if (!doc)
            km_fail_nomem(err);
    }
    km_str_release(&job);
    km_str_release(&input);
    return doc;
}

static json_t *make_secrets(const km_executor *x, const km_run *run, km_err *err)
{
    const km_list *names = &x->settings->executor.secrets;
    char nonce[NONCE_BYTES];
    json_t *doc;

    if (make_nonce(run, nonce, err) < 0)
        return NULL;
    doc = json_pack("{s:s}", "KERNMILL_NONCE", nonce);
    for (size_t i = 0; doc && i < names->count; i++) {
        const char *value = km_token_variable(names->items[i]);
        if (!value)
            value = getenv(names->items[i]);
        if (!value) {
            km_fail(err, KM_EENV, "the secret %s of lab.toml's [executor] is no variable here",
                    names->items[i]);
            json_decref(doc);
            return NULL;
        }
        json_object_set_new(doc, names->items[i], json_string(value));
    }
    return doc ? doc : (km_fail_nomem(err), NULL);
}

/* The commit that is changed, for an evaluation; autolab calls it master. */
static void parent_of(const km_run *run, char out[49])
{
    char path[KM_RUN_PATH_BYTES];
    json_t *job = NULL;
    const json_t *payload;

    *out = '\0';
    if (km_json_read(km_run_path(run, "job.json", path), &job, NULL) == 0) {
        payload = json_object_get(job, "payload");
        km_jobs_slug(km_json_text_of(payload, "parent"), out);
    }
    out[12] = '\0';
    if (!*out)
        snprintf(out, 49, "none");
    json_decref(job);
}

static json_t *make_labels(const km_executor *x, const km_run *run, const char *store)
{
    char campaign[49], kind[49], master[49], experiment[49], worker[49], hypothesis[49], place[64];

    km_jobs_slug(x->lab->name, campaign);
    if (!*campaign)
        snprintf(campaign, sizeof campaign, "lab");
    km_jobs_slug(run->kind->kind ? run->kind->kind : "experiment", kind);
    parent_of(run, master);
    snprintf(experiment, sizeof experiment, "job_%" PRId64 "_%" PRId64, run->job, run->token);
    snprintf(worker, sizeof worker, "kernmill_%ld", (long)getpid());
    if (run->hypothesis)
        snprintf(hypothesis, sizeof hypothesis, "%" PRId64, run->hypothesis);
    else
        snprintf(hypothesis, sizeof hypothesis, "none");
    snprintf(place, sizeof place, "%" PRId64 ".%" PRId64, run->job, run->token);
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "autolab", "1", "mode", kind,
                     "launcher", "kernmill", "master", master, "campaign", campaign, "experiment",
                     experiment, "worker", worker, "hypothesis", hypothesis, KM_JOBS_LAB_LABEL,
                     store, KM_JOBS_RUN_LABEL, place);
}

static void set_image(json_t *spec, const char *image)
{
    static const char *const spaces[] = { "https://huggingface.co/spaces/", "https://hf.co/spaces/",
                                          "huggingface.co/spaces/", "hf.co/spaces/" };

    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
        if (km_starts_with(image, spaces[i])) {
            json_object_set_new(spec, "spaceId", json_string(image + strlen(spaces[i])));
            return;
        }
    json_object_set_new(spec, "dockerImage", json_string(image));
}

int km_jobs_spec(const km_executor *x, const km_run *run, const char *store, const json_t *volumes,
                 json_t **out, km_err *err)
{
    const km_lab_settings *s = x->settings;
    int64_t seconds = s->executor.timeout ? km_jobs_read_time(s->executor.timeout)
                                          : run->kind->limit_s;
    json_t *environment = make_environment(run, err);
    json_t *secrets = environment ? make_secrets(x, run, err) : NULL;

    *out = NULL;
    if (!secrets) {
        json_decref(environment);
        return err ? err->code : KM_EIO;
    }
    *out = json_pack("{s:[s,s,s,s,s],s:[],s:o,s:o,s:s,s:o}", "command", "/bin/sh", "-c",
                     first_script, "sh", script, "arguments", "environment", environment, "secrets",
                     secrets, "flavor", s->executor.flavor, "labels", make_labels(x, run, store));
    if (!*out)
        return km_fail_nomem(err);
    if (seconds)
        json_object_set_new(*out, "timeoutSeconds", json_integer((json_int_t)seconds));
    if (json_array_size(volumes))
        json_object_set(*out, "volumes", (json_t *)volumes);
    set_image(*out, s->executor.image);
    return 0;
}

/* --- its log --- */

static void take_line(km_jobs_log *l, const char *nonce, const char *line)
{
    const size_t n = strlen(nonce);
    const char *said = line + n + 1;
    km_str bytes = KM_STR_INIT;
    long long size;

    if (l->ended || km_starts_with(line, "===== Job started"))
        return;
    if (strncmp(line, nonce, n) != 0 || line[n] != ' ') {
        km_str_printf(&l->output, "%s\n", line);
        return;
    }
    l->ended = km_starts_with(said, "end ") && sscanf(said, "end %d %lld", &l->code, &size) == 2;
    if (!l->ended) {
        km_str_add(&l->result, said);
        return;
    }
    l->whole = km_base64_read(&bytes, l->result.data) && (long long)bytes.length == size;
    km_str_release(&l->result);
    l->result = bytes;
}

/* A server-sent event: data: {"data": LINE, "timestamp": ...}; the rest is none of the log. */
static void take_event(km_jobs_log *l, const char *nonce, const char *event, size_t size)
{
    json_t *doc = NULL;
    const char *at = event + strlen("data:");

    if (size < strlen("data:") || strncmp(event, "data:", strlen("data:")) != 0)
        return;
    doc = json_loadb(at, size - strlen("data:"), 0, NULL);
    if (json_is_string(json_object_get(doc, "data"))) {
        char *text = strdup(km_json_text_of(doc, "data")), *rest = text;
        for (char *line; rest && (line = strsep(&rest, "\n"));) {
            line[strcspn(line, "\r")] = '\0';
            take_line(l, nonce, line);
        }
        free(text);
    }
    json_decref(doc);
}

int km_jobs_parse_log(const char *nonce, const char *events, km_jobs_log *out, km_err *err)
{
    int rc;

    *out = (km_jobs_log){ .output = KM_STR_INIT, .result = KM_STR_INIT };
    while (*events && !out->ended) {
        size_t n = strcspn(events, "\n");
        take_event(out, nonce, events, n);
        events += n + (events[n] == '\n');
    }
    rc = km_str_check(&out->output, err);
    return rc == 0 ? km_str_check(&out->result, err) : rc;
}

void km_jobs_log_release(km_jobs_log *log)
{
    km_str_release(&log->output);
    km_str_release(&log->result);
}

static int write_log(const km_run *run, const km_jobs_log *l, km_err *err)
{
    char path[KM_RUN_PATH_BYTES];
    int rc = km_file_write(km_run_path(run, "output.log", path), l->output.data, l->output.length,
                           0644, err);

    if (rc == 0 && l->whole && l->result.length)
        rc = km_file_write(km_run_path(run, "result.json", path), l->result.data, l->result.length,
                           0644, err);
    return rc;
}

int km_jobs_read_log(const km_run *run, const char *events, int *code, km_err *err)
{
    km_jobs_log log = { .output = KM_STR_INIT, .result = KM_STR_INIT };
    char nonce[NONCE_BYTES];
    int rc = make_nonce(run, nonce, err);

    if (rc == 0)
        rc = km_jobs_parse_log(nonce, events, &log, err);
    if (rc == 0)
        rc = write_log(run, &log, err);
    *code = log.code;
    km_jobs_log_release(&log);
    return rc < 0 ? rc : log.whole;
}
