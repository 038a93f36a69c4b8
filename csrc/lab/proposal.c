#include "lab/proposal.h"

#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "formats/json.h"

static int read_payload(km_arena *a, const json_t *doc, km_proposal *out, km_err *err)
{
    const json_t *payload = json_object_get(doc, "payload");
    char *text = payload ? json_dumps(payload, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    out->payload = km_arena_strdup(a, text ? text : "{}");
    if (!out->payload || (payload && !text)) {
        free(text);
        return km_fail_nomem(err);
    }
    free(text);
    return 0;
}

int km_proposal_read(km_arena *a, const json_t *doc, const char *name, km_proposal *p, km_err *err)
{
    int64_t priority = 0;

    *p = (km_proposal){ .text = "", .author = "", .source = "", .parent = "" };
    if (km_json_text(doc, "key", &p->key, name, err) < 0 ||
        km_json_text(doc, "title", &p->title, name, err) < 0 ||
        km_json_text_optional(doc, "text", &p->text, name, err) < 0 ||
        km_json_text_optional(doc, "author", &p->author, name, err) < 0 ||
        km_json_text_optional(doc, "source", &p->source, name, err) < 0 ||
        km_json_text_optional(doc, "parent", &p->parent, name, err) < 0 ||
        km_json_int_optional(doc, "priority", &priority, name, err) < 0)
        return KM_EFORMAT;
    p->priority = priority;
    if (!*p->key || strlen(p->key) > KM_LAB_NAME_BYTES_MAX)
        return km_fail_at(err, KM_EFORMAT, name, 0, 0, "'key' has 1 to %d bytes",
                          KM_LAB_NAME_BYTES_MAX);
    if (strlen(p->text) > KM_LAB_TEXT_BYTES_MAX)
        return km_fail_at(err, KM_ELIMIT, name, 0, 0, "'text' is longer than %u KiB",
                          KM_LAB_TEXT_BYTES_MAX >> 10);
    return read_payload(a, doc, p, err);
}

int km_proposal_take(km_db *db, km_arena *a, int64_t campaign, const json_t *list, const char *name,
                     int64_t *made, km_err *err)
{
    const json_t *one;
    size_t k;
    int rc = 0;

    *made = 0;
    json_array_foreach(list, k, one)
    {
        km_proposal p;
        int64_t id;
        bool is_new = false;
        if (rc == 0)
            rc = km_proposal_read(a, one, name, &p, err);
        if (rc == 0)
            rc = km_hypothesis_propose(db, campaign, &p, &id, &is_new, err);
        *made += is_new;
    }
    return rc;
}
