/* bench/result_memory.h: the memory of results on the CPU while a cell is measured.
 *
 * torch asks malloc for each result. malloc gives a large one back to the system when it is freed,
 * or keeps it, by where it happens to lie, and whoever owns the heap's end pays for new pages in
 * each call: two calls of one function differed by up to 7 %, the same one behind in 16 of 16 runs,
 * and by 3.7 times where malloc was told to keep everything (RMSNorm of 256 x 2048 float32, AMD
 * EPYC). So results of 16 KiB and more lie in a region of ours, whose pages are there: blocks of a
 * size go from hand to hand, the last that was given back first, so that a call is given what any
 * other call has given up, a walk over all sets after it was written.
 *
 * Of one library's requests alone, torch's; safe in all threads of the process. */
#ifndef KERNMILL_BENCH_RESULT_MEMORY_H
#define KERNMILL_BENCH_RESULT_MEMORY_H

#include <stdbool.h>

/* From here on what the loaded `library`, by its SONAME, asks of posix_memalign comes from the
 * region; a process has one such library. False when it cannot: its requests are not found (a torch
 * that brings an allocator of its own, as some for aarch64 do), or no address space is left. */
bool km_result_memory_begin(const char *library);

/* They are malloc's again. The region's memory goes back to the system, but for blocks that someone
 * still holds. */
void km_result_memory_end(void);

#endif
