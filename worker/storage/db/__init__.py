"""The database under the store: connections, transactions, tables, locks, errors and migrations."""
