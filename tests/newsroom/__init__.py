"""Small news sites on loopback, for the demo and for the tests.

    with Newsroom() as room:                       # the press of the demo: four papers, their faults, a mute host
        settings = fetch_settings(connect_to=room.connect_to, ca_file=str(room.ca_file))
        ...
        room.update("thoimoi.example", "tau-hang-ket-kenh")
        assert room.asked("thoimoi.example", "/robots.txt")

    pages = {"https://news.example/a.html": html("<p>...</p>"), "https://news.example/b": Reply(delivery=Silent())}
    with Newsroom(sites_of(pages)) as room: ...    # any pages under any host names, one feed a host

`python -m tests.newsroom` serves by itself; `python -m tests.newsroom.demo` is the demo.
"""

from tests.newsroom.certificates import Certificate
from tests.newsroom.journal import Request, most_at_once
from tests.newsroom.papers import Extra, Paper, paper_of
from tests.newsroom.press import BAO_SAI_GON, MIEN_SONG, THOI_MOI, TIN_TUC_24, TRAM_TIN, demo_press
from tests.newsroom.replies import (
    After,
    Chunked,
    Drip,
    Endless,
    InTurn,
    Page,
    Reply,
    Reset,
    Silent,
    Unannounced,
    Verbatim,
    Whole,
    WrongLength,
    gzipped,
    html,
    plain,
    redirect,
    validated,
)
from tests.newsroom.room import Newsroom
from tests.newsroom.sites import NOT_FOUND, Reach, Site, rss, sites_of
from tests.newsroom.stories import Figure, Heading, Story, seed_stories, stories_of, updates_of

__all__ = [
    "BAO_SAI_GON",
    "MIEN_SONG",
    "NOT_FOUND",
    "THOI_MOI",
    "TIN_TUC_24",
    "TRAM_TIN",
    "After",
    "Certificate",
    "Chunked",
    "Drip",
    "Endless",
    "Extra",
    "Figure",
    "Heading",
    "InTurn",
    "Newsroom",
    "Page",
    "Paper",
    "Reach",
    "Reply",
    "Request",
    "Reset",
    "Silent",
    "Site",
    "Story",
    "Unannounced",
    "Verbatim",
    "Whole",
    "WrongLength",
    "demo_press",
    "gzipped",
    "html",
    "most_at_once",
    "paper_of",
    "plain",
    "redirect",
    "rss",
    "seed_stories",
    "sites_of",
    "stories_of",
    "updates_of",
    "validated",
]
