"""Finds the fields of an article besides its text: title, dates, canonical address, rights."""
