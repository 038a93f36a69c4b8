"""Norm modules of other libraries: what use() puts in their place gives what they give, in every dtype."""

import copy

import pytest
import torch
from torch import nn

import kernmill.transformers

WIDTH = 48
FAMILIES = ["rms_norm", "layer_norm"]  # also where the record shows no gain
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class RMSNorm(nn.Module):
    """As diffusers.models.normalization.RMSNorm is documented and behaves: weight and bias are optional, 16-bit
    weights take the normalised values down to their dtype, others promote."""

    def __init__(self, dim: int, eps: float, elementwise_affine: bool = True, bias: bool = False):
        super().__init__()
        self.eps, self.dim = eps, torch.Size([dim])
        self.weight = nn.Parameter(torch.ones(dim)) if elementwise_affine else None
        self.bias = nn.Parameter(torch.zeros(dim)) if elementwise_affine and bias else None

    def forward(self, hidden_states):
        y = hidden_states * torch.rsqrt(hidden_states.float().square().mean(-1, keepdim=True) + self.eps)
        if self.weight is None:
            return y.to(hidden_states.dtype)
        if self.weight.dtype in (torch.float16, torch.bfloat16):
            y = y.to(self.weight.dtype)
        return y * self.weight if self.bias is None else y * self.weight + self.bias


class OnceRoundedNorm(RMSNorm):
    """As MochiRMSNorm there: all in float32, the result in the dtype that came."""

    def forward(self, hidden_states):
        y = hidden_states * torch.rsqrt(hidden_states.float().square().mean(-1, keepdim=True) + self.eps)
        return (y if self.weight is None else y * self.weight).to(hidden_states.dtype)


class WideLayerNorm(nn.LayerNorm):
    """As FP32LayerNorm there."""

    def forward(self, inputs):
        wide = (None if p is None else p.float() for p in (self.weight, self.bias))
        return nn.functional.layer_norm(inputs.float(), self.normalized_shape, *wide, self.eps).to(
            inputs.dtype
        )


def theirs():
    module = pytest.importorskip("diffusers.models.normalization", reason="diffusers is not installed")
    return {
        "RMSNorm": module.RMSNorm,
        "OnceRoundedNorm": module.MochiRMSNorm,
        "WideLayerNorm": module.FP32LayerNorm,
    }


def modules(classes) -> nn.ModuleDict:
    torch.manual_seed(0)
    made = nn.ModuleDict(
        {
            "weight": classes["RMSNorm"](WIDTH, 1e-6),
            "none": classes["RMSNorm"](WIDTH, 1e-6, elementwise_affine=False),
            "bias": classes["RMSNorm"](WIDTH, 1e-6, bias=True),
            "once": classes["OnceRoundedNorm"](WIDTH, 1e-6),
            "wide": classes["WideLayerNorm"](WIDTH),
            "wide none": classes["WideLayerNorm"](WIDTH, elementwise_affine=False),
            "layer": nn.LayerNorm(WIDTH),
            "layer scaled": nn.LayerNorm(WIDTH, bias=False),
            "layer none": nn.LayerNorm(WIDTH, elementwise_affine=False),
            "layer several": nn.LayerNorm((16, 64), elementwise_affine=False),
            "torch": nn.RMSNorm(WIDTH, 1e-6),
            "several": nn.RMSNorm((16, 64), 1e-6, elementwise_affine=False),
        }
    )
    for parameter in made.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return made


def result(module, x):
    try:
        return module(x)
    except (RuntimeError, ValueError):
        return None


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@pytest.mark.parametrize(
    "later", [None, torch.bfloat16, torch.float64], ids=str
)  # the model is moved after use
@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
@pytest.mark.parametrize("whose", ["as documented", "diffusers"])
def test_norms_of_other_libraries(device, whose, dtype, later):
    own = {"RMSNorm": RMSNorm, "OnceRoundedNorm": OnceRoundedNorm, "WideLayerNorm": WideLayerNorm}
    model = modules(own if whose == "as documented" else theirs()).to(device, dtype)
    want = copy.deepcopy(model)
    report = kernmill.transformers.use(model, FAMILIES)
    assert {name: why for name, _, why in report.kept} == {
        "bias": "it has a bias",
        "several": "its formula is another one",
        "layer several": "it normalises over several dimensions",
    }
    assert "rounding='single'" in {name: what for name, _, what in report.replaced}["once"]
    if later is not None:
        model, want = model.to(later), want.to(later)
    generator = torch.Generator().manual_seed(1)
    for x in (torch.randn(3, 5, WIDTH, generator=generator).to(device, dtype) for dtype in DTYPES):
        for name, *_ in report.replaced:
            y, exact = result(model[name], x), result(want[name], x)
            assert (y is None) == (exact is None), (name, x.dtype)
            if y is None:
                continue
            error = ((y.double() - exact.double()).norm() / exact.double().norm()).item()
            # another rounding would be a third of a place of 16 bits away
            limit = (1 if y.dtype == torch.float32 else 0.1) * torch.finfo(exact.dtype).eps
            assert y.dtype == exact.dtype and error <= limit, (name, x.dtype, error)


# A kernel without a weight, too, is in the graph, and gives its gradient.
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: RMSNorm(WIDTH, 1e-6, elementwise_affine=False), "rmsnorm.rms_norm, rounding='hf'"),
        (lambda: nn.LayerNorm(WIDTH, elementwise_affine=False), "layernorm.layer_norm"),
    ],
    ids=["RMSNorm", "LayerNorm"],
)
def test_without_a_weight(device, make, what):
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), make()).to(device)
    x = torch.randn(4, WIDTH, device=device, requires_grad=True)
    want = torch.autograd.grad(model(x).square().sum() + model(x).sum(), x)[0]
    report = kernmill.transformers.use(model, FAMILIES, compiled=True)
    assert [row[2] for row in report.replaced] == [f"kernmill_{what}"]
    for call in (model, torch.compile(model, fullgraph=True)):
        got = torch.autograd.grad(call(x).square().sum() + call(x).sum(), x)[0]
        torch.testing.assert_close(got, want)


# A layer norm that was kept for want of a weight, or taken where no kernel is.
def test_a_layer_norm_without_a_weight_is_where_the_model_is():
    model = nn.Sequential(nn.LayerNorm(WIDTH, elementwise_affine=False))
    assert len(kernmill.transformers.use(model, FAMILIES).replaced) == 1
    model = nn.Sequential(nn.Linear(2, 2, device="meta"), nn.LayerNorm(WIDTH, elementwise_affine=False))
    assert [why for *_, why in kernmill.transformers.use(model, FAMILIES).kept] == ["the model is on meta"]


# To look at a module is not to train it.
def test_statistics_stay_as_they_are(device):
    model = (
        nn.Sequential(nn.BatchNorm1d(WIDTH, affine=True), nn.BatchNorm1d(64, affine=False)).to(device).train()
    )
    model[0].bias = None
    before = copy.deepcopy(model.state_dict())
    assert not kernmill.transformers.use(model, FAMILIES).replaced
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
