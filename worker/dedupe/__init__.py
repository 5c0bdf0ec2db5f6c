"""Recognises copies: article -> fingerprint, and fingerprint and neighbours -> verdict. Pure."""

from worker.dedupe.alignment import AlignedPassage, AlignedPassages, align_passages
from worker.dedupe.judge import Deduper

__all__ = ["AlignedPassage", "AlignedPassages", "Deduper", "align_passages"]
