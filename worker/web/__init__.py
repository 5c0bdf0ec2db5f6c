"""The status page, `/healthz` and `/metrics` of a running daemon."""

from worker.web.metrics import Metrics
from worker.web.pages import Watched, pages
from worker.web.server import served

__all__ = ["Metrics", "Watched", "pages", "served"]
