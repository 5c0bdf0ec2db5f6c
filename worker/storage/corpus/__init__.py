"""The corpus: articles, their verdicts and clusters, the near-duplicate index, and all views of them."""
