/* The reader of operator schemas (kernmill/detail/schema.h): any text is refused, or read into
 * fields that a call can use. */
#include <stdlib.h>
#include <string.h>

#include <kernmill/detail/schema.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Terminated within its array, and one that a message can show. */
static bool is_name(const char *name, const char *extra)
{
    size_t n = strnlen(name, KM_NAME_BYTES);

    for (size_t i = 0; i < n; i++)
        if (!km_identifier(&name[i]) && !strchr(extra, name[i]))
            return false;
    return n > 0 && n < KM_NAME_BYTES;
}

static bool is_parameter(const km_parameter *p)
{
    bool listable = p->type == KM_TYPE_TENSOR || p->type == KM_TYPE_INT ||
                    p->type == KM_TYPE_FLOAT || p->type == KM_TYPE_BOOL;

    return is_name(p->name, "") && p->type >= KM_TYPE_TENSOR && p->type <= KM_TYPE_DEVICE &&
           (listable || !p->list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *schema = malloc(size + 1); /* of its own size, so that a byte behind it is seen */
    struct km_signature s;
    struct km_schema_error e;

    if (!schema)
        return 0;
    memcpy(schema, data, size);
    schema[size] = '\0';
    if (!km_parse_schema(schema, &s, &e)) {
        if (!e.why || e.at < schema || e.at > schema + strlen(schema))
            abort();
    } else {
        if (!is_name(s.name, ".") || s.parameter_count < 0 || s.parameter_count > KM_ARGS_MAX ||
            s.result_count < 0 || s.result_count > KM_RETURNS_MAX)
            abort();
        for (int i = 0; i < s.parameter_count; i++)
            if (!is_parameter(&s.parameters[i]))
                abort();
    }
    free(schema);
    return 0;
}
