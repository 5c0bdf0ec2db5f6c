"""Files on the user's disk: `atomic` writes them completely or not at all, `reading` reads them without hanging."""
