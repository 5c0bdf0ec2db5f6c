"""Decides when a source is polled next, when a failed page is retried, and when an article is rechecked. Pure."""
