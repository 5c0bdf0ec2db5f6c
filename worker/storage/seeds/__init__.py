"""The seed corpus in the store: imported in bulk, listed by file, and removed."""
