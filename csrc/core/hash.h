/* core/hash.h: SHA-256 (OpenSSL) and the two ways its 32 bytes are written; and git's id of a file.
 */
#ifndef KERNMILL_CORE_HASH_H
#define KERNMILL_CORE_HASH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

#define KM_SHA256_BYTES        32
#define KM_SHA256_HEX_BYTES    65 /* with the terminator */
#define KM_SHA256_BASE64_BYTES 45 /* with padding and the terminator */

typedef struct {
    unsigned char bytes[KM_SHA256_BYTES];
} km_sha256;

/* For a program that hashes and does nothing else with OpenSSL, before its first hash: OpenSSL does
 * not read the machine's settings, which are of TLS: 0.6 ms of the 0.8 that a first hash takes (AMD
 * EPYC, OpenSSL 3.0). */
void km_hash_without_settings(void);

/* A running hash. Errors are remembered and returned by _final. */
typedef struct {
    void *context; /* EVP_MD_CTX; owned */
    int failed;
} km_hasher;

void km_hasher_init(km_hasher *h);
void km_hasher_add(km_hasher *h, const void *data, size_t size);
/* Adds the text and a zero, so that "ab","c" and "a","bc" differ. */
void km_hasher_add_text(km_hasher *h, const char *text);
/* Ends the hash and frees *h, also on error. */
int km_hasher_final(km_hasher *h, km_sha256 *out, km_err *err);

int km_hash_bytes(const void *data, size_t size, km_sha256 *out, km_err *err);
int km_hash_file(const char *path, km_sha256 *out, km_err *err);

typedef enum {
    KM_DIGEST_SHA256,
    KM_DIGEST_GIT_BLOB /* SHA-1 of "blob <size>", a zero, and the content */
} km_digest_kind;

/* The digest of all that an open regular file holds, in lower-case digits, read with pread(2) in
 * pieces. Errors: KM_EIO. */
int km_hash_fd(int fd, km_digest_kind kind, char out[KM_SHA256_HEX_BYTES], km_err *err);

void km_hash_hex(const km_sha256 *h, char out[KM_SHA256_HEX_BYTES]);
/* Back: `hex` has 64 lower-case digits. False when it has not. */
bool km_hash_from_hex(const char *hex, km_sha256 *out);
/* With padding, as Hub metadata has it. */
void km_hash_base64(const km_sha256 *h, char out[KM_SHA256_BASE64_BYTES]);
/* URL-safe and unpadded, as a wheel's RECORD has it. */
void km_hash_base64url(const km_sha256 *h, char out[KM_SHA256_BASE64_BYTES]);

#endif
