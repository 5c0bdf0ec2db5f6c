"""HTTP: connections to checked addresses, one request over them, and the meaning of its response."""
