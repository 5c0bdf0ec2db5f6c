"""Tests of worker/extract/main_text."""
