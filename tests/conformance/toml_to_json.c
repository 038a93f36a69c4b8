/* toml_to_json [FILE...]: TOML as our parser sees it, for test_toml.py to compare with tomllib.
 *
 * One line of JSON a document (standard input without arguments). A value is {"type": T, "value":
 * V, "at": [line, column]}: V is a text for scalars, a list for arrays, and for tables a list of
 * [key, value, key line, key column], which keeps order and keys that hold zeros. A document that
 * was refused is {"error": message, "place": file:line:column, "code": code}.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/toml.h"

static json_t *text_json(const char *data, size_t length)
{
    return json_stringn(data, length);
}

static json_t *scalar_json(const km_toml *v)
{
    switch (v->kind) {
    case KM_TOML_INT:
        return json_sprintf("%" PRId64, v->integer);
    case KM_TOML_FLOAT:
        return json_sprintf("%.17g", v->real);
    case KM_TOML_BOOL:
        return json_string(v->boolean ? "true" : "false");
    default:
        return text_json(v->string.data, v->string.length);
    }
}

static json_t *value_json(const km_toml *v)
{
    json_t *value;

    if (v->kind == KM_TOML_ARRAY) {
        value = json_array();
        for (size_t i = 0; i < v->array.count; i++)
            json_array_append_new(value, value_json(v->array.items[i]));
    } else if (v->kind == KM_TOML_TABLE) {
        value = json_array();
        for (size_t i = 0; i < v->table.count; i++) {
            const km_toml_entry *e = &v->table.entries[i];
            json_array_append_new(value, json_pack("[ooii]", text_json(e->key, e->key_length),
                                                   value_json(e->value), (int)e->key_line,
                                                   (int)e->key_column));
        }
    } else {
        value = scalar_json(v);
    }
    return json_pack("{sssos[ii]}", "type", km_toml_kind_name(v->kind), "value", value, "at",
                     (int)v->line, (int)v->column);
}

static void print(const char *name, char *text, size_t size)
{
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_toml *doc;
    json_t *json;

    if ((text ? km_toml_parse(&a, text, size, name, &doc, &err)
              : km_toml_read(&a, name, &doc, &err)) == 0)
        json = value_json(doc);
    else
        json = json_pack("{sssssi}", "error", err.message, "place", err.place, "code", err.code);
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
    km_arena_release(&a);
}

static char input[KM_TOML_BYTES_MAX + 1];

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        print(argv[i], NULL, 0);
    if (argc < 2)
        print("standard input", input, fread(input, 1, sizeof input, stdin));
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
