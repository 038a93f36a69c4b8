#include "profile/trace.h"

#include <string.h>

#include "core/limits.h"
#include "formats/json.h"

#define NAME          "the profile"
#define EVENT_MEMBERS 11
#define DIMS_MAX      64
/* Sums of as many as a document holds stay in range. */
#define BYTES_MAX ((int64_t)1 << 39)
#define NS_MAX    ((int64_t)1 << 44)

/* Reading goes on after the first error, which is remembered: the end asks once. */
struct reader {
    km_arena *a;
    km_profile_trace *out;
    const char *wrong; /* what part */
    size_t at;         /* of which row */
    bool no_memory;
};

static void fail(struct reader *r, const char *wrong, size_t at)
{
    if (!r->wrong) {
        r->wrong = wrong;
        r->at = at;
    }
}

/* A whole number between `least` and `most`; 0 when it is none, which is remembered. */
static int64_t number(struct reader *r, const json_t *value, int64_t least, int64_t most,
                      const char *what, size_t at)
{
    int64_t n = json_is_integer(value) ? json_integer_value(value) : INT64_MIN;

    if (n >= least && n <= most)
        return n;
    fail(r, what, at);
    return 0;
}

static size_t row(struct reader *r, const json_t *value, size_t count, const char *what, size_t at)
{
    return (size_t)number(r, value, 0, (int64_t)count - 1, what, at);
}

static void *array(struct reader *r, size_t count, size_t size)
{
    void *p = km_arena_array(r->a, count + 1, size);

    r->no_memory |= !p;
    return p;
}

static const int64_t *numbers(struct reader *r, const json_t *list, int64_t least, int64_t most,
                              const char *what, size_t at)
{
    int64_t *out = array(r, json_array_size(list), sizeof *out);
    const json_t *value;
    size_t i;

    json_array_foreach(list, i, value) if (out) out[i] = number(r, value, least, most, what, at);
    return out;
}

static const char *text(struct reader *r, const json_t *value, const char *what, size_t at)
{
    if (!json_is_string(value))
        fail(r, what, at);
    return json_is_string(value) ? json_string_value(value) : "";
}

static void read_tensor(struct reader *r, const json_t *value, size_t at)
{
    km_profile_tensor *t = &r->out->tensors[at];
    const json_t *sizes = json_array_get(value, 3), *strides = json_array_get(value, 4);
    const int64_t *stride = numbers(r, strides, INT64_MIN + 1, INT64_MAX, "tensors", at);

    t->dtype = text(r, json_array_get(value, 0), "tensors", at);
    t->bytes = number(r, json_array_get(value, 1), 0, 1024, "tensors", at);
    t->device = text(r, json_array_get(value, 2), "tensors", at);
    t->sizes = numbers(r, sizes, 0, INT64_MAX, "tensors", at);
    t->dims = json_array_size(sizes);
    if (!t->sizes || !stride || t->dims > DIMS_MAX)
        fail(r, "tensors", at);
    for (size_t i = 0; !r->wrong && i < t->dims; i++) {
        /* some layouts have no strides */
        int64_t n = i < json_array_size(strides) && stride[i] == 0 && t->sizes[i] ? 1 : t->sizes[i];
        t->bytes = n && t->bytes > BYTES_MAX / n ? BYTES_MAX : t->bytes * n;
    }
}

static void read_signature(struct reader *r, const json_t *value, size_t at)
{
    km_profile_signature *s = &r->out->signatures[at];
    size_t *tensors = array(r, json_array_size(value), sizeof *tensors), i;
    const json_t *tensor;

    s->tensors = tensors;
    s->count = json_array_size(value);
    json_array_foreach(value, i, tensor) if (tensors)
        tensors[i] = row(r, tensor, r->out->tensor_count, "signatures", at);
}

