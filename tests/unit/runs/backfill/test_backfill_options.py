"""The options and the entry points of a backfill."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.fakes import FakeFetcher
from worker.config.schema import Settings
from worker.config.sources import SourceSettings
from worker.dates.periods import TimeWindow
from worker.errors import FetchError, SourceError, UsageError
from worker.models import Source, SourceOptions
from worker.runs.backfill.walker import BackfillOptions, local_entry_points, today_at, web_entry_points

SETTINGS = Settings(
    sources=(
        SourceSettings(name="bao", kind="feed", url="https://bao.example/rss"),
        SourceSettings(name="utc", kind="sitemap", url="https://bao.example/sitemap.xml", timezone="UTC"),
        SourceSettings(name="tep", kind="files", path="inbox"),
        SourceSettings(name="xa", kind="warc", url="https://bao.example/a.warc.gz"),
    )
)
JANUARY = TimeWindow(start=datetime(2026, 1, 30, tzinfo=UTC), end=datetime(2026, 2, 1, tzinfo=UTC))


def options(source: str = "bao", **more: object) -> BackfillOptions:
    return BackfillOptions(source=source, first=date(2026, 1, 1), last=date(2026, 1, 31), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "start", "end"),
    [
        ("bao", datetime(2025, 12, 31, 17, tzinfo=UTC), datetime(2026, 1, 31, 16, 59, 59, 999999, tzinfo=UTC)),
        ("utc", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_days_are_in_the_time_zone_of_the_source(source: str, start: datetime, end: datetime) -> None:
    asked = options(source)

    window = asked.archive_query(asked.source_of(SETTINGS)).window

    assert (window.start, window.end) == (start, end)


@pytest.mark.parametrize(("source", "day"), [("bao", 21), ("utc", 20), ("nobody", 21)])
def test_today_is_the_date_in_the_time_zone_of_the_source(source: str, day: int) -> None:
    evening = datetime(2026, 11, 20, 18, tzinfo=UTC)

    assert today_at(SETTINGS, source, now=evening) == date(2026, 11, day)


def test_the_same_backfill_has_the_same_name_and_another_has_another() -> None:
    names = {
        options().name,
        options(limit=5, discover_only=True, afresh=True).name,
        options(changed_later=True).name,
        options(open_ended=True).name,
        options("utc").name,
    }

    assert len(names) == 4


def test_an_open_ended_backfill_has_the_same_name_on_another_day() -> None:
    today = BackfillOptions(source="bao", first=date(2026, 1, 1), last=date(2026, 11, 22), open_ended=True)
    tomorrow = BackfillOptions(source="bao", first=date(2026, 1, 1), last=date(2026, 11, 23), open_ended=True)

    assert today.name == tomorrow.name


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (options("nirgends"), "the configuration has bao, utc, tep, xa"),
        (options("tep"), "corpus-worker ingest"),
        (options("xa"), "corpus-worker ingest"),
        (BackfillOptions(source="bao", first=date(2026, 2, 1), last=date(2026, 1, 1)), "swap them"),
        (BackfillOptions(source="bao", first=date(2026, 2, 1), last=date.max), "the last possible date"),
    ],
)
def test_impossible_options_are_refused(asked: BackfillOptions, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asked.source_of(SETTINGS)


class Site(FakeFetcher):
    """A fetcher with the sitemaps of a robots.txt."""

    def __init__(self, named: tuple[str, ...] = (), answers: dict[str, object] | None = None) -> None:
        super().__init__(answers or {}, robots=lambda _: named)


def source(kind: str, url: str, *, archive: str = "") -> Source:
    return Source(name="bao", kind=kind, url=url, options=SourceOptions(archive=archive))


SITEMAP = '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"></urlset>'
FEED, SECTION, FRONT = "https://bao.example/rss", "https://bao.example/thoi-su", "https://bao.example/"


@pytest.mark.parametrize(
    ("asked", "named", "answers", "roots"),
    [
        (source("feed", FEED), ("https://cdn.example/s.xml",), {}, ["https://cdn.example/s.xml", FEED]),
        (source("feed", FEED), (), {}, [FEED]),
        (
            source("feed", FEED),
            (),
            {"https://bao.example/sitemap.xml": "<html>no</html>", "https://bao.example/sitemap_index.xml": SITEMAP},
            ["https://bao.example/sitemap_index.xml", FEED],
        ),
        (source("listing", SECTION), ("https://bao.example/s.xml",), {}, [SECTION]),
        (source("listing", FRONT), ("https://bao.example/s.xml",), {}, ["https://bao.example/s.xml", FRONT]),
        (
            source("sitemap", "https://bao.example/x.xml"),
            ("https://bao.example/s.xml",),
            {},
            ["https://bao.example/x.xml"],
        ),
        (
            source("feed", FEED, archive="https://bao.example/{year}/{month}"),
            ("https://bao.example/s.xml",),
            {},
            ["https://bao.example/2026/02", "https://bao.example/2026/01"],
        ),
    ],
)
async def test_the_entry_points_of_a_source(
    asked: Source, named: tuple[str, ...], answers: dict[str, object], roots: list[str]
) -> None:
    found = await web_entry_points(asked, JANUARY, Site(named, answers))

    assert [url for _, url in found] == roots


async def test_a_site_that_is_down_is_not_mistaken_for_one_without_sitemaps() -> None:
    down = FetchError("timeout", reason="timeout", retry=True)

    with pytest.raises(FetchError):
        await web_entry_points(source("feed", FEED), JANUARY, Site(answers={"https://bao.example/sitemap.xml": down}))


def test_archives_in_folders_are_found_by_file_extension(tmp_path: Path) -> None:
    for name in ("b/2.warc", "a/1.warc.gz", "3.arc.gz", "page.html", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    found = local_entry_points(source("warc", str(tmp_path)))

    assert [Path(url).relative_to(tmp_path).as_posix() for _, url in found] == ["3.arc.gz", "a/1.warc.gz", "b/2.warc"]


@pytest.mark.parametrize("name", ["nirgends", "empty", "page.html"])
def test_the_error_for_a_missing_archive_names_the_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.html").touch()

    with pytest.raises(SourceError, match=name):
        local_entry_points(source("warc", str(tmp_path / name)))
