"""The official `kernels` client and Transformers models, with our RMSNorm and without, on the packed files."""

import copy
import re

import models
import pytest
import torch
import transformers

import kernels
import kernmill.transformers
from kernels import LocalLayerRepository, Mode, use_kernel_mapping
from kernmill.transformers import _gains

MODELS = ["Qwen3", "Llama"]
MODES = {
    "inference": Mode.INFERENCE,
    "training": Mode.TRAINING,
    "inference, compiled": Mode.INFERENCE | Mode.TORCH_COMPILE,
    "training, compiled": Mode.TRAINING | Mode.TORCH_COMPILE,
}


def kernelized(model, hub, mode, device):
    """The model with our layer, put there by the official client; nothing of theirs is patched."""
    model = copy.deepcopy(model)
    repository = LocalLayerRepository(hub, layer_name="RMSNorm")
    mapping = {"RMSNorm": {device: {mode: repository}}}
    with use_kernel_mapping(mapping, inherit_mapping=False):
        return kernels.kernelize(model, mode=mode, device=device)


def replaced(model) -> int:
    return sum("kernmill_rmsnorm" in getattr(m.forward, "__module__", "") for m in model.modules())


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_greedy_tokens(hub, device, name):
    model, ids = models.make(name, device), models.tokens(device)
    ours = kernelized(model, hub, Mode.INFERENCE, device)
    assert replaced(ours) == models.norms(model) > 4
    assert (models.logits(ours, ids) - models.logits(model, ids)).abs().max() <= 1e-4
    wrong, compared = models.greedy_differences(model, ours, ids)
    assert wrong == 0 and compared > 20


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_as_close_as_eagers(hub, device, name):
    def ours(model):
        model = kernelized(model, hub, Mode.TRAINING, device)
        assert replaced(model) == models.norms(model)
        return model

    eager = models.gradient_error(name, device, lambda model: model)
    assert models.gradient_error(name, device, ours) <= 1.1 * eager


def compiled(model):
    model.forward = torch.compile(model.forward, fullgraph=True)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_compiled(hub, device, name):
    model, ids = models.make(name, device), models.tokens(device)
    want = models.logits(model, ids)
    ours = compiled(kernelized(model, hub, MODES["inference, compiled"], device))
    assert (models.logits(ours, ids) - want).abs().max() <= 1e-4
    eager = models.gradient_error(name, device, compiled)
    training = lambda model: compiled(kernelized(model, hub, MODES["training, compiled"], device))  # noqa: E731
    assert models.gradient_error(name, device, training) <= 1.1 * eager


def test_the_client_chooses_and_loads(hub):
    from kernels import get_local_kernel

    module = get_local_kernel(hub, backend=None if torch.version.cuda else "cpu")
    x = torch.randn(3, 64)
    torch.testing.assert_close(module.rms_norm(x), torch.nn.functional.rms_norm(x, (64,), eps=1e-6))
    assert module.__name__.startswith("kernmill_rmsnorm_")


def used(model):
    kernmill.transformers.use(model)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_use_and_undo(device, name):
    model, ids = models.make(name, device), models.tokens(device)
    want = models.logits(model, ids)
    report = kernmill.transformers.use(model, ["rms_norm"])
    assert len(report.replaced) == models.norms(model) and not report.kept
    assert "replaced 9 of 9" in str(report) or "replaced 5 of 5" in str(report), str(report)
    assert (models.logits(model, ids) - want).abs().max() <= 1e-4
    again = kernmill.transformers.use(model, ["rms_norm"])
    assert not again.replaced and "replaced already" in repr(again)
    with again:  # which undoes what it did: nothing
        pass
    assert not torch.equal(models.logits(model, ids), want)
    report.undo()
    assert torch.equal(models.logits(model, ids), want)
    assert kernmill.transformers.undo(model) == 0
    with kernmill.transformers.use(model, compiled=True):
        assert (models.logits(torch.compile(model, fullgraph=True), ids) - want).abs().max() <= 1e-4
    eager = models.gradient_error(name, device, lambda model: model)
    assert models.gradient_error(name, device, used) <= 1.1 * eager


FAMILIES = {  # what a layer of each model has
    "Qwen3": {"rms_norm", "silu_mul", "rotary"},
    "Llama": {"rms_norm", "silu_mul", "rotary"},
    "Gemma2": {"rms_norm", "gelu_tanh_mul", "rotary"},
    "Bert": {"layer_norm"},
}


