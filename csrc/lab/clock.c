#include "lab/clock.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

int64_t km_clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t km_clock_boot_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int km_clock_boot_id(char out[KM_BOOT_ID_BYTES], km_err *err)
{
    int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, KM_BOOT_ID_BYTES - 1);

    if (fd >= 0)
        close(fd);
    if (n != KM_BOOT_ID_BYTES - 1)
        return km_fail(err, KM_EENV, "'%s' cannot be read: leases need the id of the boot",
                       BOOT_ID);
    out[n] = '\0';
    return 0;
}
