"""Fetch one URL at a time: robots.txt, rate limits, SSRF checks, and limits of time and size."""
