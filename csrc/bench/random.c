#include "bench/random.h"

#include <math.h>
#include <sys/random.h>
#include <time.h>

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void km_random_seed(km_random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->state[i] = splitmix(&seed);
}

uint64_t km_random_fresh_seed(void)
{
    uint64_t seed = 0;
    struct timespec now;

    if (getrandom(&seed, sizeof seed, 0) == sizeof seed)
        return seed;
    clock_gettime(CLOCK_REALTIME, &now); /* no system without getrandom is supported; be it so */
    seed = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 32;
    return splitmix(&seed);
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

uint64_t km_random_bits(km_random *r)
{
    uint64_t *s = r->state, result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double km_random_unit(km_random *r)
{
    return (double)(km_random_bits(r) >> 11) * 0x1p-53;
}

uint64_t km_random_below(km_random *r, uint64_t bound)
{
    uint64_t least = (0 - bound) % bound, bits; /* the part that would favour small numbers */

    do
        bits = km_random_bits(r);
    while (bits < least);
    return bits % bound;
}

void km_random_normals(km_random *r, double *out, size_t count)
{
    for (size_t i = 0; i < count; i += 2) {
        double radius = sqrt(-2 * log(1 - km_random_unit(r)));
        double angle = 6.283185307179586 * km_random_unit(r);
        out[i] = radius * cos(angle);
        if (i + 1 < count)
            out[i + 1] = radius * sin(angle);
    }
}

void km_random_shuffle(km_random *r, size_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)km_random_below(r, i), kept = items[i - 1];
        items[i - 1] = items[j];
        items[j] = kept;
    }
}
