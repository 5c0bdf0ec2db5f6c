"""The two flows. They run the stages in order and leave every decision to pure functions.

discover:  due sources | fetch | parse | canonicalise | enqueue
ingest:    claim       | fetch | extract | fingerprint | settle

They share data only through the store. A `WorkerError` that a stage raises becomes an outcome here, in one place.
"""
