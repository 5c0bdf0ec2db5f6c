"""Web pages that lead to articles: sitemaps, listings, archives, home pages."""
