/* cuda/activation_args.h: the kernels' arguments, one struct by value; shared by the C that
 * launches and the device code. Sizes in elements. */
#ifndef KERNMILL_ACTIVATION_ARGS_H
#define KERNMILL_ACTIVATION_ARGS_H

/* long long and int rather than stdint.h's names, which the run-time compiler does not have. */
typedef struct {
    long long rows;
    long long columns;
    int kind;          /* an act_kind; read by the _any kernels */
    int round_act;     /* act(gate) is rounded before the product */
    int prefetch;      /* inputs are worth asking for before the predecessor has ended */
    int streaming;     /* stores leave the caches first */
    const void *dy;    /* backward only */
    const void *gate;  /* or x */
    const void *up;    /* _mul kernels only */
    void *y;           /* forward only */
    void *dgate, *dup; /* backward only; dup in _mul kernels */
    long long dy_stride, gate_stride, up_stride, y_stride, dgate_stride, dup_stride;
} activation_args;

#endif
