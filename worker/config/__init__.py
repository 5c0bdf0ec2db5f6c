"""The configuration: its schema, its field types and units, and how it is loaded and edited."""
