/* lab/block.h: which hardware, driver and image something ran on, as one text. What differs in it
 * is not compared. */
#ifndef KERNMILL_LAB_BLOCK_H
#define KERNMILL_LAB_BLOCK_H

#include "core/arena.h"

/* "host, processor, GPU and driver, image"; what is not there is left out. In the arena; NULL: out
 * of memory. */
const char *km_block(km_arena *a);

#endif
