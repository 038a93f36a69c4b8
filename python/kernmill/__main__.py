"""``python -m kernmill ...`` is the program of this installation. Where only the Python package is installed, the
wheel for every platform, the command ``kernmill`` ends here, too, and says what to install."""

import os
import sys

from ._program import KernelError, program


def main() -> int:
    try:
        path = program()
    except KernelError as error:
        print(f"kernmill: error: {error}", file=sys.stderr)
        return 3  # what the program itself says when its environment lacks something
    return os.execv(path, [str(path), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
