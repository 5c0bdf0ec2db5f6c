"""Recognises copies: article -> fingerprint, and fingerprint and neighbours -> verdict. Pure."""

from worker.dedupe.deduper import Deduper
from worker.dedupe.explain import Passage, Passages, explain

__all__ = ["Deduper", "Passage", "Passages", "explain"]
