"""kernmill's Python side: what Python users import, and nothing that needs a compiler.

``kernmill.load`` loads a kernel whose every digest was checked; ``kernmill.transformers`` puts kernels into a
loaded model; ``kernmill.build_backend`` builds a kernel's wheel for pip; ``kernmill.pytest_plugin`` runs a
kernel's tests on the files that were built. The program itself is ``kernmill``, in the environment's bin folder
when the platform wheel is installed.
"""

from kernmill._program import KernelError
from kernmill.load import load

__all__ = ["KernelError", "load"]
__version__ = "0.1.0"
