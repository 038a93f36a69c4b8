#include "formats/toml_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_basic(km_str *s, const char *text)
{
    km_str_add_char(s, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            km_str_printf(s, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            km_str_printf(s, "\\u%04x", c);
        else
            km_str_add_char(s, (char)c);
    }
    km_str_add_char(s, '"');
}

void km_toml_add_key(km_str *s, const char *key)
{
    static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

    if (*key && !key[strspn(key, bare)])
        km_str_add(s, key);
    else
        add_basic(s, key);
}

/* Quotes and backslashes are common in JSON, and need no escapes in a literal string. */
static bool is_better_literal(const char *text)
{
    if (!strpbrk(text, "\"\\"))
        return false;
    for (; *text; text++)
        if (*text == '\'' || (unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

void km_toml_add_text(km_str *s, const char *text)
{
    if (is_better_literal(text))
        km_str_printf(s, "'%s'", text);
    else
        add_basic(s, text);
}

void km_toml_add_real(km_str *s, double value)
{
    char text[40];
    int digits = 1;

    if (!isfinite(value)) {
        km_str_add(s, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    do
        snprintf(text, sizeof text, "%.*g", digits, value);
    while (digits++ < 17 && strtod(text, NULL) != value);
    km_str_add(s, text);
    if (!strpbrk(text, ".e"))
        km_str_add(s, ".0");
}

static void add_table(km_str *s, const km_toml_table *t)
{
    km_str_add(s, "{");
    for (size_t i = 0; i < t->count; i++) {
        km_str_add(s, i ? ", " : " ");
        km_toml_add_key(s, t->entries[i].key);
        km_str_add(s, " = ");
        km_toml_add_value(s, t->entries[i].value);
    }
    km_str_add(s, t->count ? " }" : "}");
}

void km_toml_add_value(km_str *s, const km_toml *value)
{
    switch (value->kind) {
    case KM_TOML_STRING:
        km_toml_add_text(s, value->string.data);
        return;
    case KM_TOML_INT:
        km_str_printf(s, "%lld", (long long)value->integer);
        return;
    case KM_TOML_FLOAT:
        km_toml_add_real(s, value->real);
        return;
    case KM_TOML_BOOL:
        km_str_add(s, value->boolean ? "true" : "false");
        return;
    case KM_TOML_DATETIME:
        km_str_add(s, value->string.data);
        return;
    case KM_TOML_ARRAY:
        km_str_add(s, "[");
        for (size_t i = 0; i < value->array.count; i++) {
            km_str_add(s, i ? ", " : "");
            km_toml_add_value(s, value->array.items[i]);
        }
        km_str_add(s, "]");
        return;
    case KM_TOML_TABLE:
        add_table(s, &value->table);
        return;
    }
}
