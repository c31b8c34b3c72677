"""``styleforge`` and ``python -m styleforge``."""

from __future__ import annotations

import os
import signal

from styleforge.core.errors import INTERRUPTED


def main() -> None:
    """Run the command line. Ctrl-C ends it without a traceback while modules are still loaded."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    from styleforge.cli import main as run

    run()


def _end(_number: int, _frame: object) -> None:
    """There is nothing to save yet, and loading code takes KeyboardInterrupt for its own errors."""
    os.write(2, b"Interrupted.\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
