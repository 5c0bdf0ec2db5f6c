"""Parsing of dates as feeds, files, pages and URLs write them.

Modules: `day_forms` (the day, in many languages), `time_of_day` (time and zone), `parsing` (both together, and the
checks), `periods` (dates in URLs, and time windows).
"""

from worker.dates.parsing import ParsedDate, find_date, is_impossible_date, possible_dates
from worker.dates.periods import date_in_url

__all__ = ["ParsedDate", "date_in_url", "find_date", "is_impossible_date", "possible_dates"]
