"""The HTTP server of a running daemon: the status page, `/healthz` and `/metrics`."""
