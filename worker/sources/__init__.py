"""Reads sources: bytes in, candidates out. Nothing in here fetches, sleeps or stores."""

from worker.sources.detection import detect
from worker.sources.local import read_inputs
from worker.sources.registry import PARSERS

__all__ = ["PARSERS", "detect", "read_inputs"]
