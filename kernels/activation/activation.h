/* activation.h: what both backends do, for rows of a matrix.
 *
 * An activation is x times a factor between 0 and 1:
 *
 *     silu        x * sigmoid(x)                          (Elfwing et al., 2017)
 *     gelu        x * Phi(x), the normal distribution     (Hendrycks and Gimpel, 2016)
 *     gelu_tanh   x * sigmoid(2 * c * (x + 0.044715 * x**3)), c = sqrt(2 / pi): the same as
 *                 0.5 * x * (1 + tanh(c * (x + ...))), without its cancellation (same source)
 *     quick_gelu  x * sigmoid(1.702 * x)                  (same source)
 *
 * Forward: y = act(x), or y = act(gate) * up with act(gate) rounded to the dtype when round_act.
 * Backward, from the inputs alone:
 *
 *     dgate = dy * up * act'(gate)      (without up: dx = dy * act'(x))
 *     dup = dy * act(gate)              with the act(gate) of the forward
 *
 * Everything between the roundings is float32. In float32 itself silu and quick_gelu are 0 where
 * sigmoid's argument is below -88.7, as torch's are. NaN gives NaN; -inf gives NaN and inf gives
 * inf, as torch does; both infinities have a NaN for a gradient, finite numbers a finite one.
 *
 * An element's bits depend on the element and the dtype alone.
 *
 * Pointers are to data of `dtype` (float32, float16 or bfloat16), rows start `stride` elements
 * apart and are dense; a stride may be 0 for what is read. No alignment beyond the element's is
 * assumed. Offsets are 64-bit. In place is allowed: what is written may be one of the inputs, with
 * an equal stride.
 */
#ifndef KERNMILL_ACTIVATION_H
#define KERNMILL_ACTIVATION_H

#include <kernmill/op.h>

typedef enum { ACT_SILU, ACT_GELU, ACT_GELU_TANH, ACT_QUICK_GELU, ACT_KINDS } act_kind;

typedef struct {
    const void *data;
    int64_t stride; /* elements between rows */
} act_input;

typedef struct {
    void *data;
    int64_t stride;
} act_output;

typedef struct {
    int64_t rows, columns; /* both at least 1 */
    km_dtype dtype;
    act_kind kind;
    act_input gate; /* or x */
    act_input up;   /* data NULL: element-wise */
    act_output y;
    bool round_act;
} act_forward;

typedef struct {
    int64_t rows, columns;
    km_dtype dtype;
    act_kind kind;
    act_input dy;
    act_input gate;
    act_input up; /* data NULL: element-wise, and dup is not written */
    act_output dgate, dup;
    bool round_act;
} act_backward;

void act_forward_cpu(const act_forward *f);
void act_backward_cpu(const act_backward *b);

/* These launch on the call's stream and return 0 or KM_FAILED (km_error has been called). */
int act_forward_cuda(km_call *c, const act_forward *f);
int act_backward_cuda(km_call *c, const act_backward *b);

#endif
