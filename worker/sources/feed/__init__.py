"""Parsers of feeds (RSS, RDF, Atom, CDF, JSON Feed) and of lists of feeds (OPML).

`parser.parse_feed` is the entry point. `sanitise` cuts a large or hostile feed down before feedparser reads it,
`full_text` extracts an article's text from an entry.
"""
