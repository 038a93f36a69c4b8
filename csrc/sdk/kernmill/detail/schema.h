/* kernmill/detail/schema.h: reads a schema once, when the library is loaded, so that a call knows
 * what each slot holds and an error can name its argument. */
#include "kernmill/op.h" /* the header that this one is a part of */

#ifndef KERNMILL_DETAIL_SCHEMA_H
#define KERNMILL_DETAIL_SCHEMA_H

#include <string.h>

#define KM_NAME_BYTES 64

typedef enum {
    KM_TYPE_TENSOR = 1,
    KM_TYPE_INT,
    KM_TYPE_FLOAT,
    KM_TYPE_BOOL,
    KM_TYPE_TEXT,
    KM_TYPE_DTYPE,
    KM_TYPE_DEVICE
} km_type;

typedef struct {
    char name[KM_NAME_BYTES];
    km_type type;
    bool optional; /* "T?": 0, or a pointer to a heap cell that holds the slot */
    bool list;     /* "T[]" */
    bool written;  /* "(a!)" */
} km_parameter;

struct km_signature {
    char name[KM_NAME_BYTES]; /* without the namespace */
    km_parameter parameters[KM_ARGS_MAX];
    int parameter_count;
    int result_count;
    unsigned aliased; /* a bit a result: "Tensor(a!)", an argument itself */
};

/* Where a schema is refused, and why. */
struct km_schema_error {
    const char *at;
    const char *why;
};

/* Keeps the first reason; returns false. */
static inline bool km_schema_refuse(struct km_schema_error *e, const char *at, const char *why)
{
    if (!e->why) {
        e->at = at;
        e->why = why;
    }
    return false;
}

/* Copies [from, to) when it fits. */
static inline bool km_copy_name(char out[KM_NAME_BYTES], const char *from, const char *to)
{
    size_t n = (size_t)(to - from);

    if (!n || n >= KM_NAME_BYTES)
        return false;
    memcpy(out, from, n);
    out[n] = '\0';
    return true;
}

/* How many bytes the name has that `text` begins with. */
static inline size_t km_identifier(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}

/* The type that `text` begins with, and how many bytes its name has. */
static inline km_type km_type_of(const char *text, size_t *length)
{
    static const struct {
        const char *name;
        km_type type;
    } known[] = { { "Tensor", KM_TYPE_TENSOR },    { "int", KM_TYPE_INT },
                  { "SymInt", KM_TYPE_INT },       { "float", KM_TYPE_FLOAT },
                  { "bool", KM_TYPE_BOOL },        { "str", KM_TYPE_TEXT },
                  { "ScalarType", KM_TYPE_DTYPE }, { "Device", KM_TYPE_DEVICE } };
    size_t n = km_identifier(text);

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i].name) == n && memcmp(known[i].name, text, n) == 0) {
            *length = n;
            return known[i].type;
        }
    return (km_type)0;
}

/* One parameter, "Tensor(a!) out" or "float eps=1e-6", in [p, end). */
static inline bool km_parse_parameter(const char *p, const char *end, km_parameter *out,
                                      struct km_schema_error *e)
{
    size_t length = 0;
    const char *start = p, *name;

    memset(out, 0, sizeof *out);
    out->type = km_type_of(p, &length);
    if (!out->type)
        return km_schema_refuse(e, p,
                                "expected a type: Tensor, int, SymInt, float, bool, str, "
                                "ScalarType or Device");
    p += length;
    if (p < end && *p == '(') {
        while (p < end && *p != ')')
            out->written |= *p++ == '!';
        p++;
    }
    if (p < end && *p == '[') {
        out->list = true;
        while (p < end && *p != ']')
            p++;
        p++;
    }
    if (p < end && *p == '?') {
        out->optional = true;
        p++;
    }
    if (out->list && (out->type == KM_TYPE_TEXT || out->type >= KM_TYPE_DTYPE))
        return km_schema_refuse(e, start, "lists are of Tensor, int, float or bool");
    if (p >= end || *p != ' ')
        return km_schema_refuse(e, p < end ? p : end, "expected a space and the argument's name");
    name = ++p;
    p += km_identifier(p);
    if (km_copy_name(out->name, name, p) && (p == end || *p == '=' || *p == ' '))
        return true;
    return km_schema_refuse(e, name, "expected a name of at most 63 letters, digits and '_'");
}

