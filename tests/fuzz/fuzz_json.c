/* JSON from memory through our wrapper, and the typed members of whatever it was. */
#include <stdlib.h>

#include "formats/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    km_err err = KM_ERR_INIT;
    json_t *doc, *object = NULL;
    const char *text = "";
    int64_t n = 0;

    if (km_json_parse((const char *)data, size, "fuzz", &doc, &err) < 0) {
        if (!err.message[0] || doc)
            abort();
        return 0;
    }
    if (km_json_text(doc, "name", &text, "fuzz", &err) < 0 && !err.message[0])
        abort();
    km_json_int_optional(doc, "size", &n, "fuzz", &err);
    if (km_json_object(doc, "object", &object, "fuzz", &err) == 0)
        km_json_array_optional(object, "array", &object, "fuzz", &err);
    json_decref(doc);
    return 0;
}
