"""Serve the press of the demo until interrupted; with --every, let something happen from time to time."""

import argparse
import shlex
import signal
import sys
import time

from tests.newsroom.papers import Paper
from tests.newsroom.press import demo_press
from tests.newsroom.room import Newsroom


def main() -> None:
    """Serve, and say where."""
    parser = argparse.ArgumentParser(prog="python -m tests.newsroom", description=__doc__)
    parser.add_argument("--every", type=float, metavar="SECONDS", help="publish or update one article that often")
    every: float | None = parser.parse_args().every
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it, too, closes in good order
    press = demo_press()
    with Newsroom(press) as room:
        for site in press:
            feed = site.feed_url if isinstance(site, Paper) else "answers nothing"
            _say(f"https://{site.host}  at {':'.join(map(str, room.address(site.host)))}  {feed}")
        _say("\nTo let the worker read it, in another shell:\n")
        for name, value in room.environment.items():
            _say(f"export {name}={shlex.quote(value)}")
        _say("python -m worker ingest --config config/demo.toml\n")
        try:
            _carry_on(room, every)
        except KeyboardInterrupt:
            _say("closed")


def _carry_on(room: Newsroom, every: float | None) -> None:
    while True:
        time.sleep(every or 3600)
        happened = room.advance() if every else None
        if happened:
            _say(happened)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
