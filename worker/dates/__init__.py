"""Dates as feeds, files, pages and addresses write them: one reader for all."""

from worker.dates.parsing import FoundDate, find_date, is_impossible_date, possible_dates
from worker.dates.periods import date_in_url

__all__ = ["FoundDate", "date_in_url", "find_date", "is_impossible_date", "possible_dates"]
