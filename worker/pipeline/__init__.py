"""The flows: they put the stages in order and decide nothing.

discover:  due sources | fetch | parse | canonicalise | enqueue
ingest:    claim       | fetch | extract | fingerprint | settle

The two meet only in the store. Whatever a stage raises as a `WorkerError` becomes an outcome here, once.
"""

from worker.pipeline.discover import Discoverer
from worker.pipeline.failures import DEADLINE
from worker.pipeline.ingest import Ingester
from worker.pipeline.poll_result import SourceReport
from worker.pipeline.seeds import SeedImporter, SeedReport
from worker.pipeline.stages import Limits, Observer, Stages, Tally

__all__ = [
    "DEADLINE",
    "Discoverer",
    "Ingester",
    "Limits",
    "Observer",
    "SeedImporter",
    "SeedReport",
    "SourceReport",
    "Stages",
    "Tally",
]
