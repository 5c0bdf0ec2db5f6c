"""Export of the corpus: columns, formats, outputs, and releases."""