/* The end of the item that starts at `p`: a comma or the closing parenthesis outside brackets and
 * quotes, or NULL. */
static inline const char *km_item_end(const char *p)
{
    int depth = 0;
    char quote = 0;

    for (; *p; p++) {
        if (quote) {
            if (*p == '\\' && p[1])
                p++;
            else if (*p == quote)
                quote = 0;
        } else if (*p == '"' || *p == '\'') {
            quote = *p;
        } else if (*p == '(' || *p == '[') {
            depth++;
        } else if ((*p == ')' || *p == ']') && depth) {
            depth--;
        } else if ((*p == ',' || *p == ')') && !depth) {
            return p;
        }
    }
    return NULL;
}

static inline bool km_parse_parameters(const char **p, struct km_signature *s,
                                       struct km_schema_error *e)
{
    while (**p != ')') {
        const char *end = km_item_end(*p);
        if (!end)
            return km_schema_refuse(e, *p + strlen(*p), "expected ')'");
        if (s->parameter_count == KM_ARGS_MAX)
            return km_schema_refuse(e, *p, "too many arguments (KM_ARGS_MAX)");
        if (!(end - *p == 1 && **p == '*') && /* "*" only parts keyword arguments */
            !km_parse_parameter(*p, end, &s->parameters[s->parameter_count++], e))
            return false;
        *p = *end == ',' ? end + 1 + strspn(end + 1, " ") : end;
    }
    (*p)++;
    return true;
}

/* "Tensor", "(Tensor, Tensor(a!))" or "()". */
static inline bool km_parse_results(const char *p, struct km_signature *s,
                                    struct km_schema_error *e)
{
    bool several = *p == '(';

    p += several;
    while (*p && *p != ')') {
        size_t length = 0;
        if (km_type_of(p, &length) != KM_TYPE_TENSOR)
            return km_schema_refuse(e, p, "results are Tensors, or \"()\"");
        if (s->result_count == KM_RETURNS_MAX)
            return km_schema_refuse(e, p, "too many results (KM_RETURNS_MAX)");
        p += length;
        if (*p == '(') {
            s->aliased |= 1u << s->result_count;
            p += strcspn(p, ")");
            if (!*p++)
                return km_schema_refuse(e, p - 1, "expected ')'");
        }
        s->result_count++;
        if (*p == ' ') /* a result may have a name */
            p += 1 + km_identifier(p + 1);
        if (*p == ',')
            p += 1 + strspn(p + 1, " ");
        else if (*p && *p != ')')
            break;
    }
    if (several ? *p == ')' && !p[1] : !*p && s->result_count == 1)
        return true;
    return km_schema_refuse(e, p, several ? "expected ')' and the end" : "expected the end");
}

/* False, with *e, when the schema uses something this interface does not do. */
KM_OUTLINED bool km_parse_schema(const char *schema, struct km_signature *out,
                                 struct km_schema_error *e)
{
    const char *p = schema + km_identifier(schema);

    memset(out, 0, sizeof *out);
    *e = (struct km_schema_error){ NULL, NULL };
    if (*p == '.') /* "name.overload" */
        p += 1 + km_identifier(p + 1);
    if (!km_copy_name(out->name, schema, p))
        return km_schema_refuse(e, schema, "expected a name of at most 63 letters, digits and '_'");
    if (*p != '(')
        return km_schema_refuse(e, p, "expected '(' after the name, which has no namespace");
    p++;
    if (!km_parse_parameters(&p, out, e))
        return false;
    if (strncmp(p, " -> ", 4) != 0)
        return km_schema_refuse(e, p, "expected \" -> \" and the results");
    return km_parse_results(p + 4, out, e);
}

#endif
