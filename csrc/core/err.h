/* core/err.h: how a function says what failed, where, and what to do about it.
 *
 * A function that can fail returns 0 or one of the negative codes below and takes a caller-owned
 * km_err as its last argument, which it fills only on failure. The pointer may be NULL when the
 * caller needs the code alone. Nothing in the program prints or exits but cli/.
 *
 *     if (open_it(&f, path, err) < 0)
 *         return err->code;
 *     return km_fail_at(err, KM_EFORMAT, path, line, column, "unknown key '%s'", key);
 *
 * Messages begin lower-case, carry no full stop, and name their subject in single quotes. What they
 * quote may come from anywhere: every text of a km_err has been through km_text_clean.
 */
#ifndef KERNMILL_CORE_ERR_H
#define KERNMILL_CORE_ERR_H

#include "core/limits.h"

typedef enum {
    KM_EUSAGE = -1,  /* the caller asked for something that makes no sense */
    KM_EENV = -2,    /* this machine lacks a program, a package or a device */
    KM_EFORMAT = -3, /* the input is not what it should be */
    KM_ELIMIT = -4,  /* the input exceeds a bound of core/limits.h */
    KM_EIO = -5,     /* reading, writing or starting something failed */
    KM_ENOENT = -6,  /* a file or folder is not there */
    KM_ENOMEM = -7,
    KM_ETIME = -8,  /* a child process or peer took too long */
    KM_ECHILD = -9, /* a child process ran and reported failure */
    KM_EBUG = -10,  /* kernmill itself is wrong */
    KM_ENOFIT = -11 /* an honest no: of what is there, nothing is for this machine */
} km_code;

typedef struct {
    int code;                           /* 0, or a km_code */
    char place[KM_ERR_PLACE_BYTES];     /* "dir/build.toml:14:1", or "" */
    char message[KM_ERR_MESSAGE_BYTES]; /* what failed; may hold several lines */
    char hint[KM_ERR_HINT_BYTES];       /* what to do, or "" */
} km_err;

#define KM_ERR_INIT { 0, "", "", "" }

/* Each fills *err (when not NULL) and returns `code`, so that callers can `return km_fail(...)`. */
int km_fail(km_err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As km_fail, with a place in a text file. Lines and columns count from 1; 0 leaves one out. */
int km_fail_at(km_err *err, int code, const char *file, unsigned line, unsigned column,
               const char *format, ...) __attribute__((format(printf, 6, 7)));

/* As km_fail, with ": " and the text of `errnum` appended; the code is KM_ENOENT for ENOENT and
 * ENOTDIR, else KM_EIO. */
int km_fail_errno(km_err *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int km_fail_nomem(km_err *err);

/* Adds what the user can do. Returns err->code; call it on a failed *err only. */
int km_hint(km_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
