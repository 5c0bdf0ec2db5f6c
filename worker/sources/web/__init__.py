"""Parsers of web pages that link to articles: sitemaps, listing pages, archives and home pages.

`listing` and `sitemap` read sources on a regular poll; `archive` reads the same pages for `backfill`. `homepage` and
`ranking` find the sources of a site for `sources add`. `links` extracts and scores links for all of them.
"""