# Every family in its place, eager and compiled, with the model's own logits; and no gradient is worse.
@pytest.mark.parametrize("name", FAMILIES)
def test_all_families(device, name):
    model, ids = models.make(name, device), models.tokens(device)
    want = models.logits(model, ids)
    report = kernmill.transformers.use(model, compiled=True)
    kernels_used = {what.split(",")[0].split(".")[1] for _, _, what in report.replaced}
    assert (kernels_used, report.kept) == (FAMILIES[name], []), str(report)
    assert (models.logits(model, ids) - want).abs().max() <= 1e-4
    compiled = torch.compile(model, fullgraph=True)
    assert (models.logits(compiled, ids) - want).abs().max() <= 1e-4
    report.undo()
    assert torch.equal(models.logits(model, ids), want)
    eager = models.gradient_error(name, device, lambda model: model)
    assert models.gradient_error(name, device, used) <= 1.1 * eager


# Rounded as Transformers rounds: the same bits.
@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_logits_are_the_same(device, name):
    model, ids = models.make(name, device, torch.bfloat16), models.tokens(device)
    want = models.logits(model, ids)
    with kernmill.transformers.use(model) as report:
        assert len(report.replaced) > models.norms(model)
        same = (models.logits(model, ids) == want).double().mean()
    assert same >= 0.99


def test_use_takes_modules_alone():
    for wrong, what in (
        ("Qwen/Qwen3-0.6B", "str"),
        (None, "NoneType"),
        (torch.nn.Linear, "the class Linear"),
    ):
        with pytest.raises(TypeError, match=rf"takes a loaded model \(a torch.nn.Module\), not {what}$"):
            kernmill.transformers.use(wrong)
    nothing = "the model has nothing that a kernel could take"
    assert str(kernmill.transformers.use(torch.nn.Linear(2, 2))) == nothing
    with pytest.raises(
        ValueError, match="there is no family 'norms': rms_norm, layer_norm, activation, rotary"
    ):
        kernmill.transformers.use(torch.nn.Linear(2, 2), ["norms"])
    assert "its eps is None" in str(kernmill.transformers.use(torch.nn.RMSNorm(8)))


def test_use_says_what_it_keeps_and_why():
    class OtherNorm(torch.nn.Module):
        def __init__(self, **extra):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.rand(32) + 0.5)
            self.variance_epsilon = 1e-6
            for key, value in extra.items():
                setattr(self, key, value)

        def forward(self, x):
            return self.weight * x / (x.abs().mean(-1, keepdim=True) + self.variance_epsilon)

    class GemmaNorm(OtherNorm):
        def forward(self, x):
            h = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
            return (h * (1 + self.weight.float())).to(x.dtype)

    model = torch.nn.ModuleDict(
        {
            "other": OtherNorm(),
            "biased": OtherNorm(bias=torch.nn.Parameter(torch.zeros(32))),
            "unknown": OtherNorm(variance_epsilon=None),
            "wide": OtherNorm().double(),
            "absent": OtherNorm().to("meta"),
            "gemma": GemmaNorm().bfloat16(),
        }
    )
    report = kernmill.transformers.use(model)
    reasons = {name: why for name, _, why in report.kept}
    assert reasons == {
        "other": "its formula is another one",
        "biased": "it has a bias",
        "unknown": "it has no epsilon under a name that is known",
        "wide": "its weight is float64",
        "absent": "its weight is on meta",
    }
    assert [(n, w) for n, _, w in report.replaced] == [
        ("gemma", "kernmill_rmsnorm.rms_norm, rounding='single', weight_offset=1")
    ]


PACKAGES = {family: package for family, (package, _) in kernmill.transformers.FAMILIES.items()}


