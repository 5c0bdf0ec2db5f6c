"""Finds an article's fields besides its text: title, dates, canonical address, rights."""
