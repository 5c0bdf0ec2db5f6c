"""Scripts that measure what the worker promises; none of it is shipped."""
