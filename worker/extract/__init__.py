"""Page to article: trafilatura for the main text, and around it what it gets wrong on news pages.

`ProcessExtractor` and `ExtractRules` are light to import; `seeds.seed_article` and `language.Languages`, which load
a language model, are imported from their modules where they are needed.
"""

from worker.extract.ipc import ExtractRules, extract_rules
from worker.extract.pool import ProcessExtractor

__all__ = ["ExtractRules", "ProcessExtractor", "extract_rules"]
