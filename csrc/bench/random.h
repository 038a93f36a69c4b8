/* bench/random.h: random numbers for inputs and orders: fast, reproducible from a seed, and not for
 * secrets. The generator is xoshiro256++ (Blackman and Vigna, 2019), seeded by splitmix64. */
#ifndef KERNMILL_BENCH_RANDOM_H
#define KERNMILL_BENCH_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t state[4];
} km_random;

void km_random_seed(km_random *r, uint64_t seed);

/* A seed nobody can know before: from the system. */
uint64_t km_random_fresh_seed(void);

uint64_t km_random_bits(km_random *r);

/* Uniform in [0, 1), with 53 random bits. */
double km_random_unit(km_random *r);

/* Uniform in 0 .. bound - 1; bound > 0. */
uint64_t km_random_below(km_random *r, uint64_t bound);

/* `count` values of the normal distribution with mean 0 and deviation 1 (Box and Muller, 1958). */
void km_random_normals(km_random *r, double *out, size_t count);

/* Puts `count` items into a random order (Fisher and Yates). */
void km_random_shuffle(km_random *r, size_t *items, size_t count);

#endif
