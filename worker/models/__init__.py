"""The values that stages exchange: one frozen dataclass for each step.

Source -> Page -> Candidate                                        (discover)
Candidate -> Page -> Article -> Fingerprint -> Verdict -> Outcome  (ingest)

All datetimes are timezone-aware. Some field names are part of an outside format, so that renaming them changes stored
data or output: those of `PublishingStats` and `IndexParameters` are keys of stored JSON (of `DecayingSums` the order
matters), those of `Health` and `Comparison` are keys of JSON output.
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
    publication_time,
)
from worker.models.enums import Authority, Kind, Relation, State
from worker.models.records import (
    AuditReport,
    CandidateRecord,
    DuplicateLink,
    Health,
    HistoryEvent,
    RecentArticle,
    SeenAddress,
    SourceStats,
    StoredArticle,
    StoreStats,
)
from worker.models.sources import (
    Alarm,
    BackfillPlace,
    BackfillProgress,
    BackfillStatus,
    Candidate,
    DecayingSums,
    Discovery,
    OutcomeStats,
    Page,
    Poll,
    PollHistory,
    PublishingStats,
    Request,
    Source,
    SourceOptions,
    SourceState,
    Text,
    Validators,
    backfill_batch,
)

__all__ = [
    "Alarm",
    "Article",
    "AuditReport",
    "Authority",
    "BackfillPlace",
    "BackfillProgress",
    "BackfillStatus",
    "Candidate",
    "CandidateRecord",
    "Claim",
    "Comparison",
    "DecayingSums",
    "Discovery",
    "DuplicateLink",
    "Fingerprint",
    "Health",
    "HistoryEvent",
    "IndexParameters",
    "Kind",
    "Neighbour",
    "Outcome",
    "OutcomeStats",
    "Page",
    "Poll",
    "PollHistory",
    "PublishingStats",
    "RecentArticle",
    "Relation",
    "Request",
    "Rights",
    "Seed",
    "SeenAddress",
    "Source",
    "SourceOptions",
    "SourceState",
    "SourceStats",
    "State",
    "StoreStats",
    "StoredArticle",
    "Text",
    "Validators",
    "Verdict",
    "backfill_batch",
    "publication_time",
]
