"""Start a program that cannot outlive us: `python -I launch.py SIGNAL UID GID PARENT PROGRAM ARGUMENTS…`.

Standard library only: it runs by path, before and without the rest of the project. On Linux the kernel sends SIGNAL to
the program when its parent ends, however it ends. Elsewhere this process stays between the two and watches its standard
input, a pipe that only the parent holds open.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def _become(uid: int, gid: int) -> None:
    if os.geteuid() == 0 and uid != 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def control_process(option: int, value: int) -> None:
    """Linux's prctl. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def bind_to(parent: int, death_signal: int) -> None:
    """Get `death_signal` when `parent` ends; end now if it has ended. To be called after setuid, which clears it."""
    control_process(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit("the parent ended before its child began")


def _run_watching_pipe(death_signal: int, argv: list[str]) -> int:
    """Run the program as a child; pass signals on to it, and stop it when standard input ends."""
    program = subprocess.Popen(argv, stdin=subprocess.DEVNULL)  # noqa: S603 - the program is ours
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda received, _frame: program.send_signal(received))

    def watch() -> None:
        while os.read(0, 4096):
            pass
        program.send_signal(death_signal)

    threading.Thread(target=watch, daemon=True).start()
    return program.wait()


def main() -> None:
    """Take the arguments apart and become, or watch, the program."""
    death_signal, uid, gid, parent = (int(word) for word in sys.argv[1:5])
    argv = sys.argv[5:]
    _become(uid, gid)
    if sys.platform == "linux":
        bind_to(parent, death_signal)
        os.execv(argv[0], argv)  # noqa: S606 - the program is ours, no shell is wanted
    sys.exit(_run_watching_pipe(death_signal, argv))


if __name__ == "__main__":
    main()
