"""What the commands print: tables, the status page, an article's history, and progress."""
