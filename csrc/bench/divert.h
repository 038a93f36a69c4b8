/* bench/divert.h: calls that a loaded library makes to a function of another library are led to one
 * of ours, by its own table of addresses (the relocations of ELF's dynamic section). Nobody else's
 * calls are touched. */
#ifndef KERNMILL_BENCH_DIVERT_H
#define KERNMILL_BENCH_DIVERT_H

/* Any function; cast to the type of `name`. */
typedef void (*km_function)(void);

/* Leads the calls of `name` by the library whose SONAME is `library` to `to`, for good. Returns how
 * many places of its table were changed: 0 when it is not loaded, calls no such function, or some
 * place cannot be written (others may have been). Not while another thread calls it. */
int km_divert(const char *library, const char *name, km_function to);

#endif
