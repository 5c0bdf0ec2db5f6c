"""Finds out what of a site is worth polling, by looking at it politely; stores nothing: for `sources add`."""
