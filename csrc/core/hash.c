#include "core/hash.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"

void km_hash_without_settings(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL); /* what fails here fails in the hash */
}

void km_hasher_init(km_hasher *h)
{
    h->context = EVP_MD_CTX_new();
    h->failed = !h->context || EVP_DigestInit_ex(h->context, EVP_sha256(), NULL) != 1;
}

void km_hasher_add(km_hasher *h, const void *data, size_t size)
{
    if (!h->failed && EVP_DigestUpdate(h->context, data, size) != 1)
        h->failed = 1;
}

void km_hasher_add_text(km_hasher *h, const char *text)
{
    km_hasher_add(h, text, strlen(text) + 1);
}

int km_hasher_final(km_hasher *h, km_sha256 *out, km_err *err)
{
    unsigned length = 0;

    if (!h->failed && EVP_DigestFinal_ex(h->context, out->bytes, &length) != 1)
        h->failed = 1;
    EVP_MD_CTX_free(h->context);
    h->context = NULL;
    if (h->failed || length != KM_SHA256_BYTES)
        return km_fail(err, KM_EBUG, "libcrypto refused to compute SHA-256");
    return 0;
}

int km_hash_bytes(const void *data, size_t size, km_sha256 *out, km_err *err)
{
    km_hasher h;

    km_hasher_init(&h);
    km_hasher_add(&h, data, size);
    return km_hasher_final(&h, out, err);
}

#define PIECE_BYTES (256u << 10)

static int add_file(EVP_MD_CTX *context, int fd, off_t size, km_err *err)
{
    char *piece = malloc(PIECE_BYTES);
    off_t at = 0;
    int rc = piece ? 0 : km_fail_nomem(err);

    while (rc == 0 && at < size) {
        ssize_t n = pread(fd, piece, PIECE_BYTES, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = km_file_fail(fd, "read", err);
        else if (n == 0)
            rc = km_fail(err, KM_EIO, "a file became shorter while it was read");
        else if (EVP_DigestUpdate(context, piece, (size_t)n) != 1)
            rc = km_fail(err, KM_EBUG, "libcrypto refused to compute a digest");
        at += n;
    }
    free(piece);
    return rc;
}

int km_hash_file(const char *path, km_sha256 *out, km_err *err)
{
    km_err why = KM_ERR_INIT;
    km_hasher h;
    size_t size = 0;
    int fd = km_file_open(path, SIZE_MAX, &size, err), rc, end;

    if (fd < 0)
        return fd;
    km_hasher_init(&h);
    rc = h.failed ? 0 : add_file(h.context, fd, (off_t)size, &why);
    end = km_hasher_final(&h, out, err);
    close(fd);
    return rc < 0 ? km_fail(err, rc, "'%s': %s", path, why.message) : end;
}

int km_hash_fd(int fd, km_digest_kind kind, char out[KM_SHA256_HEX_BYTES], km_err *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char bytes[EVP_MAX_MD_SIZE];
    char head[32];
    unsigned length = 0;
    struct stat st;
    int rc = 0, n;

    if (!context)
        return km_fail_nomem(err);
    if (fstat(fd, &st) < 0)
        rc = km_file_fail(fd, "read", err);
    if (rc == 0 &&
        EVP_DigestInit_ex(context, kind == KM_DIGEST_SHA256 ? EVP_sha256() : EVP_sha1(), NULL) != 1)
        rc = km_fail(err, KM_EENV, "libcrypto has no %s here",
                     kind == KM_DIGEST_SHA256 ? "SHA-256" : "SHA-1");
    if (rc == 0 && kind == KM_DIGEST_GIT_BLOB) {
        n = snprintf(head, sizeof head, "blob %lld", (long long)st.st_size);
        EVP_DigestUpdate(context, head, (size_t)n + 1);
    }
    if (rc == 0)
        rc = add_file(context, fd, st.st_size, err);
    if (rc == 0 && EVP_DigestFinal_ex(context, bytes, &length) != 1)
        rc = km_fail(err, KM_EBUG, "libcrypto refused to compute a digest");
    for (unsigned i = 0; rc == 0 && i < length; i++)
        snprintf(out + (size_t)2 * i, 3, "%02x", bytes[i]);
    EVP_MD_CTX_free(context);
    return rc;
}

void km_hash_hex(const km_sha256 *h, char out[KM_SHA256_HEX_BYTES])
{
    for (size_t i = 0; i < KM_SHA256_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", h->bytes[i]);
}

bool km_hash_from_hex(const char *hex, km_sha256 *out)
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(hex) != KM_SHA256_HEX_BYTES - 1 || strspn(hex, digits) != KM_SHA256_HEX_BYTES - 1)
        return false;
    for (size_t i = 0; i < KM_SHA256_BYTES; i++)
        out->bytes[i] = (unsigned char)((strchr(digits, hex[2 * i]) - digits) * 16 +
                                        (strchr(digits, hex[2 * i + 1]) - digits));
    return true;
}

void km_hash_base64(const km_sha256 *h, char out[KM_SHA256_BASE64_BYTES])
{
    EVP_EncodeBlock((unsigned char *)out, h->bytes, KM_SHA256_BYTES);
}

void km_hash_base64url(const km_sha256 *h, char out[KM_SHA256_BASE64_BYTES])
{
    km_hash_base64(h, out);
    out[strcspn(out, "=")] = '\0';
    for (char *c = out; *c; c++)
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
}
