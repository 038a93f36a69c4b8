/* core/base64.h: bytes as base64, padded, without line breaks (RFC 4648). */
#ifndef KERNMILL_CORE_BASE64_H
#define KERNMILL_CORE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "core/str.h"

/* Appends. Pieces whose sizes are multiples of three give what the whole would. */
void km_base64_add(km_str *out, const void *bytes, size_t size);

/* Appends what `text` says, whose line ends and spaces do not count; false when it is no base64. */
bool km_base64_read(km_str *out, const char *text);

#endif
