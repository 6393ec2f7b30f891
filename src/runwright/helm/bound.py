"""Runs a program that ends with its parent: ``python bound.py PARENT_PID PROGRAM ARGS...``; standard library only.

Linux sends a process that asked for it a signal when its parent dies (prctl(2), PR_SET_PDEATHSIG). helm answers
SIGTERM by recording the release as failed. Asking happens here, after exec, and not between fork and exec in the
operator, where Python code may deadlock. Elsewhere than on Linux this is a plain exec.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell wanted
    except OSError as error:
        sys.exit(f"Error: cannot run {program[0]}: {error.strerror}; RUNWRIGHT_HELM names helm's binary")


if __name__ == "__main__":
    main()
