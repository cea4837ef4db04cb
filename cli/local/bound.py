"""Run a command that ends with its parent: `python bound.py SIGNAL NICE COMMAND…` becomes the command.

SIGNAL is the number of the signal that it then gets, NICE how much of its turn on the processors it leaves to others.

Linux asks the kernel (PR_SET_PDEATHSIG survives exec); elsewhere the command simply runs. Standard library only, and
nothing slow: this runs before every part of the stack.
"""

import os
import sys

PR_SET_PDEATHSIG = 1


def bind_to_parent(number: int) -> None:
    """Let the kernel send this process a signal when its parent ends."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)


def main() -> None:
    """Become the command of the arguments."""
    parent = os.getppid()
    number, nice, *command = sys.argv[1:]
    bind_to_parent(int(number))
    os.nice(int(nice))
    # The parent may have ended before the kernel was asked.
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
