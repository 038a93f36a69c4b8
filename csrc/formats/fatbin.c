#include "formats/fatbin.h"

#include <inttypes.h>
#include <stdlib.h>

#define MAGIC           0xBA55ED50u
#define HEADER_BYTES    16
#define ENTRY_BYTES_MIN 64
#define ENTRY_VERSION   0x101
#define SM_MIN          10
#define SM_MAX          999

#define FLAG_LZ4    0x2000u
#define FLAG_ZSTD   0x8000u
#define FLAG_ARCH   0x100000u
#define FLAG_FAMILY 0x200000u

static uint32_t get16(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const unsigned char *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const unsigned char *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* The bytes of a file that are still to be read; `at` is what error messages name. */
struct cursor {
    const unsigned char *data;
    size_t at;
    size_t end;
};

static int add_image(km_fatbin *f, const km_image *image, km_err *err)
{
    km_image *images;

    if (f->count == KM_FATBIN_IMAGES_MAX)
        return km_fail(err, KM_ELIMIT, "fatbin has more than %d images", KM_FATBIN_IMAGES_MAX);
    if ((f->count & (f->count - 1)) == 0) { /* full at every power of two */
        images = realloc(f->images, (f->count ? f->count * 2 : 1) * sizeof *images);
        if (!images)
            return km_fail_nomem(err);
        f->images = images;
    }
    f->images[f->count++] = *image;
    return 0;
}

/* Sizes and codec of an entry whose header and payload are known to be inside the file. */
static int read_sizes(const unsigned char *entry, size_t at, km_image *out, km_err *err)
{
    uint64_t payload = get64(entry + 8), whole = get64(entry + 56), flags = get64(entry + 40);
    uint32_t compressed = get32(entry + 16);
    bool lz4 = flags & FLAG_LZ4, zstd = flags & FLAG_ZSTD;

    if (lz4 && zstd)
        return km_fail(err, KM_EFORMAT, "fatbin entry at byte %zu: LZ4 and zstd at once", at);
    if (!lz4 && !zstd) {
        if (compressed || whole)
            return km_fail(err, KM_EFORMAT,
                           "fatbin entry at byte %zu: compressed by an unknown method", at);
        out->stored_bytes = out->image_bytes = payload;
        return 0;
    }
    if (!compressed || compressed > payload || !whole || whole > SIZE_MAX)
        return km_fail(err, KM_EFORMAT,
                       "fatbin entry at byte %zu: %" PRIu32 " compressed bytes in a payload of "
                       "%" PRIu64 ", %" PRIu64 " after decompression",
                       at, compressed, payload, whole);
    out->compression = lz4 ? KM_LZ4 : KM_ZSTD;
    out->stored_bytes = compressed;
    out->image_bytes = whole;
    return 0;
}

/* Whether the entry at the cursor lies inside its container. */
static int check_entry(const struct cursor *c, km_err *err)
{
    const unsigned char *entry = c->data + c->at;
    size_t left = c->end - c->at;
    uint32_t header, sm;

    if (left < ENTRY_BYTES_MIN)
        return km_fail(err, KM_EFORMAT, "fatbin entry at byte %zu: header is cut short", c->at);
    header = get32(entry + 4);
    sm = get32(entry + 28);
    if (get16(entry + 2) != ENTRY_VERSION)
        return km_fail(err, KM_EFORMAT, "fatbin entry at byte %zu: version 0x%" PRIx32 ", not 0x%x",
                       c->at, get16(entry + 2), ENTRY_VERSION);
    if (header < ENTRY_BYTES_MIN || header > left)
        return km_fail(err, KM_EFORMAT, "fatbin entry at byte %zu: header of %" PRIu32 " bytes",
                       c->at, header);
    if (get64(entry + 8) > left - header)
        return km_fail(err, KM_EFORMAT,
                       "fatbin entry at byte %zu: payload of %" PRIu64 " bytes leaves the file",
                       c->at, get64(entry + 8));
    if (sm < SM_MIN || sm > SM_MAX)
        return km_fail(err, KM_EFORMAT, "fatbin entry at byte %zu: sm number %" PRIu32, c->at, sm);
    return 0;
}

/* An entry's fixed part is 64 bytes; newer tools append to it, so the payload and the next entry
 * are found through the header's own size. Leaves the cursor on the next entry. */
static int read_entry(struct cursor *c, km_fatbin *f, km_err *err)
{
    const unsigned char *entry = c->data + c->at;
    km_image image = { 0 };
    uint64_t flags;
    int rc;

    rc = check_entry(c, err);
    if (rc < 0)
        return rc;
    flags = get64(entry + 40);
    if (get16(entry) == KM_IMAGE_PTX || get16(entry) == KM_IMAGE_CUBIN)
        image.kind = (km_image_kind)get16(entry);
    image.sm = get32(entry + 28);
    image.arch_specific = flags & FLAG_ARCH;
    image.family_specific = flags & FLAG_FAMILY;
    image.isa_major = get16(entry + 26);
    image.isa_minor = get16(entry + 24);
    rc = read_sizes(entry, c->at, &image, err);
    if (rc == 0)
        rc = add_image(f, &image, err);
    c->at += get32(entry + 4) + (size_t)get64(entry + 8);
    return rc;
}

/* Leaves the cursor behind the container. */
static int read_container(struct cursor *c, km_fatbin *f, km_err *err)
{
    const unsigned char *header = c->data + c->at;
    struct cursor inside;
    uint64_t size;
    int rc = 0;

    if (c->end - c->at < HEADER_BYTES)
        return km_fail(err, KM_EFORMAT, "fatbin at byte %zu: header is cut short", c->at);
    if (get32(header) != MAGIC)
        return km_fail(err, KM_EFORMAT, "byte %zu is not the start of a fatbin", c->at);
    if (get16(header + 4) != 1 || get16(header + 6) != HEADER_BYTES)
        return km_fail(err, KM_EFORMAT,
                       "fatbin at byte %zu: version %" PRIu32 " with a header of %" PRIu32
                       " bytes, not 1 with %d",
                       c->at, get16(header + 4), get16(header + 6), HEADER_BYTES);
    size = get64(header + 8);
    if (size > c->end - c->at - HEADER_BYTES)
        return km_fail(err, KM_EFORMAT,
                       "fatbin at byte %zu: %" PRIu64 " bytes of entries leave the file", c->at,
                       size);
    inside = (struct cursor){ c->data, c->at + HEADER_BYTES, c->at + HEADER_BYTES + (size_t)size };
    while (rc == 0 && inside.at < inside.end)
        rc = read_entry(&inside, f, err);
    c->at = inside.end;
    return rc;
}

static void skip_zeros(struct cursor *c)
{
    while (c->at < c->end && !c->data[c->at])
        c->at++;
}

int km_fatbin_read(km_fatbin *out, const void *data, size_t size, km_err *err)
{
    struct cursor c = { data, 0, size };
    int rc;

    *out = (km_fatbin)KM_FATBIN_INIT;
    rc = read_container(&c, out, err);
    if (rc == 0 && c.at < size)
        rc = km_fail(err, KM_EFORMAT, "fatbin ends at byte %zu of %zu", c.at, size);
    if (rc < 0)
        km_fatbin_release(out);
    return rc;
}

int km_fatbin_read_all(km_fatbin *out, const void *data, size_t size, km_err *err)
{
    struct cursor c = { data, 0, size };
    int rc;

    *out = (km_fatbin)KM_FATBIN_INIT;
    skip_zeros(&c);
    do {
        rc = read_container(&c, out, err);
        skip_zeros(&c);
    } while (rc == 0 && c.at < c.end);
    if (rc < 0)
        km_fatbin_release(out);
    return rc;
}

size_t km_fatbin_container(const void *data, size_t size, size_t *at)
{
    struct cursor c = { data, *at, size };
    uint64_t entries;

    skip_zeros(&c);
    *at = c.at;
    if (c.end - c.at < HEADER_BYTES || get32(c.data + c.at) != MAGIC)
        return 0;
    entries = get64(c.data + c.at + 8);
    return entries > c.end - c.at - HEADER_BYTES ? 0 : HEADER_BYTES + (size_t)entries;
}

static bool runs_on(const km_image *image, uint32_t sm)
{
    if (image->kind == KM_IMAGE_OTHER || image->sm > sm)
        return false;
    if (image->arch_specific)
        return image->sm == sm;
    if (image->kind == KM_IMAGE_CUBIN || image->family_specific)
        return image->sm / 10 == sm / 10;
    return true;
}

/* The higher of two images that both run is the one a driver takes. */
static uint32_t rank(const km_image *image)
{
    if (image->kind == KM_IMAGE_PTX)
        return image->sm;
    return image->sm + (image->arch_specific ? 2u : 1u) * (SM_MAX + 1);
}

const km_image *km_fatbin_pick(const km_fatbin *f, uint32_t sm)
{
    const km_image *best = NULL;

    for (size_t i = 0; i < f->count; i++) {
        const km_image *image = &f->images[i];
        if (runs_on(image, sm) && (!best || rank(image) > rank(best)))
            best = image;
    }
    return best;
}

static unsigned ptx_driver(const km_image *image)
{
    static const unsigned isa_8[] = { 525, 530, 535, 545, 550, 555, 565, 570, 575 };

    if (image->isa_major < 8)
        return isa_8[0];
    if (image->isa_major == 8 && image->isa_minor < sizeof isa_8 / sizeof isa_8[0])
        return isa_8[image->isa_minor];
    return image->isa_major == 9 && image->isa_minor == 0 ? 580 : 590;
}

static unsigned cubin_driver(const km_image *image)
{
    if (image->isa_major == 1 && image->isa_minor <= 7)
        return 525;
    if (image->isa_major == 1 && image->isa_minor == 8) {
        if (image->sm == 100 || image->sm == 101 || image->sm == 120)
            return 570;
        if (image->sm == 103 || image->sm == 121)
            return 575;
    }
    return 580;
}

unsigned km_image_min_driver(const km_image *image)
{
    unsigned driver;

    if (image->kind == KM_IMAGE_OTHER)
        return 0;
    driver = image->kind == KM_IMAGE_PTX ? ptx_driver(image) : cubin_driver(image);
    return image->compression == KM_ZSTD && driver < 550 ? 550 : driver;
}

void km_fatbin_release(km_fatbin *f)
{
    free(f->images);
    *f = (km_fatbin)KM_FATBIN_INIT;
}
