"""A paper: a site that renders its articles, its listings and its feed, and to which more can be published."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache, partial
from pathlib import Path
from string import Template
from threading import Lock

from tests.newsroom.certificates import Certificate
from tests.newsroom.feeds import FEEDS, Entry, Heading
from tests.newsroom.journal import Request
from tests.newsroom.layouts import Surroundings, Teaser, layout_of, number_of, slug_of
from tests.newsroom.replies import Page, Reply, html, plain, validated
from tests.newsroom.sites import NOT_FOUND, Reach
from tests.newsroom.stories import Story, stories_of, updates_of

_HERE = Path(__file__).parent
_LOCAL = timezone(timedelta(hours=7))
_WEEKDAYS = ("Thứ Hai", "Thứ Ba", "Thứ Tư", "Thứ Năm", "Thứ Sáu", "Thứ Bảy", "Chủ Nhật")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What differs between papers, as written in papers.toml."""

    host: str
    name: str
    feed: str
    feed_path: str
    article_path: str
    section_path: str
    date_text: str
    compress: bool
    robots: str
    listings: dict[str, str] = field(default_factory=dict)
    """Pages that list everything, besides the home page: their titles by path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """A page beside the articles that the feed lists as if it were one."""

    path: str
    title: str
    published: datetime
    page: Page | None = None


class Paper:
    """One paper, open to changes from any thread."""

    reach = Reach.OPEN
    certificate = Certificate.GOOD

    def __init__(self, terms: Terms, stories: Iterable[Story], extras: Iterable[Extra] = ()) -> None:
        self.terms = terms
        self.host = terms.host
        self._stories = {story.slug: story for story in stories}
        self._extras = tuple(extras)
        self._layout = layout_of(terms.host)
        self._lock = Lock()

    @property
    def home(self) -> str:
        """The address of the home page, without a slash at its end."""
        return f"https://{self.host}"

    @property
    def feed_url(self) -> str:
        """The address of the feed."""
        return self.home + self.terms.feed_path

    def stories(self) -> list[Story]:
        """Return what is out, newest first."""
        with self._lock:
            return sorted((s for s in self._stories.values() if not s.held), key=lambda s: s.published, reverse=True)

    def held(self) -> list[Story]:
        """Return what is written but not out yet, oldest first."""
        with self._lock:
            return sorted((s for s in self._stories.values() if s.held), key=lambda s: s.published)

    def publish(self, story: Story) -> str:
        """Bring a story out, or a new version of it; return its URL."""
        with self._lock:
            self._stories[story.slug] = replace(story, held=False)
        return self.url(story)

    def update(self, slug: str, **changes: object) -> str:
        """Change a story that is out: the version written for it, or the fields given; return its URL."""
        written = updates_of(self.host).get(slug)
        base = self._stories[slug] if changes or written is None else written
        return self.publish(replace(base, **{"modified": datetime.now(UTC), **changes}))  # type: ignore[arg-type]

    def url(self, story: Story) -> str:
        """Return where a story stands."""
        local = story.published.astimezone(_LOCAL)
        path = story.path or Template(self.terms.article_path).substitute(
            slug=story.slug,
            number=number_of(story.slug),
            section=slug_of(story.section),
            year=f"{local:%Y}",
            month=f"{local:%m}",
            day=f"{local:%d}",
        )
        return self.home + path

    def page(self, path: str) -> Page:
        """Return what the path gives."""
        return self._pages().get(path, NOT_FOUND)

    def _pages(self) -> Mapping[str, Page]:
        pages: dict[str, Page] = {extra.path: extra.page for extra in self._extras if extra.page}
        pages["/robots.txt"] = plain(self.terms.robots.lstrip())
        pages[self.terms.feed_path] = self._feed
        for path, title in ({"/": "Trang chủ"} | self.terms.listings).items():
            pages[path] = partial(self._listing, title, path)
        for story in self.stories():
            pages[self._path(story)] = partial(self._article, story)
        for section, path in self._sections().items():
            pages[path] = partial(self._section, section, path)
        return pages

    def _path(self, story: Story) -> str:
        return self.url(story).removeprefix(self.home)

    def _sections(self) -> dict[str, str]:
        names = sorted({story.section for story in self.stories()})
        return {name: Template(self.terms.section_path).substitute(section=slug_of(name)) for name in names}

    def _section(self, section: str, path: str, _request: Request) -> Reply:
        return self._list(section, path, [story for story in self.stories() if story.section == section])

    def _article(self, story: Story, _request: Request) -> Reply:
        others = [each for each in self.stories() if each.slug != story.slug]
        first = number_of(story.slug) % max(len(others), 1)
        turned = tuple(self._teaser(each) for each in (*others[first:], *others[:first]))
        around = replace(
            self._around(self._path(story)),
            section_url=self._sections().get(story.section, "/"),
            date_text=self._date_text(story),
            inline=turned[:2],
            related=turned[2:6],
            latest=tuple(self._teaser(each) for each in others[:3]),
        )
        return self._dressed(html(self._layout.article(story, around)), story.changed)

    def _listing(self, title: str, path: str, _request: Request) -> Reply:
        return self._list(title, path, self.stories())

    def _list(self, title: str, path: str, stories: list[Story]) -> Reply:
        text = self._layout.listing(title, map(self._teaser, stories), self._around(path))
        return self._dressed(html(text), max(story.changed for story in stories))

    def _feed(self, _request: Request) -> Reply:
        entries = [self._entry(story) for story in self.stories()] + [self._extra(each) for each in self._extras]
        entries.sort(key=lambda entry: entry.published, reverse=True)
        heading = Heading(title=self.terms.name, home=self.home + "/", url=self.feed_url)
        return self._dressed(FEEDS[self.terms.feed](heading, entries), max(entry.modified for entry in entries))

    def _dressed(self, reply: Reply, changed: datetime) -> Reply:
        return replace(validated(reply, changed=changed), compress=self.terms.compress)

    def _entry(self, story: Story) -> Entry:
        return Entry(
            url=self.url(story),
            title=story.title,
            summary=story.lead,
            author=story.author,
            published=story.published,
            modified=story.changed,
        )

    def _extra(self, extra: Extra) -> Entry:
        return Entry(
            url=self.home + extra.path,
            title=extra.title,
            summary=extra.title,
            author=self.terms.name,
            published=extra.published,
            modified=extra.published,
        )

    def _around(self, path: str) -> Surroundings:
        popular = sorted(self.stories(), key=lambda story: number_of(story.slug))[:5]
        return Surroundings(
            paper=self.terms.name,
            url=self.home + path,
            home=self.home,
            feed=self.feed_url,
            menu=tuple(Teaser(url=path, title=name) for name, path in self._sections().items()),
            most_read=tuple(map(self._teaser, popular)),
        )

    def _teaser(self, story: Story) -> Teaser:
        return Teaser(url=self._path(story), title=story.title, lead=story.lead, date=self._date_text(story))

    def _date_text(self, story: Story) -> str:
        local = story.published.astimezone(_LOCAL)
        return local.strftime(Template(self.terms.date_text).safe_substitute(weekday=_WEEKDAYS[local.weekday()]))


@cache
def all_terms() -> Mapping[str, Terms]:
    """Return the terms of every paper in papers.toml, by host."""
    written = tomllib.loads((_HERE / "papers.toml").read_text("utf-8"))
    return {each["host"]: Terms(**each) for each in written["papers"]}


def paper_of(host: str, *, stories: Iterable[Story] = (), extras: Iterable[Extra] = ()) -> Paper:
    """Return the paper of that host with its own stories, and the ones given."""
    return Paper(all_terms()[host], (*stories_of(host), *stories), extras)
