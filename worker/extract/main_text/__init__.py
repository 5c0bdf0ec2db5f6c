"""Finds the main text of a page: removes controls, comments and link blocks, runs trafilatura, drops boilerplate."""
