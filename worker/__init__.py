"""Corpus Worker."""
