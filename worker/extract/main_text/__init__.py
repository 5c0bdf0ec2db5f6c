"""Finds the main text of a page: removes controls, comments and link blocks, runs trafilatura, drops boilerplate.

`finder.py` is the entry point. What was measured is in docs/extract.md.
"""
