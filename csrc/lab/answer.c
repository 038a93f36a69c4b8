#include "lab/answer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"

#define TRIES 64 /* lines that could begin the object */

/* --- an object at the end of a text --- */

static size_t trim(const char *text, size_t n)
{
    while (n && strchr(" \t\r\n", text[n - 1]))
        n--;
    return n;
}

/* Without the fence that the text ends with. */
static size_t unfence(const char *text, size_t n)
{
    n = trim(text, n);
    return n >= 3 && memcmp(text + n - 3, "```", 3) == 0 ? trim(text, n - 3) : n;
}

/* The start of the line before the one that begins at `at`; or of the last, at the end. */
static size_t line_before(const char *text, size_t at)
{
    if (at && text[at - 1] == '\n')
        at--;
    while (at && text[at - 1] != '\n')
        at--;
    return at;
}

/* The last line from which on the text is an object. */
static json_t *last_object(const char *text, size_t n)
{
    size_t at = n = unfence(text, n), tries = 0;
    json_t *doc;

    while (at && tries < TRIES) {
        at = line_before(text, at);
        if (text[at] != '{')
            continue;
        tries++;
        doc = json_loadb(text + at, n - at, JSON_REJECT_DUPLICATES, NULL);
        if (doc)
            return doc;
    }
    return NULL;
}

/* --- what agents print for programs --- */

struct told {
    km_str text;
    bool given, failed;
    double tokens, money;
};

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void say(struct told *t, const json_t *text)
{
    if (!json_is_string(text))
        return;
    km_str_clear(&t->text);
    km_str_add(&t->text, json_string_value(text));
    t->given = true;
}

static void read_claude(struct told *t, const json_t *doc)
{
    const json_t *usage = json_object_get(doc, "usage");

    say(t, json_object_get(doc, "result"));
    t->failed = json_is_true(json_object_get(doc, "is_error"));
    t->money += number(doc, "total_cost_usd");
    t->tokens += number(usage, "input_tokens") + number(usage, "output_tokens") +
                 number(usage, "cache_creation_input_tokens") +
                 number(usage, "cache_read_input_tokens");
}

/* Codex counts what came from its cache among the input. */
static void read_codex(struct told *t, const char *type, const json_t *doc)
{
    const json_t *usage = json_object_get(doc, "usage"), *item = json_object_get(doc, "item");
    const char *kind = json_string_value(json_object_get(item, "type"));

    t->failed = strcmp(type, "turn.failed") == 0;
    if (strcmp(type, "turn.completed") == 0)
        t->tokens += number(usage, "input_tokens") + number(usage, "output_tokens");
    if (strcmp(type, "item.completed") == 0 && kind && strcmp(kind, "agent_message") == 0)
        say(t, json_object_get(item, "text"));
}

static void read_opencode(struct told *t, const char *type, const json_t *doc)
{
    const json_t *part = json_object_get(doc, "part"), *tokens = json_object_get(part, "tokens");
    const json_t *cache = json_object_get(tokens, "cache");

    if (strcmp(type, "text") == 0)
        say(t, json_object_get(part, "text"));
    if (strcmp(type, "step_finish") != 0)
        return;
    t->money += number(part, "cost");
    t->tokens += number(tokens, "input") + number(tokens, "output") + number(tokens, "reasoning") +
                 number(cache, "read") + number(cache, "write");
}

static void read_line(struct told *t, const char *line, size_t n)
{
    json_t *doc = *line == '{' ? json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *type = json_string_value(json_object_get(doc, "type"));

    if (type && strcmp(type, "result") == 0)
        read_claude(t, doc);
    else if (type && (km_starts_with(type, "turn.") || km_starts_with(type, "item.")))
        read_codex(t, type, doc);
    else if (type && json_is_object(json_object_get(doc, "part")))
        read_opencode(t, type, doc);
    json_decref(doc);
}

static void read_told(struct told *t, const char *output)
{
    while (*output) {
        size_t n = strcspn(output, "\n");
        read_line(t, output, n);
        output += n + (output[n] == '\n');
    }
}

/* NULL: nothing was said of it. */
static json_t *cost_of(const struct told *t)
{
    json_t *cost = t->tokens > 0 || t->money > 0 ? json_object() : NULL;

    if (t->tokens > 0)
        json_object_set_new(cost, "tokens", json_real(t->tokens));
    if (t->money > 0)
        json_object_set_new(cost, "money", json_real(t->money));
    return cost;
}

int km_answer_read(const char *output, json_t **out, json_t **cost, km_err *err)
{
    struct told t = { .text = KM_STR_INIT };
    int rc;

    read_told(&t, output);
    rc = km_str_check(&t.text, err);
    *cost = cost_of(&t);
    *out = NULL;
    if (rc == 0 && t.failed)
        rc = km_fail(err, KM_EFORMAT, "the agent says that it has failed: %.200s", t.text.data);
    if (rc == 0)
        *out = t.given ? last_object(t.text.data, t.text.length)
                       : last_object(output, strlen(output));
    if (rc == 0 && !*out)
        rc = km_fail(err, KM_EFORMAT, "it left no result.json, and its output ends with no object");
    if (*out && *cost)
        json_object_set(*out, "cost", *cost);
    km_str_release(&t.text);
    return rc;
}

/* --- of a run --- */

/* Negative: no file, which is what a worker made of it that put a pipe there. */
static off_t size_of(int fd)
{
    struct stat st;

    errno = EINVAL;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

/* The end of a file, at most KM_LAB_BODY_BYTES_MAX of it, as a text. */
static int read_end(km_arena *a, const char *path, char **out, km_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    off_t size = fd < 0 ? -1 : size_of(fd);
    off_t from = size > (off_t)KM_LAB_BODY_BYTES_MAX ? size - (off_t)KM_LAB_BODY_BYTES_MAX : 0;
    ssize_t n = -1;

    *out = size < 0 ? NULL : km_arena_alloc(a, (size_t)(size - from) + 1);
    if (*out)
        n = pread(fd, *out, (size_t)(size - from), from);
    if (fd >= 0)
        close(fd);
    return n < 0 ? km_fail_errno(err, errno, "unable to read '%s'", path) : 0;
}

/* The file that a role wrote wins over what it printed, whose cost it keeps. */
static int read_file(const char *path, json_t **out, const json_t *cost, km_err *err)
{
    int rc;

    json_decref(*out);
    rc = km_json_read(path, out, err);
    if (rc == 0 && !json_is_object(*out))
        rc = km_fail_at(err, KM_EFORMAT, "result.json", 0, 0, "this is no JSON object");
    if (rc == 0 && cost)
        json_object_set(*out, "cost", (json_t *)(uintptr_t)cost);
    return rc;
}

int km_answer_of_run(const char *dir, json_t **out, json_t **cost, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_err why = KM_ERR_INIT;
    char *log = km_path_join(&a, dir, "output.log"), *text = NULL;
    char *path = km_path_join(&a, dir, "result.json");
    int rc = log && path ? read_end(&a, log, &text, &why) : km_fail_nomem(&why);

    *out = *cost = NULL;
    if (rc == 0)
        rc = km_answer_read(text, out, cost, &why);
    if (path && km_file_exists(path)) {
        why = (km_err)KM_ERR_INIT;
        rc = read_file(path, out, *cost, &why);
    }
    if (rc < 0 && err)
        *err = why;
    km_arena_release(&a);
    return rc;
}
