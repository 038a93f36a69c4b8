#include "formats/json.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/file.h"
#include "core/str.h"

/* jansson counts columns from 0 at the start of a line, and has -1 for no place at all. */
static int fail_parse(const json_error_t *e, const char *name, km_err *err)
{
    enum json_error_code code = json_error_code(e);
    unsigned line = e->line > 0 ? (unsigned)e->line : 0;
    unsigned column = e->column > 0 ? (unsigned)e->column : 1;

    if (code == json_error_out_of_memory)
        return km_fail_nomem(err);
    return km_fail_at(err, code == json_error_stack_overflow ? KM_ELIMIT : KM_EFORMAT, name, line,
                      column, "%s", e->text);
}

int km_json_parse(const char *text, size_t size, const char *name, json_t **out, km_err *err)
{
    json_error_t e;

    *out = NULL;
    if (size > KM_JSON_BYTES_MAX)
        return km_fail_at(err, KM_ELIMIT, name, 0, 0, "%zu bytes of JSON; the limit is %u", size,
                          KM_JSON_BYTES_MAX);
    *out = json_loadb(size ? text : "", size, JSON_REJECT_DUPLICATES, &e);
    return *out ? 0 : fail_parse(&e, name, err);
}

int km_json_read(const char *path, json_t **out, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    size_t size;
    char *text;
    int rc;

    *out = NULL;
    rc = km_file_read(&a, path, KM_JSON_BYTES_MAX, &text, &size, err);
    if (rc == 0)
        rc = km_json_parse(text, size, path, out, err);
    km_arena_release(&a);
    return rc;
}

static int append(const char *bytes, size_t size, void *text)
{
    km_str_add_bytes(text, bytes, size);
    return 0;
}

int km_json_write(const char *path, const json_t *json, km_err *err)
{
    km_str s = KM_STR_INIT;
    int rc, dumped = json_dump_callback(json, append, &s, JSON_INDENT(2));

    km_str_add_char(&s, '\n');
    rc = km_str_check(&s, err);
    if (rc == 0 && dumped < 0)
        rc = km_fail(err, KM_EBUG, "what is to be written to '%s' is no JSON document", path);
    if (rc == 0 && s.length > KM_JSON_BYTES_MAX)
        rc = km_fail(err, KM_ELIMIT, "'%s' would have %zu bytes of JSON; the limit is %u", path,
                     s.length, KM_JSON_BYTES_MAX);
    if (rc == 0)
        rc = km_file_update(path, s.data, s.length, 0666, err);
    km_str_release(&s);
    return rc;
}

/* --- typed members --- */

static const char *type_name(json_type type)
{
    switch (type) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_NULL:
        return "null";
    default:
        return "a boolean";
    }
}

/* *out is NULL when the member is missing or null and need not be there. */
static int member(const json_t *object, const char *key, json_type type, bool required,
                  json_t **out, const char *name, km_err *err)
{
    json_t *v = json_object_get(object, key);

    *out = NULL;
    if (!json_is_object(object))
        return km_fail_at(err, KM_EFORMAT, name, 0, 0, "found %s; expected an object with key '%s'",
                          object ? type_name(json_typeof(object)) : "nothing", key);
    if (!required && (!v || json_is_null(v)))
        return 0;
    if (!v)
        return km_fail_at(err, KM_EFORMAT, name, 0, 0, "key '%s' is missing; expected %s", key,
                          type_name(type));
    if (json_typeof(v) != type)
        return km_fail_at(err, KM_EFORMAT, name, 0, 0, "key '%s' is %s; expected %s", key,
                          type_name(json_typeof(v)), type_name(type));
    *out = v;
    return 0;
}

static int text_member(const json_t *object, const char *key, bool required, const char **out,
                       const char *name, km_err *err)
{
    json_t *v;
    int rc = member(object, key, JSON_STRING, required, &v, name, err);

    if (v)
        *out = json_string_value(v);
    return rc;
}

static int int_member(const json_t *object, const char *key, bool required, int64_t *out,
                      const char *name, km_err *err)
{
    json_t *v;
    int rc = member(object, key, JSON_INTEGER, required, &v, name, err);

    if (v)
        *out = json_integer_value(v);
    return rc;
}

static int container_member(const json_t *object, const char *key, json_type type, bool required,
                            json_t **out, const char *name, km_err *err)
{
    json_t *v;
    int rc = member(object, key, type, required, &v, name, err);

    if (v)
        *out = v;
    return rc;
}

int km_json_text(const json_t *object, const char *key, const char **out, const char *name,
                 km_err *err)
{
    return text_member(object, key, true, out, name, err);
}

int km_json_check_keys(const json_t *object, const char *const *known, const char *name,
                       km_err *err)
{
    const char *key, *near;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (known[i])
            continue;
        near = km_nearest(key, known);
        km_fail_at(err, KM_EFORMAT, name, 0, 0, "there is no key '%.64s' here", key);
        return near ? km_hint(err, "did you mean '%s'?", near) : KM_EFORMAT;
    }
    return 0;
}

int km_json_text_optional(const json_t *object, const char *key, const char **out, const char *name,
                          km_err *err)
{
    return text_member(object, key, false, out, name, err);
}

int km_json_int(const json_t *object, const char *key, int64_t *out, const char *name, km_err *err)
{
    return int_member(object, key, true, out, name, err);
}

int km_json_int_optional(const json_t *object, const char *key, int64_t *out, const char *name,
                         km_err *err)
{
    return int_member(object, key, false, out, name, err);
}

int km_json_object(const json_t *object, const char *key, json_t **out, const char *name,
                   km_err *err)
{
    return container_member(object, key, JSON_OBJECT, true, out, name, err);
}

int km_json_object_optional(const json_t *object, const char *key, json_t **out, const char *name,
                            km_err *err)
{
    return container_member(object, key, JSON_OBJECT, false, out, name, err);
}

int km_json_array(const json_t *object, const char *key, json_t **out, const char *name,
                  km_err *err)
{
    return container_member(object, key, JSON_ARRAY, true, out, name, err);
}

int km_json_array_optional(const json_t *object, const char *key, json_t **out, const char *name,
                           km_err *err)
{
    return container_member(object, key, JSON_ARRAY, false, out, name, err);
}

const char *km_json_text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "";
}

double km_json_number_of(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

json_t *km_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_string(value > 0 ? "inf" : "nan");
}
