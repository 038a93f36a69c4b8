/* cli/meter.h: how far a transfer is, on stderr. */
#ifndef KERNMILL_CLI_METER_H
#define KERNMILL_CLI_METER_H

#include <stdint.h>

#include "core/term.h"

typedef struct {
    km_term *term; /* borrowed */
    long long began_ms, said_ms;
} km_meter;

void km_meter_init(km_meter *m, km_term *term);

/* A km_http_progress (net/http.h). Where there is no terminal, a line every two seconds. */
void km_meter_show(void *meter, uint64_t done_bytes, uint64_t total_bytes);

#endif
