"""Extracts an article from a page: the main text with trafilatura, and around it what trafilatura gets wrong on news.

`ProcessExtractor` and `ExtractRules` are cheap to import. `seed_article.seed_article` and `quality.LanguageDetector`
load a language model and are imported from their modules where they are needed. docs/extract.md says how the text is
found and what was measured.
"""
