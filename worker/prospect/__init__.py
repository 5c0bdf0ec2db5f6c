"""Finds out what of a site is worth polling, by looking at it politely; stores nothing: for `sources add`."""

from worker.prospect.survey import Proposal, survey
from worker.prospect.trials import key_of

__all__ = ["Proposal", "key_of", "survey"]
