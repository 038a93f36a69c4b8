#include "bench/audit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/channel.h"
#include "bench/verify.h"

#include <kernmill/op.h>

/* Every result begins on a page, so that it can be mapped alone. */
static uint64_t round_to_page(uint64_t n)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    return (n + page - 1) / page * page;
}

void *km_audit_map(int results, uint64_t offset, uint64_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, results, (off_t)offset);

    return at == MAP_FAILED ? NULL : at;
}

void km_audit_unmap(void *at, uint64_t bytes)
{
    munmap(at, bytes);
}

bool km_audit_begin(km_audit *audit, uint64_t *seed, km_err *err)
{
    km_ticket ticket;

    if (audit->results < 0 || km_channel_announce(audit->channel, "audits", "", &ticket, err) < 0)
        return false;
    *seed = ticket.seed;
    audit->bytes = 0;
    json_decref(audit->calls);
    audit->calls = json_object();
    return true;
}

static int copy_out(const km_torch *t, const km_view *v, void *to, km_err *err)
{
    const km_gpu *g = t->gpu;

    if (!g) {
        memcpy(to, v->data, km_view_bytes(v));
        return 0;
    }
    if (km_gpu_check(
            g,
            g->cuMemcpyDtoHAsync_v2(to, (uint64_t)(uintptr_t)v->data, km_view_bytes(v), g->stream),
            "copying results", err) < 0)
        return err->code;
    return km_gpu_wait(g, err);
}

/* Grows the shared memory by one result. */
static int put(km_audit *audit, const km_torch *t, const km_view *v, json_t *list, km_err *err)
{
    uint64_t bytes = km_view_bytes(v), offset = audit->bytes;
    void *to;
    int rc;

    json_array_append_new(list, json_pack("{s:i,s:I,s:I}", "dtype", v->dtype, "offset",
                                          (json_int_t)offset, "bytes", (json_int_t)bytes));
    if (!bytes)
        return 0;
    audit->bytes = offset + round_to_page(bytes);
    if (ftruncate(audit->results, (off_t)audit->bytes) < 0)
        return km_fail_errno(err, errno, "unable to share results");
    to = km_audit_map(audit->results, offset, bytes);
    if (!to)
        return km_fail_errno(err, errno, "unable to share results");
    rc = copy_out(t, v, to, err);
    km_audit_unmap(to, bytes);
    return rc;
}

int km_audit_put(km_audit *audit, const km_torch *t, const char *call,
                 const km_torch_tensor *results, km_err *err)
{
    json_t *list = json_array();
    uint64_t bytes = 0;

    for (int i = 0; i < KM_RETURNS_MAX && results[i]; i++) {
        km_view v = km_view_of(t, results[i]);
        if (!km_view_is_dense(&v)) {
            json_decref(list);
            return 0;
        }
        bytes += km_view_bytes(&v);
    }
    if (audit->bytes + bytes > KM_AUDIT_BYTES_MAX) {
        json_decref(list);
        return 0;
    }
    for (int i = 0; i < KM_RETURNS_MAX && results[i]; i++) {
        km_view v = km_view_of(t, results[i]);
        if (put(audit, t, &v, list, err) < 0) {
            json_decref(list);
            return err->code;
        }
    }
    return json_object_set_new(audit->calls, call, list) == 0 ? 0 : km_fail_nomem(err);
}
