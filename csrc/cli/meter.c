#include "cli/meter.h"

#include <time.h>

#define QUIET_MS 2000 /* between two lines where there is no terminal */

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void km_meter_init(km_meter *m, km_term *term)
{
    *m = (km_meter){ term, now_ms(), now_ms() };
}

void km_meter_show(void *meter, uint64_t done_bytes, uint64_t total_bytes)
{
    km_meter *m = meter;
    long long now = now_ms();

    if (!total_bytes || (!m->term->smart && now - m->said_ms < QUIET_MS))
        return;
    m->said_ms = now;
    km_term_progress(m->term, (size_t)(done_bytes >> 10), (size_t)(total_bytes >> 10),
                     now - m->began_ms, "KiB");
}