static void read_event(struct reader *r, const json_t *value, size_t at)
{
    static const char what[] = "events";
    km_profile_trace *t = r->out;
    km_profile_event *e = &t->events[at];
    const json_t *storages = json_array_get(value, 8), *memory = json_array_get(value, 9);
    size_t deepest = at && t->events[at - 1].thread ==
                                 row(r, json_array_get(value, 2), KM_PROFILE_EVENTS_MAX, what, at)
                         ? t->events[at - 1].depth + 1
                         : 0;

    e->depth = row(r, json_array_get(value, 0), deepest + 1, what, at);
    e->name = row(r, json_array_get(value, 1), t->name_count, what, at);
    e->thread = row(r, json_array_get(value, 2), KM_PROFILE_EVENTS_MAX, what, at);
    e->start_ns = number(r, json_array_get(value, 3), 0, INT64_MAX / 2, what, at);
    e->duration_ns = number(r, json_array_get(value, 4), 0, NS_MAX, what, at);
    e->device_ns = number(r, json_array_get(value, 5), 0, NS_MAX, what, at);
    e->kernels = row(r, json_array_get(value, 6), UINT32_MAX, what, at);
    e->signature = row(r, json_array_get(value, 7), t->signature_count, what, at);
    e->storages = numbers(r, storages, -1, (int64_t)t->storage_count - 1, what, at);
    e->allocations = numbers(r, memory, -BYTES_MAX, BYTES_MAX, what, at);
    e->allocation_count = json_array_size(memory) / 2;
    e->forward = number(r, json_array_get(value, 10), -1, (int64_t)t->event_count - 1, what, at);
    if (json_array_size(value) != EVENT_MEMBERS || !e->storages || !e->allocations || r->wrong ||
        json_array_size(storages) != t->signatures[e->signature].count)
        fail(r, what, at);
    for (size_t i = 0; !r->wrong && i < e->allocation_count; i++)
        if (e->allocations[2 * i] < -1 || e->allocations[2 * i] >= (int64_t)t->storage_count)
            fail(r, what, at);
}

static void read_name(struct reader *r, const json_t *value, size_t at)
{
    r->out->names[at] = text(r, value, "names", at);
}

/* Room for the rows of one table. */
static void *table(struct reader *r, const json_t *document, const char *key, size_t size,
                   size_t *count)
{
    const json_t *list = json_object_get(document, key);

    if (!json_is_array(list))
        fail(r, key, 0);
    *count = json_array_size(list);
    return array(r, *count, size);
}

static void read_rows(struct reader *r, const json_t *document, const char *key,
                      void (*read)(struct reader *, const json_t *, size_t))
{
    const json_t *value;
    size_t i;

    json_array_foreach(json_object_get(document, key), i, value)
    {
        if (r->wrong || r->no_memory)
            return;
        read(r, value, i);
    }
}

static void read_head(struct reader *r, const json_t *d)
{
    km_profile_trace *t = r->out;
    const json_t *copy = json_object_get(d, "copy");

    t->torch = text(r, json_object_get(d, "torch"), "torch", 0);
    t->device_name = text(r, json_object_get(d, "device_name"), "device_name", 0);
    t->on_device = strcmp(text(r, json_object_get(d, "device"), "device", 0), "cuda") == 0;
    t->threads = number(r, json_object_get(d, "threads"), 1, 1 << 20, "threads", 0);
    t->copy_bytes = number(r, json_object_get(copy, "bytes"), 1, BYTES_MAX, "copy", 0);
    t->copy_gbps = km_json_number_of(copy, "gbps");
    t->unattributed_ns = number(r, json_object_get(d, "unattributed_ns"), 0, NS_MAX,
                                "unattributed_ns", 0);
    t->storage_count = (size_t)number(r, json_object_get(d, "storages"), 0, INT32_MAX, "storages",
                                      0);
    if (!(t->copy_gbps > 0))
        fail(r, "copy", 0);
}

int km_profile_trace_read(km_arena *a, const json_t *document, km_profile_trace *out, km_err *err)
{
    struct reader r = { .a = a, .out = out };
    const json_t *events = json_object_get(document, "events");

    *out = (km_profile_trace){ 0 };
    if (json_array_size(events) > KM_PROFILE_EVENTS_MAX)
        return km_fail(err, KM_ELIMIT, "%s has more than %d events", NAME, KM_PROFILE_EVENTS_MAX);
    read_head(&r, document);
    out->names = table(&r, document, "names", sizeof *out->names, &out->name_count);
    out->tensors = table(&r, document, "tensors", sizeof *out->tensors, &out->tensor_count);
    out->signatures = table(&r, document, "signatures", sizeof *out->signatures,
                            &out->signature_count);
    out->events = table(&r, document, "events", sizeof *out->events, &out->event_count);
    read_rows(&r, document, "names", read_name);
    read_rows(&r, document, "tensors", read_tensor);
    read_rows(&r, document, "signatures", read_signature);
    read_rows(&r, document, "events", read_event);
    if (r.no_memory)
        return km_fail_nomem(err);
    if (r.wrong)
        return km_fail(err, KM_EFORMAT, "%s is not what it should be: \"%s\", row %zu", NAME,
                       r.wrong, r.at + 1);
    return 0;
}
