"""The store: candidate ledger, corpus, index and seeds in one SQL database (SQLite or PostgreSQL).

`open_store` is the entry point. Every call of the store is one transaction that needs a bounded amount of memory.
"""
