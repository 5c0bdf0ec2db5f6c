"""The status page, `/healthz` and `/metrics` of a running daemon."""
