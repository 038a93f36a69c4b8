#include "cli/findings.h"

static const char *severity_of(const km_finding *item)
{
    return item->severity == KM_FINDING_ERROR ? "error" : "warning";
}

void km_findings_print(const km_findings *f, FILE *to)
{
    for (size_t i = 0; i < f->count; i++) {
        const km_finding *item = &f->items[i];
        fprintf(to, "%s: %s: %s [%s]\n", item->place, severity_of(item), item->message, item->code);
        if (*item->hint)
            fprintf(to, "  %s\n", item->hint);
    }
}

json_t *km_findings_json(const km_findings *f)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < f->count; i++) {
        const km_finding *item = &f->items[i];
        json_array_append_new(rows,
                              json_pack("{s:s,s:s,s:s,s:s,s:s}", "severity", severity_of(item),
                                        "code", item->code, "place", item->place, "message",
                                        item->message, "hint", item->hint));
    }
    return rows;
}
