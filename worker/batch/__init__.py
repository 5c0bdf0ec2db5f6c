"""A whole corpus deduplicated on an engine (Daft), by the same words, keys and judge as the online worker.

`dedupe.dedupe` runs it. The engine reads, shuffles, joins and sorts; what is ours are functions that it calls.
"""

import os

# Daft and Ray report each import and run to their makers unless this is set before they are imported.
os.environ["DO_NOT_TRACK"] = "1"
os.environ["DAFT_ANALYTICS_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
