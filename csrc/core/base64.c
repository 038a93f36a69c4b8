#include "core/base64.h"

#include <openssl/evp.h>

#define PIECE_BYTES 768 /* a multiple of three */

void km_base64_add(km_str *out, const void *bytes, size_t size)
{
    unsigned char text[PIECE_BYTES / 3 * 4 + 1];
    const unsigned char *at = bytes;

    for (size_t n; size; size -= n, at += n) {
        n = size < PIECE_BYTES ? size : PIECE_BYTES;
        km_str_add_bytes(out, text, (size_t)EVP_EncodeBlock(text, at, (int)n));
    }
}
