/* A mock of the functions of kernmill/torch.h, in C: everything that torch hands out is a block of
 * malloc and is counted, so that AddressSanitizer sees a leak, a double free or a use after free,
 * and any call can be made to fail. Errors are thrown by longjmp.
 *
 * With MOCK_NEWER it has the functions of torch 2.13; without, an optional's cell is freed by
 * operator delete, as in 2.10.
 */
#ifndef KERNMILL_TESTS_MOCK_TORCH_H
#define KERNMILL_TESTS_MOCK_TORCH_H

#include <kernmill/torch.h>

/* Codes unlike torch's own: a library must ask for them. */
enum { MOCK_FIRST_DTYPE = 100, MOCK_CPU = 5, MOCK_CUDA = 9, MOCK_OTHER_DEVICE = 11 };
enum { MOCK_FLOAT32 = MOCK_FIRST_DTYPE + 1, MOCK_UINT8 = MOCK_FIRST_DTYPE + 10 };

/* What lives now. */
struct mock_counts {
    long handles, tensors, lists, strings, cells, guards;
};
extern struct mock_counts mock_live;
extern struct mock_counts
    mock_made; /* since the start; tensors and cells once deleted go on counting */

/* The call that fails: 0 the next one, 1 the one after it; negative: none. Counts down. */
extern long mock_fail_after;
extern const char *mock_failed; /* the function that was made to fail, or NULL */

/* The device that guards select on this thread, and what they call when it changes, as
 * cudaSetDevice makes that device's context current. */
int mock_current_device(void);
extern void (*mock_set_device)(int device);

/* Makes what a call passes. */
km_slot mock_new_tensor(int32_t device, int32_t index, bool transposed); /* float32 [2, 3] */
km_slot mock_new_list(const km_slot *items, size_t count, bool tensors);
km_slot mock_new_string(const char *text);
km_slot mock_new_cell(km_slot value);

/* Deletes a result; its data is read by mock_data. */
void mock_delete_result(km_slot tensor);
const void *mock_data(km_slot tensor, int64_t *numel);

/* Calls the kernel that was registered as `name` for the CPU or for CUDA, which takes over the
 * arguments in `slots`, as torch does: on success the results are in `slots`. 0, or 1 with the
 * message in mock_error. */
int mock_call(const char *name, bool cuda, km_slot *slots, int arguments, int results);
extern _Thread_local char mock_error[2048];

#endif
