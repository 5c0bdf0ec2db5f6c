"""Dates as feeds, files, pages and addresses write them: one reader for all."""

from worker.dates.addresses import moment_in_address
from worker.dates.written import Written, find_written, moments_of, names_impossible_day

__all__ = ["Written", "find_written", "moment_in_address", "moments_of", "names_impossible_day"]
