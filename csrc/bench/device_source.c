#include "bench/device_source.h"

/* KM_DEVICE_SOURCE: the path of device.cu, from CMakeLists.txt. */
__asm__(".section .rodata.km_device_source, \"a\"\n"
        ".hidden km_device_source\n"
        ".globl km_device_source\n"
        "km_device_source:\n"
        ".incbin \"" KM_DEVICE_SOURCE "\"\n"
        ".byte 0\n"
        ".previous\n");
