/* kernmill/isa.h: for CPU code: which instruction sets may be used.
 *
 * A file of loops is included once for each (kernmill/vec.h), and the library chooses when it is
 * first called:
 *
 *     #define KM_ISA baseline
 *     #define KM_TARGET
 *     #include "rows.h"
 *     #undef KM_ISA
 *     #undef KM_TARGET
 *     #ifdef KM_HAS_AVX2_CODE
 *     #define KM_ISA    avx2
 *     #define KM_TARGET KM_AVX2_TARGET
 *     #define KM_AVX2
 *     #include "rows.h"
 *     #endif
 */
#ifndef KERNMILL_ISA_H
#define KERNMILL_ISA_H

#include <stdbool.h>

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define KM_HAS_AVX2_CODE
#define KM_AVX2_TARGET __attribute__((target("avx2,f16c")))

static inline bool km_cpu_has_avx2(void)
{
    unsigned a, b, c, d, low, high;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX) || !(c & bit_F16C))
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6) /* the operating system saves the upper halves */
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

/* Whether AVX2 and F16C may be used: the processor and the system have them, and KERNMILL_CPU_ISA
 * is not "x86-64", which keeps to the baseline. Asked once. */
static inline bool km_isa_avx2(void)
{
    static _Atomic(int) known; /* 0: not yet, 1: no, 2: yes */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);

    if (!answer) {
        const char *asked = getenv("KERNMILL_CPU_ISA");
        answer = !(asked && strcmp(asked, "x86-64") == 0) && km_cpu_has_avx2() ? 2 : 1;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 2;
}
#else
static inline bool km_isa_avx2(void)
{
    return false;
}
#endif

#endif
