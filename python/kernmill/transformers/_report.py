"""What was replaced in a model, and how it is taken back."""

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import nn

from . import _gains

_MARK = "_kernmill_replaced"  # in a replaced module's __dict__: the token of the call that did it
AS_IS = (
    "_kernmill_as_is"  # in a replaced attention's __dict__: what its forward calls for a norm that is fused
)


@dataclass
class Found:
    """A place that a kernel might take: ``forward`` of ``module`` by ``what``, or ``why`` it is kept."""

    name: str
    module: nn.Module
    why: str = ""
    what: str = ""
    forward: Callable | None = None


@dataclass
class Report:
    """What ``use`` did. ``replaced`` and ``kept`` hold (module name, class name, kernel or reason), ``left``
    (mode, family, reason) of the families whose replaced modules run their own formula in one mode."""

    model: nn.Module
    replaced: list[tuple[str, str, str]] = field(default_factory=list)
    kept: list[tuple[str, str, str]] = field(default_factory=list)
    left: list[tuple[str, str, str]] = field(default_factory=list)
    _token: object = field(default_factory=object)

    def take(self, family: str, found: Found, left: dict[str, str]) -> None:
        """Replaces the module's forward but in the modes of `left`, or writes down why not."""
        class_name = type(found.module).__name__
        if found.forward is None or len(left) == len(_gains.MODES):
            self.kept.append((found.name, class_name, found.why or left["eager"]))
            return
        forward = _gains.by_mode(found.forward, type(found.module).forward, left)
        found.module.__dict__[_MARK] = self._token
        found.module.forward = types.MethodType(forward, found.module)
        self.replaced.append((found.name, class_name, found.what))
        self.left += [row for row in ((mode, family, left[mode]) for mode in left) if row not in self.left]

    def undo(self) -> None:
        """Gives every module that this call replaced its own forward back."""
        restore(m for m in self.model.modules() if m.__dict__.get(_MARK) is self._token)

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def __str__(self) -> str:
        total = len(self.replaced) + len(self.kept)
        if not total:
            return "the model has nothing that a kernel could take"
        lines = [f"replaced {len(self.replaced)} of {total} modules"]
        for title, rows in (("replaced", self.replaced), ("kept", self.kept)):
            groups: dict[tuple[str, str], list[str]] = {}
            for name, class_name, why in rows:
                groups.setdefault((class_name, why), []).append(name)
            for (class_name, why), names in groups.items():
                shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
                lines.append(f"  {title} {class_name}: {why} ({shown})")
        for mode, family, why in self.left:
            lines.append(f"  when {mode}, {family} is left to the model's formula: {why}")
        return "\n".join(lines)

    __repr__ = __str__  # the model's own is a page


def is_replaced(module: nn.Module) -> bool:
    """Whether somebody, we or another, gave this one module a forward of its own."""
    return "forward" in module.__dict__


def marked(model: nn.Module) -> Iterable[nn.Module]:
    return (m for m in model.modules() if _MARK in m.__dict__)


def restore(modules: Iterable[nn.Module]) -> int:
    count = 0
    for module in list(modules):
        del module.__dict__[_MARK]
        del module.__dict__["forward"]
        module.__dict__.pop(AS_IS, None)
        count += 1
    return count
