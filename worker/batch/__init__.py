"""A whole corpus deduplicated on an engine (Daft), by the same words, keys and judge as the online worker.

`dedupe.dedupe` runs it. The engine reads, shuffles, joins and sorts; what is ours are functions that it calls.
"""

import logging
import os

# Daft and Ray report each import and run to their makers unless this is set before they are imported.
os.environ["DO_NOT_TRACK"] = "1"
os.environ["DAFT_ANALYTICS_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

# What Daft logs of a run it also raises, or it is in the report: damaged files, which it leaves out.
for _name in ("daft_local_execution", "daft_parquet"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)
