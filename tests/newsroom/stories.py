"""The articles: read from text files, and free of any layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_CAPTION = "[ảnh] "
_HEADING = "## "


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A photograph inside an article."""

    caption: str
    credit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading inside an article."""

    text: str


Block = str | Heading | Figure
"""A paragraph, a heading or a photograph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One article. `path`: where it stands if not where its paper puts articles; `held`: not out yet at first."""

    slug: str
    title: str
    lead: str
    blocks: tuple[Block, ...]
    published: datetime
    modified: datetime | None = None
    author: str = "Ban biên tập"
    section: str = "Thời sự"
    tags: tuple[str, ...] = ()
    path: str = ""
    held: bool = False

    @property
    def changed(self) -> datetime:
        """When it was last touched."""
        return self.modified or self.published

    @property
    def text(self) -> str:
        """The words of the article alone: lead, headings and paragraphs, one a line."""
        words = [
            each.text if isinstance(each, Heading) else each for each in self.blocks if not isinstance(each, Figure)
        ]
        return "\n".join([self.lead, *words])


def parse_story(slug: str, text: str) -> Story:
    """Read a story: `name: value` lines, an empty line, the lead, then the blocks with empty lines between."""
    head, lead, *blocks = text.strip().split("\n\n")
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in head.splitlines())}
    return Story(
        slug=slug,
        title=fields["title"],
        lead=lead,
        blocks=tuple(_block(each) for each in blocks),
        published=datetime.fromisoformat(fields["date"]),
        author=fields["author"],
        section=fields["section"],
        tags=tuple(tag.strip() for tag in fields["tags"].split(",")),
        path=fields.get("path", ""),
        held=fields.get("held") == "yes",
    )


def _block(text: str) -> Block:
    if text.startswith(_HEADING):
        return Heading(text=text.removeprefix(_HEADING))
    if text.startswith(_CAPTION):
        caption, _, credit = text.removeprefix(_CAPTION).partition(" | ")
        return Figure(caption=caption, credit=credit)
    return text


@cache
def stories_of(host: str) -> tuple[Story, ...]:
    """Return the stories written for a paper, updates aside, oldest first."""
    files = (_HERE / "articles" / host).glob("*.txt")
    found = [parse_story(file.stem, file.read_text("utf-8")) for file in files if not file.stem.endswith(".update")]
    return tuple(sorted(found, key=lambda story: story.published))


@cache
def updates_of(host: str) -> Mapping[str, Story]:
    """Return the second versions written for some stories of a paper, by slug."""
    files = (_HERE / "articles" / host).glob("*.update.txt")
    slugs = {file: file.stem.removesuffix(".update") for file in files}
    return {slug: parse_story(slug, file.read_text("utf-8")) for file, slug in slugs.items()}


@cache
def seed_stories() -> Mapping[str, Story]:
    """Return the articles inside the seed files of the repository, without their boilerplate, by number."""
    return {file.stem: _seed_story(file) for file in sorted((_HERE / "seed_articles").glob("*.txt"))}


def _seed_story(file: Path) -> Story:
    title, lead, *paragraphs = file.read_text("utf-8").splitlines()
    return Story(
        slug=f"hat-giong-{file.stem}",
        title=title,
        lead=lead,
        blocks=tuple(paragraphs),
        published=datetime(2026, 3, 4, 2, tzinfo=UTC),
    )
