"""Runs a command that dies with its parent: `python anchor.py PARENT_PID COMMAND [ARGUMENT...]`.

A launcher between parent and command, because the alternative (code between fork and exec) can deadlock a parent that
has threads. It replaces itself by the command, so that the command keeps the process id that the parent knows.

On Linux the kernel kills the command as soon as the parent is gone, however it went. Elsewhere this is a plain exec:
the command survives a parent that was killed outright, and nothing else differs.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from linux/prctl.h; kept across exec


def main() -> None:
    """Asks the kernel for the signal, then becomes the command.

    The signal is SIGKILL: every part survives it by design, and none is left holding a lock or a port when the same
    command is typed again.
    """
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit("the parent is gone")
    try:
        os.execvp(command[0], command)  # noqa: S606 (to become the command, without a shell, is the purpose)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
