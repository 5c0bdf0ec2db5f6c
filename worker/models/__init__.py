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
)
from worker.models.kinds import Kind, Relation, State
from worker.models.records import Books, CandidateRecord, DuplicateLink, Event, StoredArticle
from worker.models.sources import Candidate, Discovery, Page, Poll, Request, Source, SourceState, Text, Validators

__all__ = [
    "Article",
    "Books",
    "Candidate",
    "CandidateRecord",
    "Claim",
    "Comparison",
    "Discovery",
    "DuplicateLink",
    "Event",
    "Fingerprint",
    "IndexParameters",
    "Kind",
    "Neighbour",
    "Outcome",
    "Page",
    "Poll",
    "Relation",
    "Request",
    "Rights",
    "Seed",
    "Source",
    "SourceState",
    "State",
    "StoredArticle",
    "Text",
    "Validators",
    "Verdict",
]
