"""Recognises near-duplicates: computes an article's fingerprint, and judges it against its neighbours. Pure."""
