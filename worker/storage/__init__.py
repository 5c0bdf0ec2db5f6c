"""The store: candidate ledger, corpus, index and seeds in one SQL database (SQLite or PostgreSQL)."""
