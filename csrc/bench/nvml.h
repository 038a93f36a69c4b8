/* bench/nvml.h: the state of the GPU as its management library tells it, where there is one. */
#ifndef KERNMILL_BENCH_NVML_H
#define KERNMILL_BENCH_NVML_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    unsigned sm_mhz, memory_mhz, celsius, watts;
    uint64_t throttle; /* reasons, NVML's bits; in `most` of a cell: all that occurred */
} km_nvml_state;

typedef struct {
    void *library; /* NULL: there is none */
    void *device;
    int (*clock)(void *device, int type, unsigned *mhz);
    int (*temperature)(void *device, int sensor, unsigned *celsius);
    int (*power)(void *device, unsigned *milliwatts);
    int (*reasons)(void *device, unsigned long long *bits);
} km_nvml;

/* Opens the GPU with the PCI bus id; leaves library NULL where that cannot be. */
void km_nvml_open(km_nvml *n, const char *bus);

/* False where nothing is known. */
bool km_nvml_read(const km_nvml *n, km_nvml_state *out);

/* Widens the range from `least` to `most` by `now`. */
void km_nvml_widen(km_nvml_state *least, km_nvml_state *most, const km_nvml_state *now);

#endif
