#include "core/base64.h"

#include <string.h>

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

/* Four characters. */
static bool read_group(km_str *out, const char group[4], bool *ended)
{
    const size_t padding = group[3] != '=' ? 0 : group[2] != '=' ? 1 : 2;
    unsigned char bytes[3];

    if (*ended || group[0] == '=' || group[1] == '=' || (group[2] == '=' && group[3] != '=') ||
        EVP_DecodeBlock(bytes, (const unsigned char *)group, 4) != 3)
        return false;
    km_str_add_bytes(out, bytes, 3 - padding);
    *ended = padding > 0;
    return true;
}

bool km_base64_read(km_str *out, const char *text)
{
    bool ended = false;
    char group[4];
    size_t n = 0;

    for (; *text; text++) {
        if (strchr(" \t\r\n", *text))
            continue;
        group[n++] = *text;
        if (n == 4 && !read_group(out, group, &ended))
            return false;
        n %= 4;
    }
    return n == 0;
}
