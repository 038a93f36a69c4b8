#include "lab/search.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"

/* --- combinations --- */

static uint64_t total_of(const km_toml *space)
{
    uint64_t total = 1;

    for (size_t i = 0; i < space->table.count && total < 1u << 30; i++)
        total *= space->table.entries[i].value->array.count;
    return total;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The place of the i-th: a walk through all of them with a step that has no divisor in common with
 * their number meets each once. */
static uint64_t place(const km_lab_settings *s, uint64_t i, uint64_t total)
{
    uint64_t seed = (uint64_t)s->search.seed, step, start;

    if (strcmp(s->search.method, "sweep") == 0)
        return i;
    step = (seed * 6364136223846793005u + 1442695040888963407u) % total;
    start = (seed * 3935559000370003845u + 2691343689449507681u) % total;
    while (gcd(step, total) != 1)
        step = step % total + 1;
    return (start + i % total * step) % total;
}

static json_t *value_json(const km_toml *v)
{
    switch (v->kind) {
    case KM_TOML_INT:
        return json_integer((json_int_t)v->integer);
    case KM_TOML_FLOAT:
        return json_real(v->real);
    case KM_TOML_BOOL:
        return json_boolean(v->boolean);
    case KM_TOML_STRING:
        return json_string(v->string.data);
    default:
        return NULL;
    }
}

/* A value as the file has it: the text of a string in quotes, where the language wants them. */
static char *value_text(const json_t *v, bool quoted)
{
    if (json_is_string(v) && !quoted)
        return strdup(json_string_value(v));
    return json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
}

/* *title: "THREADS=64 VECTORS=2", released by the caller. */
static json_t *combination(const km_toml *space, uint64_t at, km_str *title)
{
    json_t *params = json_object();

    for (size_t i = space->table.count; i-- > 0;) {
        const km_toml_array *values = &space->table.entries[i].value->array;
        json_object_set_new(params, space->table.entries[i].key,
                            value_json(values->items[at % values->count]));
        at /= values->count;
    }
    for (size_t i = 0; i < space->table.count; i++) {
        const char *name = space->table.entries[i].key;
        char *text = value_text(json_object_get(params, name), false);
        km_str_printf(title, "%s%s=%s", i ? " " : "", name, text ? text : "?");
        free(text);
    }
    return params;
}

static int suggest(km_lab *lab, const km_toml *space, uint64_t at, json_t *out, km_err *err)
{
    km_str title = KM_STR_INIT;
    json_t *params = combination(space, at, &title);
    int64_t there = 0;
    int rc = km_str_check(&title, err);

    if (rc == 0 && title.length > KM_LAB_NAME_BYTES_MAX)
        rc = km_fail(err, KM_ELIMIT, "[search.space]: '%s' is longer than %d bytes", title.data,
                     KM_LAB_NAME_BYTES_MAX);
    if (rc == 0)
        rc = km_db_int(&lab->db, &there, 0, err,
                       "SELECT 1 FROM hypotheses WHERE campaign = ? AND key = ?", "it",
                       lab->campaign, title.data);
    if (rc == 0 && !there)
        rc = json_array_append_new(out, json_pack("{s:s,s:s,s:s,s:{s:O}}", "key", title.data,
                                                  "title", title.data, "author", "kernmill search",
                                                  "payload", "params", params));
    json_decref(params);
    km_str_release(&title);
    return rc;
}

int km_search_suggest(km_lab *lab, const km_lab_settings *s, int64_t wanted, json_t **out,
                      km_err *err)
{
    uint64_t total, limit;
    int rc = 0;

    *out = NULL;
    if (!s->search.given)
        return km_fail(err, KM_EUSAGE, "'%s/lab.toml' has no [search]", lab->root);
    total = total_of(s->search.space);
    limit = s->search.count && (uint64_t)s->search.count < total ? (uint64_t)s->search.count
                                                                 : total;
    *out = json_array();
    for (uint64_t i = 0; rc == 0 && i < limit && (int64_t)json_array_size(*out) < wanted; i++)
        rc = suggest(lab, s->search.space, place(s, i, total), *out, err);
    return rc;
}

bool km_search_halves(const km_lab_settings *s)
{
    return s->search.given && strcmp(s->search.method, "halving") == 0;
}

/* --- into a file --- */

typedef enum { AS_DEFINE, AS_JSON, AS_ASSIGNMENT } style;

static style style_of(const char *path)
{
    static const char *const c[] = { ".h", ".c", ".cu", ".cuh", ".cc", ".cpp", ".hpp" };

    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        if (strcmp(km_path_ext(path), c[i]) == 0)
            return AS_DEFINE;
    return strcmp(km_path_ext(path), ".json") == 0 ? AS_JSON : AS_ASSIGNMENT;
}

/* Where the value of `name` stands in a line, or NULL. */
static const char *find_value(const char *line, const char *name, style as)
{
    size_t n = strlen(name);

    line += strspn(line, " \t");
    if (as == AS_DEFINE) {
        if (strncmp(line, "#define", 7) != 0)
            return NULL;
        line += 7 + strspn(line + 7, " \t");
    }
    if (strncmp(line, name, n) != 0)
        return NULL;
    line += n;
    if (as == AS_DEFINE)
        return *line == ' ' || *line == '\t' ? line + strspn(line, " \t") : NULL;
    line += strspn(line, " \t");
    return *line == '=' && line[1] != '=' ? line + 1 + strspn(line + 1, " \t") : NULL;
}

static size_t value_length(const char *value)
{
    if (*value == '"' || *value == '\'') {
        size_t n = 1;
        while (value[n] && value[n] != '\n' && value[n] != *value)
            n++;
        return n + (value[n] == *value);
    }
    return strcspn(value, " \t\n,;#");
}

/* The text with the value of one name. 1: it was there. */
static int replace(const char *text, const char *name, const char *value, style as, km_str *out)
{
    int found = 0;

    while (*text) {
        const char *at = find_value(text, name, as);
        size_t length = strcspn(text, "\n") + (text[strcspn(text, "\n")] == '\n');
        if (at && at < text + length) {
            km_str_add_bytes(out, text, (size_t)(at - text));
            km_str_add(out, value);
            at += value_length(at);
            km_str_add_bytes(out, at, (size_t)(text + length - at));
            found = 1;
        } else {
            km_str_add_bytes(out, text, length);
        }
        text += length;
    }
    return found;
}

static int edit_text(km_arena *a, const char *path, const json_t *params, km_err *err)
{
    style as = style_of(path);
    km_str out = KM_STR_INIT;
    const char *name;
    json_t *value;
    char *text;
    size_t size;
    int rc = km_file_read(a, path, KM_LAB_BODY_BYTES_MAX, &text, &size, err);

    json_object_foreach((json_t *)params, name, value)
    {
        char *shown = value_text(value, as == AS_ASSIGNMENT);
        if (rc < 0 || !shown) {
            free(shown);
            continue;
        }
        km_str_clear(&out);
        if (!replace(text, name, shown, as, &out))
            rc = km_fail(err, KM_EFORMAT, "'%s' has no line '%s%s%s'", path,
                         as == AS_DEFINE ? "#define " : "", name, as == AS_DEFINE ? " " : " =");
        text = rc == 0 ? km_arena_strdup(a, out.data) : text;
        if (!text)
            rc = km_fail_nomem(err);
        free(shown);
    }
    km_str_release(&out);
    return rc == 0 ? km_file_update(path, text, strlen(text), 0644, err) : rc;
}

static int edit_json(const char *path, const json_t *params, km_err *err)
{
    json_t *doc = NULL, *value;
    const char *name;
    int rc = km_json_read(path, &doc, err);

    json_object_foreach((json_t *)params, name, value)
    {
        if (rc == 0 && !json_object_get(doc, name))
            rc = km_fail(err, KM_EFORMAT, "'%s' has no member '%s'", path, name);
    }
    if (rc == 0 && json_object_update_existing(doc, (json_t *)params) < 0)
        rc = km_fail(err, KM_EFORMAT, "'%s' is no object", path);
    if (rc == 0)
        rc = km_json_write(path, doc, err);
    json_decref(doc);
    return rc;
}

int km_search_check(km_lab *lab, const km_lab_settings *s, const char *tree, km_err *err)
{
    km_arena *a = &lab->arena;
    km_str title = KM_STR_INIT;
    json_t *first = combination(s->search.space, 0, &title);
    char *scratch = NULL, *from = km_path_join(a, tree, s->search.file), *to;
    int rc = from ? km_dir_temporary(a, "search", &scratch, err) : km_fail_nomem(err);

    to = rc == 0 ? km_path_join(a, scratch, s->search.file) : NULL;
    if (rc == 0)
        rc = to ? km_dir_make(km_path_dir(a, to), err) : km_fail_nomem(err);
    if (rc == 0)
        rc = km_file_copy(from, to, err);
    if (rc == 0)
        rc = km_search_edit(s, scratch, first, err);
    if (rc == KM_EFORMAT)
        km_hint(err, "[search.space] in '%s/lab.toml' names it", lab->root);
    if (scratch)
        km_dir_remove(scratch, NULL);
    km_str_release(&title);
    json_decref(first);
    return rc;
}

int km_search_edit(const km_lab_settings *s, const char *tree, const json_t *params, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    char *path = s->search.given ? km_path_join(&a, tree, s->search.file) : NULL;
    int rc;

    if (!s->search.given)
        rc = km_fail(err, KM_EUSAGE, "lab.toml has no [search]");
    else if (!path)
        rc = km_fail_nomem(err);
    else if (style_of(path) == AS_JSON)
        rc = edit_json(path, params, err);
    else
        rc = edit_text(&a, path, params, err);
    km_arena_release(&a);
    return rc;
}
