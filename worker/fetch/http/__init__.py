"""HTTP: one request over a connection to a checked address, and what its answer means."""
