"""Input files: HTML, text, JSON Lines, lists of URLs, WARC archives, the seed corpus."""
