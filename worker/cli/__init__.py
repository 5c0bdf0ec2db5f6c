"""The command line: one module for each group of commands, `base` for what they share, `render` for what they print.

Commands translate arguments into a call of `worker.runs` or a read of the store, and its result into output and an
exit status. Heavy imports are inside the functions that need them, so that `--help` and `status` start quickly.
"""

import sys

try:
    from worker.cli.main import main
except KeyboardInterrupt:  # Ctrl-C while modules are being imported; `main` handles a later one
    sys.exit(130)

__all__ = ["main"]
