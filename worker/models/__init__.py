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
    publication_time,
)
from worker.models.enums import Authority, Kind, Relation, State
from worker.models.records import AuditReport, CandidateRecord, DuplicateLink, HistoryEvent, SeenAddress, StoredArticle
from worker.models.source_stats import Alarm, DecayingSums, OutcomeStats, PollHistory, PublishingStats
from worker.models.sources import (
    BackfillPlace,
    BackfillProgress,
    BackfillStatus,
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
    backfill_batch,
)
from worker.models.status import Health, RecentArticle, SourceStats, StoreStats

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
