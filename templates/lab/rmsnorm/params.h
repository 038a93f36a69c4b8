/* What the lab searches. */
#ifndef PARAMS_H
#define PARAMS_H

#define THREADS 32 /* CUDA: threads a block */
#define VECTORS                                                                                    \
    1 /* CUDA: 16-byte vectors a thread asks for at once; CPU: sums of 8, side by side */
#define ROWS     1 /* CUDA: rows a block, one after the other; CPU: rows a task */
#define PREFETCH 0 /* 1: the next row is asked for before this one is written */

#endif
