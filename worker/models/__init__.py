"""The values that pass between stages: one frozen type for each hop.

Source -> Page -> Candidate                                        (discover)
Candidate -> Page -> Article -> Fingerprint -> Verdict -> Outcome  (ingest)

Times are timezone-aware datetimes; stages never hand on naive ones.
"""

from worker.models.articles import (
    Article,
    Claim,
    Comparison,
    Fingerprint,
    IndexParameters,
    Neighbour,
    Outcome,
    Rights,
    Seed,
    Verdict,
    came_out,
)
from worker.models.backfills import BackfillStanding, BackfillState, Place, batch_of
from worker.models.habits import Alarm, Habits, Harvest, Learned, Sums
from worker.models.kinds import Authority, Kind, Relation, State
from worker.models.records import Address, Books, CandidateRecord, DuplicateLink, Event, StoredArticle
from worker.models.sources import (
    Candidate,
    Discovery,
    Page,
    Poll,
    Request,
    Source,
    SourceOptions,
    SourceState,
    Text,
    Validators,
)
from worker.models.watching import Figures, Health, Latest, SourceFigures

__all__ = [
    "Address",
    "Alarm",
    "Article",
    "Authority",
    "BackfillStanding",
    "BackfillState",
    "Books",
    "Candidate",
    "CandidateRecord",
    "Claim",
    "Comparison",
    "Discovery",
    "DuplicateLink",
    "Event",
    "Figures",
    "Fingerprint",
    "Habits",
    "Harvest",
    "Health",
    "IndexParameters",
    "Kind",
    "Latest",
    "Learned",
    "Neighbour",
    "Outcome",
    "Page",
    "Place",
    "Poll",
    "Relation",
    "Request",
    "Rights",
    "Seed",
    "Source",
    "SourceFigures",
    "SourceOptions",
    "SourceState",
    "State",
    "StoredArticle",
    "Sums",
    "Text",
    "Validators",
    "Verdict",
    "batch_of",
    "came_out",
]
