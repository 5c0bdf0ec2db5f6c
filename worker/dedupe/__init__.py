"""Recognises copies: article -> fingerprint, and fingerprint and neighbours -> verdict. Pure."""

from worker.dedupe.deduper import Deduper
from worker.dedupe.explain import Passage, Passages, explain
from worker.dedupe.rules import Rules

__all__ = ["Deduper", "Passage", "Passages", "Rules", "explain"]
