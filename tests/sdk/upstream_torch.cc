// Our prototypes of torch's C functions after torch's own: a difference is a compile error, since a
// C function has one type. test_upstream.py compiles this file, and checks that a difference is
// found.
#include <torch/csrc/stable/c/shim.h>

#define KM_UPSTREAM_TYPES
#include <kernmill/torch.h>

// Found by name at run time: detail/driver.h.
extern "C" int32_t aoti_torch_get_current_cuda_stream(int32_t device, void **stream);

static_assert(sizeof(km_slot) == sizeof(StableIValue), "a slot");
