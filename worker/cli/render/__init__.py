"""What the commands print: tables, histories, progress."""
