"""The flows: they put the stages in order and decide nothing.

discover:  due sources | fetch | parse | canonicalise | enqueue
ingest:    claim       | fetch | extract | fingerprint | settle

The two meet only in the store. Whatever a stage raises as a `WorkerError` becomes an outcome here, once.
"""
