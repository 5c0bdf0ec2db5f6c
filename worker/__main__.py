"""Start the command line: `python -m worker`, and the script `corpus-worker`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C while its modules are being imported ends it as quietly as later."""
    try:
        from worker.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as in worker.cli.main
    run()


if __name__ == "__main__":  # processes that prepare seeds import this module under another name
    main()
