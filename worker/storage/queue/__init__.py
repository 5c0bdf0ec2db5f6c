"""The queue of candidates: what was discovered, who works on it, how it ended; sources, hosts and backfills."""
