/* formats/fatbin.h: what NVIDIA's fatbin container holds, without decompressing it.
 *
 * A fatbin is a 16-byte header and a run of entries, each an image (PTX or cubin) for one
 * architecture. The reader trusts nothing: every offset is checked against the buffer, and
 * the entries must end exactly where the header says. The fields are listed at the end of
 * this file.
 */
#ifndef KERNMILL_FORMATS_FATBIN_H
#define KERNMILL_FORMATS_FATBIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

typedef enum {
    KM_IMAGE_OTHER = 0, /* LTO-IR and whatever comes next: listed, never picked */
    KM_IMAGE_PTX = 1,
    KM_IMAGE_CUBIN = 2
} km_image_kind;

typedef enum { KM_STORED, KM_LZ4, KM_ZSTD } km_compression;

typedef struct {
    km_image_kind kind;
    uint32_t sm;          /* 90 for sm_90 and sm_90a */
    bool arch_specific;   /* the trailing 'a': runs on this sm alone */
    bool family_specific; /* the trailing 'f': its PTX stays within the major */
    uint32_t isa_major;   /* PTX ISA, or cubin ABI (1.7 and 1.8 are ABI 7 and 8) */
    uint32_t isa_minor;
    km_compression compression;
    size_t stored_bytes; /* as stored, compressed or not; a stored image counts its padding */
    size_t image_bytes;  /* after decompression */
} km_image;

typedef struct {
    km_image *images; /* in the order of the file; owned */
    size_t count;
} km_fatbin;

#define KM_FATBIN_INIT { NULL, 0 }

/* Reads one container, which must fill the `size` bytes at `data`; they need not outlive the call.
 * Errors: KM_EFORMAT with the offset of what is wrong; KM_ELIMIT beyond KM_FATBIN_IMAGES_MAX. On
 * error *out is zero. */
int km_fatbin_read(km_fatbin *out, const void *data, size_t size, km_err *err);

/* As km_fatbin_read, for a whole `.nv_fatbin` section: one container or several, with any number
 * of zero bytes between and after them, in one list. */
int km_fatbin_read_all(km_fatbin *out, const void *data, size_t size, km_err *err);

/* The next container of such a section: the first from *at on, zero bytes skipped; *at becomes its
 * place, and its size is returned, 0 when there is none. What it holds is not looked at. */
size_t km_fatbin_container(const void *data, size_t size, size_t *at);

/* The image a device of compute capability `sm` (90 for 9.0) would run, or NULL: the cubin made for
 * exactly this chip ('a'), else the newest cubin of the same major that is not newer than the
 * device, else the newest PTX that the driver can compile for it. Borrowed. */
const km_image *km_fatbin_pick(const km_fatbin *f, uint32_t sm);

/* The oldest driver branch (580 for 580.x) that loads this image on a chip it fits; 0 for
 * KM_IMAGE_OTHER. These are NVIDIA's rules, not measurements: nothing older than 580 was run.
 *
 *   cubin ABI 7             525: written by CUDA 12 (11 writes it too, but our loader needs 12.0)
 *   cubin ABI 8, sm <= 90   580: written by CUDA 13 only
 *   cubin ABI 8, sm >= 100  12.8 and 12.9 write the same ABI as 13, and the container does not say
 *                           which it was. So this is the first branch that knows the chip: 570 for
 *                           100, 101 and 120, 575 for 103 and 121, 580 for the others. A lower
 *                           bound: NVIDIA promises an image from 13 on 580 and later alone.
 *   PTX                     compiled by the driver, which must know the ISA: 8.0 525, 8.1 530,
 *                           8.2 535, 8.3 545, 8.4 550, 8.5 555, 8.6 565, 8.7 570, 8.8 575, 9.0 580,
 *                           newer 590 (a lower bound)
 *   zstd                    550, when the rest would run on less
 *
 * A library is not as demanding as its most demanding image: ask about the one that
 * km_fatbin_pick gives for the chip in question. */
unsigned km_image_min_driver(const km_image *image);

void km_fatbin_release(km_fatbin *f);

/* The format, little endian, as read from the files of CUDA 12.9 and 13.0.
 *
 * Container:  0 u32 magic 0xBA55ED50   4 u16 version, 1   6 u16 header bytes, 16
 *             8 u64 bytes that follow
 * Entry:      0 u16 kind: 1 PTX, 2 cubin, 8 LTO-IR
 *             2 u16 entry version, 0x101
 *             4 u32 header bytes, 64 and more: newer tools append an options block
 *             8 u64 payload bytes, padded to 8; the next entry follows the payload
 *            16 u32 compressed bytes, 0 when stored
 *            20 u32 offset of the options block
 *            24 u16 minor, 26 u16 major: of the PTX ISA or cubin ABI
 *            28 u32 sm number
 *            32 u32, 36 u32 offset and length of a name
 *            40 u64 flags: 0x1 64-bit, 0x10 Linux, 0x2000 LZ4, 0x8000 zstd, 0x100000 'a',
 *               0x200000 'f', 0x1000000 on every cubin from sm_100 on (meaning unknown)
 *            48 u64 reserved
 *            56 u64 uncompressed bytes, 0 when stored
 */

#endif
