/* What the lab searches.
 *
 * VECTORS: how many 16-byte vectors a CUDA thread asks for at once; on the CPU, sums of 8 side by
 * side. ROWS: that a CUDA block does one after the other; on the CPU, of a task. PREFETCH: 1, and
 * the next row is asked for before this one is written.
 */
#ifndef PARAMS_H
#define PARAMS_H

#define THREADS  32 /* a CUDA block */
#define VECTORS  1
#define ROWS     1024
#define PREFETCH 0

#endif
