"""Fetch one URL at a time: politely, safely, and within limits that hold."""

from worker.fetch.client import HttpFetcher
from worker.fetch.memory import MemoryHostBook
from worker.fetch.robots import Robots, Ruling
from worker.fetch.trace import Explanation, Observer, Step

__all__ = ["Explanation", "HttpFetcher", "MemoryHostBook", "Observer", "Robots", "Ruling", "Step"]
