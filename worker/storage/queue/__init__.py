"""The queue of candidates, from discovery to outcome, and the state of sources, hosts, backfills and workers."""
