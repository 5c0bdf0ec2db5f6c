"""Feeds: RSS, RDF, Atom, CDF and JSON Feed, made safe to parse; lists of feeds (OPML)."""
