"""Who is asked: our packages, torch, torch.compile, and the peers that are installed.

A library maps names of operators to functions of the rows and then the parameters, which return a tuple. Peers are
called as `benchmarks/peers` calls them, through their autograd functions where they have such. FlashInfer and vLLM
add in place: they get copies.
"""

import functools
import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from .operators import OPERATORS


@dataclass
class Library:
    name: str
    calls: dict[str, Callable] = field(default_factory=dict)
    version: str | None = None
    missing: str | None = None  # why it is not asked
    ours: bool = False
    compiled: str | None = None  # "dynamic" or "per shape": calls are compiled ones
    slow_start: bool = False  # compiles for each H: few cells
    takes_any_address: bool = True  # others may end the process when data is not aligned
    fullgraph: bool = False


def version_of(*distributions: str) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


# ---- ours ----


def ours() -> Library:
    norm = importlib.import_module("kernmill_rmsnorm")
    layer = importlib.import_module("kernmill_layernorm")
    act = importlib.import_module("kernmill_activation")
    rope = importlib.import_module("kernmill_rotary")

    def one(function):
        return lambda *tensors: (function(*tensors),)

    def tokens(function):
        """Of [tokens, heads, D]: a batch of one."""

        def call(q, k, cos, sin, *weights):
            y, z = function(q[None], k[None], *weights, cos[None], sin[None], unsqueeze_dim=2)
            return y[0], z[0]

        return call

    calls = {
        "rms_norm": one(norm.rms_norm),
        "fused_add_rms_norm": norm.fused_add_rms_norm,
        "layer_norm": one(layer.layer_norm),
        "fused_add_layer_norm": layer.fused_add_layer_norm,
        "rotary": tokens(rope.rotary),
        "qk_norm_rotary": tokens(rope.qk_norm_rotary),
        "qk_norm": rope.qk_norm,
    }
    for kind in ("silu", "gelu", "gelu_tanh"):
        calls[kind] = one(getattr(act, kind))
        calls[f"{kind}_and_mul"] = one(getattr(act, f"{kind}_and_mul"))
    versions = [version_of(f"kernmill-{name}") for name in ("rmsnorm", "layernorm", "activation", "rotary")]
    known = sorted({v for v in versions if v})
    return Library("kernmill", calls, version=", ".join(known) or None, ours=True, fullgraph=True)


# ---- torch ----


def eager() -> Library:
    return Library("eager formula", {o.name: o.formula for o in OPERATORS}, version=torch.__version__)


def torch_op() -> Library:
    def rms_norm(x, weight):
        return (F.rms_norm(x, x.shape[-1:], weight, 1e-6),)

    def fused_add_rms_norm(x, residual, weight):
        total = x + residual
        return *rms_norm(total, weight), total

    calls = {"rms_norm": rms_norm, "fused_add_rms_norm": fused_add_rms_norm}
    return Library("torch F.rms_norm", calls, version=torch.__version__)


def compiled(kind: str, names: tuple[str, ...]) -> Library:
    """torch.compile of the eager formula; each call gets a function of its own."""
    calls = {o.name: o.formula for o in OPERATORS if o.name in names}
    return Library(
        f"compile, {kind}",
        calls,
        version=torch.__version__,
        compiled=kind,
        slow_start=True,
        takes_any_address=False,
    )


# ---- peers ----


def quack() -> Library:
    from quack.rmsnorm import layernorm_fwd, rmsnorm

    def layer_norm(x, weight, bias):
        return (layernorm_fwd(x, weight.float(), bias.float(), eps=1e-5),)

    calls = {
        "rms_norm": lambda x, weight: (rmsnorm(x, weight, eps=1e-6),),
        "fused_add_rms_norm": lambda x, residual, weight: rmsnorm(
            x, weight, residual=residual, eps=1e-6, prenorm=True
        ),
        "layer_norm": layer_norm,
    }
    return Library("QuACK", calls, version_of("quack-kernels"), slow_start=True, takes_any_address=False)


