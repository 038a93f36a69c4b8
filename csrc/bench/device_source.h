/* bench/device_source.h: the text of device.cu, in the program. */
#ifndef KERNMILL_BENCH_DEVICE_SOURCE_H
#define KERNMILL_BENCH_DEVICE_SOURCE_H

extern const char km_device_source[]; /* terminated */

#endif
