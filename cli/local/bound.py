"""Run a command that ends with its parent: `python bound.py COMMAND…` becomes the command.

Linux asks the kernel (PR_SET_PDEATHSIG survives exec); elsewhere the command simply runs. Standard library only, and
nothing slow: this runs before every part of the stack.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def bind_to_parent(number: int = signal.SIGTERM) -> None:
    """Let the kernel send this process a signal when its parent ends."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)


def main() -> None:
    """Become the command of the arguments."""
    parent = os.getppid()
    bind_to_parent()
    # The parent may have ended before the kernel was asked.
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
