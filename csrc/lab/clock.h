/* lab/clock.h: two clocks. What people read is UTC, which is set and stepped; what leases run by
 * counts from the boot and stands with the boot's own id, so that no step of the other ends one. */
#ifndef KERNMILL_LAB_CLOCK_H
#define KERNMILL_LAB_CLOCK_H

#include <stdint.h>

#include "core/err.h"

#define KM_BOOT_ID_BYTES 37 /* with the terminator */

/* Microseconds since 1970, UTC. */
int64_t km_clock_us(void);

/* Milliseconds since the boot, sleep included. */
int64_t km_clock_boot_ms(void);

/* The kernel's id of this boot. Errors: KM_EENV. */
int km_clock_boot_id(char out[KM_BOOT_ID_BYTES], km_err *err);

#endif
