#include "core/template.h"

#include <string.h>

#include "core/file.h"

static const char *look_up(const km_template_value *values, const char *key, size_t length)
{
    while (length && *key == ' ') {
        key++;
        length--;
    }
    while (length && key[length - 1] == ' ')
        length--;
    for (; values->key; values++)
        if (strlen(values->key) == length && memcmp(values->key, key, length) == 0)
            return values->value;
    return NULL;
}

int km_template_expand(const char *text, const char *name, const km_template_value *values,
                       km_str *out, km_err *err)
{
    const char *open;

    while ((open = strstr(text, "{{"))) {
        const char *close = strstr(open, "}}"), *value;
        if (!close)
            return km_fail(err, KM_EFORMAT, "template '%s': '{{' is never closed", name);
        value = look_up(values, open + 2, (size_t)(close - open - 2));
        if (!value)
            return km_fail(err, KM_EFORMAT, "template '%s': unknown key '%.*s'", name,
                           (int)(close - open - 2), open + 2);
        km_str_add_bytes(out, text, (size_t)(open - text));
        km_str_add(out, value);
        text = close + 2;
    }
    km_str_add(out, text);
    return km_str_check(out, err);
}

int km_template_expand_file(const char *path, const km_template_value *values, km_str *out,
                            km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    size_t size;
    char *text;
    int rc = km_file_read(&a, path, KM_TEXT_BYTES_MAX, &text, &size, err);

    if (rc == 0)
        rc = km_template_expand(text, path, values, out, err);
    km_arena_release(&a);
    return rc;
}
