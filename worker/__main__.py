"""Runs the command line: `python -m worker`."""

from worker.cli import main

if __name__ == "__main__":  # processes that prepare seeds import this module under another name
    main()
