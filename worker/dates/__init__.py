"""Dates as feeds, files, pages and addresses write them: one reader for all."""

from worker.dates.parsing import ParsedDate, find_date, is_impossible_date, possible_dates
from worker.dates.periods import date_in_url

__all__ = ["ParsedDate", "date_in_url", "find_date", "is_impossible_date", "possible_dates"]
