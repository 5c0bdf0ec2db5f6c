"""What the flows need of each stage, as protocols; concrete classes are named in `app` alone."""

from worker.ports.meter import Meter, Unmetered
from worker.ports.past import BackfillBook
from worker.ports.stages import (
    Clock,
    Deduper,
    Detector,
    Extractor,
    Fetcher,
    Hints,
    InputReader,
    Judge,
    Offload,
    Parser,
    SiteFetcher,
    SiteLearner,
)
from worker.ports.store import (
    HostBook,
    HostStanding,
    Ledger,
    ParagraphMemory,
    Reader,
    RobotsRecord,
    Scope,
    SeedShelf,
)

__all__ = [
    "BackfillBook",
    "Clock",
    "Deduper",
    "Detector",
    "Extractor",
    "Fetcher",
    "Hints",
    "HostBook",
    "HostStanding",
    "InputReader",
    "Judge",
    "Ledger",
    "Meter",
    "Offload",
    "ParagraphMemory",
    "Parser",
    "Reader",
    "RobotsRecord",
    "Scope",
    "SeedShelf",
    "SiteFetcher",
    "SiteLearner",
    "Unmetered",
]
