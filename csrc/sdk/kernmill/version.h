/* kernmill/version.h: the version of this interface (semantic versioning; see CHANGES.md). */
#ifndef KERNMILL_VERSION_H
#define KERNMILL_VERSION_H

#define KM_SDK_VERSION "0.1.0"

/* The oldest torch a library built with these headers loads in, as torch encodes versions: 2.10. */
#define KM_TORCH_FLOOR 0x020a000000000000ULL

#endif