def flashinfer() -> Library:
    import flashinfer as module

    def fused_add_rms_norm(x, residual, weight):
        y, total = x.clone(), residual.clone()
        module.norm.fused_add_rmsnorm(y, total, weight, 1e-6)
        return y, total

    def rotary(q, k, cos, sin):
        half, size = q.shape[-1] // 2, q.shape[-1]
        cache = torch.cat((cos[:, :half], sin[:, :half]), -1).float()
        positions = torch.arange(len(q), device=q.device)
        y, z = module.apply_rope_with_cos_sin_cache(positions, q.flatten(1), k.flatten(1), size, cache)
        return y.view_as(q), z.view_as(k)

    calls = {
        "rms_norm": lambda x, weight: (module.norm.rmsnorm(x, weight, 1e-6),),
        "fused_add_rms_norm": fused_add_rms_norm,
        "layer_norm": lambda x, w, b: (module.norm.layernorm(x, w.float(), b.float(), 1e-5),),
        "silu_and_mul": lambda x: (module.activation.silu_and_mul(x),),
        "gelu_and_mul": lambda x: (module.activation.gelu_and_mul(x),),
        "gelu_tanh_and_mul": lambda x: (module.activation.gelu_tanh_and_mul(x),),
        "rotary": rotary,
    }
    return Library(
        "FlashInfer", calls, version_of("flashinfer-python"), slow_start=True, takes_any_address=False
    )


def liger() -> Library:
    from liger_kernel.ops.fused_add_rms_norm import LigerFusedAddRMSNormFunction
    from liger_kernel.ops.geglu import LigerGELUMulFunction
    from liger_kernel.ops.layer_norm import LigerLayerNormFunction
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction
    from liger_kernel.ops.rope import LigerRopeFunction
    from liger_kernel.ops.swiglu import LigerSiLUMulFunction

    def rotary(q, k, cos, sin):
        y, z = LigerRopeFunction.apply(
            q.transpose(0, 1)[None].clone(), k.transpose(0, 1)[None].clone(), cos[None], sin[None]
        )
        return y[0].transpose(0, 1), z[0].transpose(0, 1)

    calls = {  # "llama": rounded as Transformers rounds; not in place
        "rms_norm": lambda x, weight: (LigerRMSNormFunction.apply(x, weight, 1e-6, 0.0, "llama", False),),
        "fused_add_rms_norm": lambda x, residual, weight: LigerFusedAddRMSNormFunction.apply(
            x, residual, weight, 1e-6, 0.0, "llama", False
        ),
        "layer_norm": lambda x, w, b: (LigerLayerNormFunction.apply(x, w, b, 1e-5),),
        "silu_and_mul": lambda x: (LigerSiLUMulFunction.apply(*x.chunk(2, -1)),),
        "gelu_tanh_and_mul": lambda x: (LigerGELUMulFunction.apply(*x.chunk(2, -1)),),
        "rotary": rotary,
    }
    return Library("Liger", calls, version_of("liger-kernel", "liger-kernel-nightly"), slow_start=True)


def vllm() -> Library:
    from vllm import _custom_ops as module

    def rms_norm(x, weight):
        out = torch.empty_like(x)
        module.rms_norm(out, x, weight, 1e-6)
        return (out,)

    def fused_add_rms_norm(x, residual, weight):
        y, total = x.clone(), residual.clone()
        module.fused_add_rms_norm(y, total, weight, 1e-6)
        return y, total

    def gate(name, x):
        out = x.new_empty(len(x), x.shape[-1] // 2)
        getattr(torch.ops._C, name)(out, x)
        return (out,)

    def rotary(q, k, cos, sin):
        half, size = q.shape[-1] // 2, q.shape[-1]
        cache = torch.cat((cos[:, :half], sin[:, :half]), -1)
        y, z = q.flatten(1).clone(), k.flatten(1).clone()
        module.rotary_embedding(torch.arange(len(q), device=q.device), y, z, size, cache, True)
        return y.view_as(q), z.view_as(k)

    calls = {"rms_norm": rms_norm, "fused_add_rms_norm": fused_add_rms_norm, "rotary": rotary}
    for name in ("silu_and_mul", "gelu_and_mul", "gelu_tanh_and_mul"):
        calls[name] = functools.partial(gate, name)
    return Library("vLLM", calls, version_of("vllm"), takes_any_address=False)


PEERS = {"QuACK": quack, "FlashInfer": flashinfer, "Liger": liger, "vLLM": vllm}


def peers(device: str) -> list[Library]:
    """All of them; `missing` says why one cannot be asked."""
    result = []
    for name, make in PEERS.items():
        try:
            library = make()
            if device == "cpu":
                library.missing = "has no CPU functions"
        except ImportError as error:
            top = (error.name or "").partition(".")[0]
            absent = top in {"quack", "flashinfer", "liger_kernel", "vllm"}
            library = Library(name, missing="not installed" if absent else f"cannot be imported: {error}")
        except Exception as error:  # whatever a package does when it is imported
            library = Library(name, missing=f"cannot be imported: {error}")
        result.append(library)
    return result
