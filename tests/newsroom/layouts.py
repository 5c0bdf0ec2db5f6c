"""The layouts: templates that put an article, or a list of them, among all that surrounds it on a news page."""

import json
import tomllib
import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from tests.newsroom.stories import Block, Figure, Heading, Story

_HERE = Path(__file__).parent
_INLINE_AFTER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Teaser:
    """A link to another page, with what is shown of it."""

    url: str
    title: str
    lead: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What stands around the content of a page."""

    paper: str
    url: str
    home: str
    feed: str
    menu: tuple[Teaser, ...]
    section_url: str = ""
    date_text: str = ""
    inline: tuple[Teaser, ...] = ()
    related: tuple[Teaser, ...] = ()
    latest: tuple[Teaser, ...] = ()
    most_read: tuple[Teaser, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comment:
    name: str
    ago: str
    text: str


class Layout:
    """The look of one paper."""

    def __init__(self, folder: Path) -> None:
        self._article = Template((folder / "article.html").read_text("utf-8"))
        self._listing = Template((folder / "listing.html").read_text("utf-8"))
        parts: Mapping[str, str] = tomllib.loads((folder / "parts.toml").read_text("utf-8"))
        self._parts = {name: Template(text) for name, text in parts.items()}

    def article(self, story: Story, around: Surroundings) -> str:
        """Return the page of an article."""
        comments = comments_on(story.slug)
        return self._article.substitute(
            self._common(around),
            **_escaped(
                title=story.title,
                lead=story.lead,
                author=story.author,
                section=story.section,
                section_url=around.section_url,
                keywords=", ".join(story.tags),
                number=str(number_of(story.slug)),
                published=story.published.isoformat(),
                modified=story.changed.isoformat(),
                date_text=around.date_text,
                comment_count=str(len(comments)),
            ),
            json_ld=json_ld(story, around),
            body=self._body(story, around),
            tags="".join(self._part("tag", text=tag, slug=slug_of(tag)) for tag in story.tags),
            comments="".join(self._comment(each) for each in comments),
            related=self._teasers(around.related),
            latest=self._teasers(around.latest),
        )

    def listing(self, title: str, entries: Iterable[Teaser], around: Surroundings) -> str:
        """Return a page that lists articles: a section's, or the home page."""
        shown = "\n".join(
            self._part("entry", url=each.url, title=each.title, lead=each.lead, date=each.date) for each in entries
        )
        return self._listing.substitute(self._common(around), title=escape(title), entries=shown)

    def _common(self, around: Surroundings) -> dict[str, str]:
        menu = "".join(self._part("menu", url=each.url, title=each.title) for each in around.menu)
        fields = _escaped(paper=around.paper, url=around.url, home=around.home, feed=around.feed)
        return {**fields, "menu": menu, "most_read": self._teasers(around.most_read)}

    def _body(self, story: Story, around: Surroundings) -> str:
        blocks = [self._block(each, story) for each in story.blocks]
        if around.inline:
            place = min(_INLINE_AFTER, len(blocks) - 1)
            box = self._parts["inline"].substitute(teasers=self._teasers(around.inline))
            blocks.insert(place, box)
        return "\n".join(blocks)

    def _block(self, block: Block, story: Story) -> str:
        if isinstance(block, Heading):
            return self._part("heading", text=block.text)
        if isinstance(block, Figure):
            number = str(number_of(story.slug))
            return self._part("figure", caption=block.caption, credit=block.credit, number=number)
        return self._part("paragraph", text=block)

    def _comment(self, comment: _Comment) -> str:
        return self._part("comment", name=comment.name, initial=comment.name[0], ago=comment.ago, text=comment.text)

    def _teasers(self, teasers: Iterable[Teaser]) -> str:
        return "\n".join(self._part("teaser", url=each.url, title=each.title) for each in teasers)

    def _part(self, part: str, **fields: str) -> str:
        return self._parts[part].substitute(_escaped(**fields))


@cache
def layout_of(host: str) -> Layout:
    """Return the layout kept under the host's name."""
    return Layout(_HERE / "layouts" / host)


def json_ld(story: Story, around: Surroundings) -> str:
    """Return the article's schema.org description, safe to stand in a script element."""
    described = {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "mainEntityOfPage": {"@type": "WebPage", "@id": around.url},
        "headline": story.title,
        "description": story.lead,
        "datePublished": story.published.isoformat(),
        "dateModified": story.changed.isoformat(),
        "author": {"@type": "Person", "name": story.author},
        "publisher": {"@type": "Organization", "name": around.paper, "url": around.home},
    }
    return json.dumps(described, ensure_ascii=False).replace("</", "<\\/")


def comments_on(slug: str) -> tuple[_Comment, ...]:
    """Return the few readers' comments that stand under an article, always the same for one slug."""
    lines = (_HERE / "comments.txt").read_text("utf-8").splitlines()
    first = number_of(slug)
    chosen = [lines[(first + step * 4) % len(lines)] for step in range(1 + first % 3)]
    return tuple(_Comment(name=name, ago=ago, text=text) for name, ago, text in (line.split(" | ") for line in chosen))


def number_of(slug: str) -> int:
    """Return the number a content system would have given: always the same for one slug."""
    return 100_000 + zlib.crc32(slug.encode()) % 900_000


def slug_of(text: str) -> str:
    """Return the text as it stands in a URL: lower case, no accents, hyphens."""
    bare = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    kept = "".join(each if each.isalnum() else " " for each in bare if not unicodedata.combining(each))
    return "-".join(kept.split())


def _escaped(**fields: str) -> dict[str, str]:
    return {name: escape(value) for name, value in fields.items()}
