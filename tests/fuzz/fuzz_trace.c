/* A definition, with its workloads in a key of that name: what a suite can have of it becomes an
 * operator, and every suite made so is read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/trace_suite.h"
#include "formats/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The workloads of the first one's numbers. */
static json_t *take_workloads(km_arena *a, const km_trace_problem *p, const json_t *document)
{
    json_t *out = json_array();
    const json_t *w;
    size_t i;

    json_array_foreach(json_object_get(document, "workloads"), i, w)
    {
        bool same = true;
        for (size_t k = 0; k < p->input_count && json_array_size(out); k++)
            same &= p->inputs[k].shape ||
                    json_equal(km_trace_scalar(w, p->inputs[k].name),
                               km_trace_scalar(json_array_get(out, 0), p->inputs[k].name));
        if (same && json_is_object(w) && !km_trace_workload_problem(a, p, w))
            json_array_append(out, (json_t *)(uintptr_t)w);
    }
    return out;
}

static void read_back(const km_str *text)
{
    int fd = memfd_create("suite", 0);
    km_err err = KM_ERR_INIT;
    char path[64];
    km_suite s;

    if (fd < 0 || write(fd, text->data, text->length) != (ssize_t)text->length)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (km_suite_read(&s, path, &err) < 0) {
        fprintf(stderr, "%s: %s\n%s\n", err.place, err.message, text->data);
        abort();
    }
    if (s.op_count != 1 || !s.ops[0].trace)
        abort();
    km_suite_release(&s);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_trace_problem p = { 0 };
    json_t *document;

    if (size > 4096 || km_json_parse((const char *)data, size, "fuzz", &document, NULL) < 0)
        return 0;
    if (km_trace_problem_parse(&a, "fuzz", size & 1 ? KM_TRACE_SOL : KM_TRACE_FLASHINFER, document,
                               &p, &err) < 0 &&
        !err.message[0])
        abort();
    if (!err.message[0] && !p.unsupported) {
        km_trace_operator o = { .name = p.name, .problem = &p };
        km_str text = KM_STR_INIT;
        o.workloads = take_workloads(&a, &p, document);
        km_str_add(&text, "name = \"fuzz\"\n");
        km_trace_operator_text(&text, &o);
        if (json_array_size(o.workloads) && km_str_check(&text, NULL) == 0)
            read_back(&text);
        json_decref(o.workloads);
        km_str_release(&text);
    }
    json_decref(p.document ? p.document : document);
    json_decref(p.workloads);
    km_arena_release(&a);
    return 0;
}
