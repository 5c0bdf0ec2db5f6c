"""The newsroom: it serves sites on loopback for as long as it is open."""

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from tests.newsroom.certificates import Authority
from tests.newsroom.journal import Journal, Request, most_at_once
from tests.newsroom.papers import Paper
from tests.newsroom.press import demo_press
from tests.newsroom.replies import Page, Reply, answer, plain
from tests.newsroom.server import Door, Server
from tests.newsroom.sites import Reach, Served
from tests.newsroom.stories import Block, Story, updates_of

_LOOPBACK = "127.0.0.1"


class Newsroom:
    """Serves sites over TLS and plain HTTP, each on two ports of its own, from background threads.

    Use it as a context manager. Without `sites` it serves the press of the demo.
    """

    def __init__(self, sites: Iterable[Served] | None = None) -> None:
        self._sites = {site.host: site for site in (demo_press() if sites is None else sites)}
        self._journal = Journal()
        self._doors: dict[str, dict[str, Door]] = {}
        self._put: dict[tuple[str, str], Page] = {}
        self._updated: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="newsroom-")
        authority = Authority(Path(self._folder.name))
        self.ca_file = authority.ca_file
        self._server = Server(answers=self._answer, journal=self._journal)
        self._server.start()
        for site in self._sites.values():
            tls = authority.context(site.host, site.certificate)
            self._doors[site.host] = {"https": Door(host=site.host, tls=tls), "http": Door(host=site.host, tls=None)}
            self._turn(site.host, site.reach)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and thread; a second time, do nothing."""
        self._server.stop()
        self._folder.cleanup()

    @property
    def connect_to(self) -> dict[str, str]:
        """Where each host and port really is: the worker's `[fetch] connect_to`."""
        ports = {"https": 443, "http": 80}
        return {
            f"{host}:{ports[scheme]}": f"{_LOOPBACK}:{door.port}"
            for host, doors in self._doors.items()
            for scheme, door in doors.items()
        }

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make the worker find the newsroom and trust it."""
        return {
            "CORPUS_WORKER_FETCH__CONNECT_TO": json.dumps(self.connect_to),
            "CORPUS_WORKER_FETCH__CA_FILE": str(self.ca_file),
        }

    @property
    def requests(self) -> tuple[Request, ...]:
        """What was asked so far, in order."""
        return self._journal.entries()

    def asked(self, host: str, path: str | None = None) -> tuple[Request, ...]:
        """Return what was asked of a host, or of one path on it."""
        return tuple(each for each in self.requests if each.host == host and path in {None, each.path})

    def most_at_once(self, host: str) -> int:
        """Return how many requests to the host were under way at one moment, at the most."""
        return most_at_once(self.asked(host))

    def forget(self) -> None:
        """Empty the access log."""
        self._journal.forget()

    def address(self, host: str, scheme: str = "https") -> tuple[str, int]:
        """Return the loopback address and port of a host, for connecting by hand."""
        return _LOOPBACK, self._doors[host][scheme].port

    def paper(self, host: str) -> Paper:
        """Return the paper of that host; TypeError if it is a site of another kind."""
        site = self._sites[host]
        if not isinstance(site, Paper):
            raise TypeError(f"{host} is a site of fixed pages, not a paper: use put()")
        return site

    def url(self, host: str, slug: str) -> str:
        """Return the URL of a story, whether it is out already or held back."""
        paper = self.paper(host)
        return next(paper.url(story) for story in (*paper.stories(), *paper.held()) if story.slug == slug)

    def publish(self, host: str, story: Story) -> str:
        """Bring a story out: its page, its place in feed and listings; return its URL."""
        return self.paper(host).publish(story)

    def update(self, host: str, slug: str, **changes: str | tuple[Block, ...]) -> str:
        """Change a story under its URL: the fields given, else the update written for it; return the URL."""
        self._updated.add((host, slug))
        return self.paper(host).update(slug, **changes)

    def advance(self) -> str | None:
        """Let the next thing of the script happen, an update or a story held back; None once all have."""
        papers = [site for site in self._sites.values() if isinstance(site, Paper)]
        for paper in papers:
            for slug in updates_of(paper.host):
                if (paper.host, slug) not in self._updated:
                    return f"updated {self.update(paper.host, slug)}"
        for paper in papers:
            for story in paper.held():
                return f"published {paper.publish(story)}"
        return None

    def put(self, host: str, path: str, page: Page) -> None:
        """Put a page at a path of any site, over what may be there."""
        self._put[host, path] = page

    def down(self, host: str) -> None:
        """Make a site unreachable: its connections end, new ones are refused."""
        self._turn(host, Reach.REFUSED)

    def silence(self, host: str) -> None:
        """Make a site take connections and say nothing."""
        self._turn(host, Reach.SILENT)

    def up(self, host: str) -> None:
        """Make a site reachable again, at the same address."""
        self._turn(host, Reach.OPEN)

    def _turn(self, host: str, reach: Reach) -> None:
        for door in self._doors[host].values():
            self._server.set_reach(door, reach)

    def _answer(self, request: Request) -> Reply:
        if not _meant_for(request):
            return plain(f"{request.host} does not answer for {request.headers.get('host', 'nobody')}\n", status=421)
        page = self._put.get((request.host, request.path)) or self._sites[request.host].page(request.path)
        return answer(page, request)


def _meant_for(request: Request) -> bool:
    name = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    return name.lower() in {request.host, _LOOPBACK, "localhost"}