class Graphs:
    """A backend of torch.compile that keeps the names of what the graphs call."""

    def __init__(self):
        self.count, self.calls = 0, set()

    def __call__(self, graph, inputs):
        self.count += 1
        self.calls |= {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
        return graph.forward

    def families(self) -> set[str]:
        return {family for family, package in PACKAGES.items() if any(package in call for call in self.calls)}


# What a graph holds is what the report says; and asking for the mode neither breaks nor repeats a graph.
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("left", [set(), {"activation"}, {"rms_norm", "rotary"}, set(PACKAGES)])
def test_a_family_without_gain_when_compiled_is_left_to_the_compiler(device, monkeypatch, left, training):
    times = {family: (0.5, 1.0 if family in left else 0.99) for family in PACKAGES}
    monkeypatch.setattr(_gains, "TIMES", times)
    model, ids = models.make("Qwen3", device).train(training), models.tokens(device)
    report = kernmill.transformers.use(model)
    assert {(mode, family) for mode, family, _ in report.left} == {
        ("compiled", family) for family in left - {"layer_norm"}
    }
    graphs = Graphs()
    compiled = torch.compile(model, fullgraph=True, backend=graphs)
    with torch.set_grad_enabled(training):
        for _ in range(2):
            compiled(ids)
    assert graphs.families() == set(PACKAGES) - {"layer_norm"} - left
    assert graphs.count == 1


@pytest.mark.parametrize("compiled", [None, False, True])
def test_the_user_decides_what_is_compiled(device, monkeypatch, compiled):
    monkeypatch.setattr(_gains, "TIMES", dict.fromkeys(PACKAGES, (0.5, 1.02)))
    model, ids = models.make("Llama", device), models.tokens(device)
    why = {
        None: r"no gain in the record \(H100, .*: up to 1.02 of the time\); compiled=True has it",
        False: "compiled=False",
    }
    with kernmill.transformers.use(model, ["activation", "rms_norm"], compiled=compiled) as report:
        lines = [
            line.split(": ", 1) for line in str(report).splitlines() if line.startswith("  when compiled, ")
        ]
        graphs = Graphs()
        models.logits(torch.compile(model, fullgraph=True, backend=graphs), ids)
    if compiled:
        assert (lines, report.left, graphs.families()) == ([], [], {"activation", "rms_norm"})
        return
    assert graphs.families() == set() and len(report.left) == 2
    for family, (line, reason) in zip(["activation", "rms_norm"], lines, strict=True):
        assert line == f"  when compiled, {family} is left to the model's formula"
        assert re.fullmatch(why[compiled], reason)


# Left out, a family leaves no trace: torch compiles the model that it would compile without us, and its
# logits and gradients have the same bits. Eager, the kernels run before and after.
def test_left_out_is_torchs_own_in_bits(device):
    model, ids = models.make("Qwen3", device), models.tokens(device)
    own = torch.compile(copy.deepcopy(model), fullgraph=True)
    want, want_gradients = models.logits(own, ids), models.gradients(own, ids)
    report = kernmill.transformers.use(model, compiled=False)
    eager = models.logits(model, ids)
    compiled = torch.compile(model, fullgraph=True)
    assert torch.equal(models.logits(compiled, ids), want)
    assert torch.equal(models.gradients(compiled, ids), want_gradients)
    assert torch.equal(models.logits(model, ids), eager)
    report.undo()
    assert not torch.equal(models.logits(model, ids), eager)


def test_a_family_without_gain_when_eager_must_be_named(device, monkeypatch):
    monkeypatch.setattr(_gains, "TIMES", _gains.TIMES | {"rms_norm": (1.0, 1.0), "activation": (1.01, 0.9)})
    model, ids = models.make("Llama", device), models.tokens(device)
    report = kernmill.transformers.use(model)
    assert {why.split(" (")[0] for _, _, why in report.kept} == {"no gain in the record"}
    assert {name for name, *_ in report.kept} == {
        n for n, m in model.named_modules() if "RMSNorm" in type(m).__name__
    }
    assert {(mode, family) for mode, family, _ in report.left} == {
        ("eager", "activation"),
        ("compiled", "rotary"),
    }
    graphs = Graphs()
    models.logits(torch.compile(model, fullgraph=True, backend=graphs), ids)
    assert graphs.families() == {"activation"}
    assert not kernmill.transformers.use(models.make("Llama"), ["rms_norm"]).kept


def test_every_family_has_its_figures():
    assert list(_gains.TIMES) == list(kernmill.transformers.FAMILIES)
    assert all(len(times) == len(_gains.MODES) for times in _gains.TIMES.values())


@pytest.mark.xfail(strict=True, raises=(AttributeError, ValueError), reason="Transformers' own defects")
def test_from_pretrained_with_a_local_kernel(hub, device, tmp_path):
    """What stands in the way of `from_pretrained(..., kernel_config=...)`; when it is gone, this test fails
    and says so. On a GPU: 'tuple' object has no attribute 'split', because the path is made a tuple on the
    way. On a CPU a gate comes first ("Only devices in [...] are supported")."""
    models.make("Qwen3").save_pretrained(tmp_path)
    config = transformers.KernelConfig({"RMSNorm": f"{hub}:RMSNorm"}, use_local_kernel=True)
    where = {"device_map": "cuda"} if device == "cuda" else {}
    try:
        transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path, use_kernels=True, kernel_config=config, **where
        )
    except Exception as error:
        expected = "has no attribute 'split'" if device == "cuda" else "Only devices in"
        assert expected in str(error)  # another error would be another defect
        assert isinstance(config.kernel_mapping["RMSNorm"], tuple), "the string is not made a tuple any more"
        raise
