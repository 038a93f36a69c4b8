#include "bench/nvml.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, SENSOR_GPU = 0 };

void km_nvml_open(km_nvml *n, const char *bus)
{
    int (*init)(void) = NULL, (*find)(const char *, void **) = NULL;
    const struct {
        const char *name;
        void *slot;
    } wanted[] = {
        { "nvmlInit_v2", (void *)&init },
        { "nvmlDeviceGetHandleByPciBusId_v2", (void *)&find },
        { "nvmlDeviceGetClockInfo", (void *)&n->clock },
        { "nvmlDeviceGetTemperature", (void *)&n->temperature },
        { "nvmlDeviceGetPowerUsage", (void *)&n->power },
        { "nvmlDeviceGetCurrentClocksThrottleReasons", (void *)&n->reasons },
    };
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);

    *n = (km_nvml){ 0 };
    if (!library)
        return;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *found = dlsym(library, wanted[i].name);
        if (!found)
            return;
        memcpy(wanted[i].slot, &found, sizeof found);
    }
    if (init() == 0 && find(bus, &n->device) == 0)
        n->library = library;
}

bool km_nvml_read(const km_nvml *n, km_nvml_state *out)
{
    unsigned milliwatts = 0;
    unsigned long long bits = 0;

    *out = (km_nvml_state){ 0 };
    if (!n->library || n->clock(n->device, CLOCK_SM, &out->sm_mhz) != 0 ||
        n->clock(n->device, CLOCK_MEMORY, &out->memory_mhz) != 0)
        return false;
    n->temperature(n->device, SENSOR_GPU, &out->celsius);
    n->power(n->device, &milliwatts);
    n->reasons(n->device, &bits);
    out->watts = milliwatts / 1000;
    out->throttle = bits;
    return true;
}

static void widen(unsigned *least, unsigned *most, unsigned now)
{
    *least = *least == 0 || now < *least ? now : *least;
    *most = now > *most ? now : *most;
}

void km_nvml_widen(km_nvml_state *least, km_nvml_state *most, const km_nvml_state *now)
{
    widen(&least->sm_mhz, &most->sm_mhz, now->sm_mhz);
    widen(&least->memory_mhz, &most->memory_mhz, now->memory_mhz);
    widen(&least->celsius, &most->celsius, now->celsius);
    widen(&least->watts, &most->watts, now->watts);
    most->throttle |= now->throttle;
}
