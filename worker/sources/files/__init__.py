"""Readers of local files: HTML, plain text, JSON Lines, URL lists, WARC archives and the seed corpus.

`inputs.read_inputs` is the entry point for `ingest PATH`: it walks a folder and chooses a reader by file extension.
"""
