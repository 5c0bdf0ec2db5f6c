"""Tests of worker/extract/fields."""
