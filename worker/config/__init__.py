"""The configuration: its shape, its types of values, how it is read and edited."""
