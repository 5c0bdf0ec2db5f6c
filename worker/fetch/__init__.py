"""Fetch one URL at a time: politely, safely, and within limits that hold."""
