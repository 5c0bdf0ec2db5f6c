"""When to come back: to a source after a poll, to a page after a failure or at a given age. Pure."""
