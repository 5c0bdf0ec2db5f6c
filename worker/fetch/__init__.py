"""Fetch one URL at a time: politely, safely, and within limits that hold."""

from worker.fetch.client import HttpFetcher
from worker.fetch.host_store import InMemoryHostStore
from worker.fetch.request import FetchTrace, Step, StepObserver
from worker.fetch.robots import Robots, RobotsDecision

__all__ = ["FetchTrace", "HttpFetcher", "InMemoryHostStore", "Robots", "RobotsDecision", "Step", "StepObserver"]
