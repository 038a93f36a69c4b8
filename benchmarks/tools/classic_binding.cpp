// The forward of kernmill_rmsnorm bound the classic way, as a yardstick for compile time: the same checks and
// the same call of the C kernel, through torch's C++ interface. -DEXTENSION includes <torch/extension.h>, as
// most projects do; without it the smaller headers that such a binding can make do with.
#ifdef EXTENSION
#include <torch/extension.h>
#else
#include <ATen/ATen.h>
#include <torch/library.h>
#endif

extern "C" void rms_norm_rows(const void *x, const void *weight, void *y, int64_t rows, int64_t columns,
                              double eps);

static at::Tensor rms_norm(const at::Tensor &x, const c10::optional<at::Tensor> &weight, double eps)
{
    TORCH_CHECK(x.dim() >= 1 && at::isFloatingType(x.scalar_type()), "x must be a floating tensor");
    TORCH_CHECK(!weight || (weight->dim() == 1 && weight->size(0) == x.size(-1)), "weight has wrong sizes");
    at::Tensor dense = x.contiguous(), y = at::empty_like(dense);
    rms_norm_rows(dense.const_data_ptr(), weight ? weight->contiguous().const_data_ptr() : nullptr,
                  y.mutable_data_ptr(), dense.numel() / dense.size(-1), dense.size(-1), eps);
    return y;
}

TORCH_LIBRARY(classic, m)
{
    m.def("rms_norm(Tensor x, Tensor? weight, float eps) -> Tensor");
}

TORCH_LIBRARY_IMPL(classic, CPU, m)
{
    m.impl("rms_norm", &rms_norm);
}
