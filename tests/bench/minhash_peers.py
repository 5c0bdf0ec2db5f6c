"""Clusters texts with datatrove's or text-dedup's MinHash; run by a Python that has them, not by the project's own.

    PYTHON minhash_peers.py datatrove|text-dedup TEXTS.jsonl FOLDER THRESHOLD

Prints the cluster of each text, in order, as JSON. THRESHOLD is 0 for the tool's own settings. datatrove has buckets
and hashes in place of a threshold: those that datasketch computes for it, of 112 hashes.
"""

from __future__ import annotations

import importlib
import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run the tool asked for and print the clusters."""
    tool, texts, folder, threshold = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    run = {"datatrove": datatrove, "text-dedup": text_dedup}[tool]
    count = sum(1 for _ in texts.open(encoding="utf-8"))
    root = run(texts, folder, threshold)
    print(json.dumps([find(root, number) for number in range(count)]))


def find(parent: dict[int, int], number: int) -> int:
    """Return the root of a number in a forest."""
    while parent.get(number, number) != number:
        number = parent[number]
    return number


def datatrove(texts: Path, folder: Path, threshold: float) -> dict[int, int]:
    """Return a forest of the pairs that share a bucket, by stages one and two of datatrove's MinHash."""
    dedup = importlib.import_module("datatrove.pipeline.dedup")
    readers = importlib.import_module("datatrove.pipeline.readers")
    executor = importlib.import_module("datatrove.executor").LocalPipelineExecutor
    settings = dedup.minhash.MinhashConfig()
    if threshold:
        optimal = importlib.import_module("datasketch.lsh")._optimal_param
        settings.num_buckets, settings.hashes_per_bucket = optimal(threshold, 112, 0.5, 0.5)
    signatures, buckets = str(folder / "signatures"), str(folder / "buckets")
    reader = readers.JsonlReader(str(texts.parent), glob_pattern=texts.name)
    sign = dedup.MinhashDedupSignature(output_folder=signatures, config=settings, language="vie")
    match = dedup.MinhashDedupBuckets(input_folder=signatures, output_folder=buckets, config=settings)
    executor(pipeline=[reader, sign], tasks=1, logging_dir=str(folder / "log1")).run()
    executor(pipeline=[match], tasks=settings.num_buckets, logging_dir=str(folder / "log2")).run()
    parent: dict[int, int] = {}
    for path in sorted(Path(buckets).glob("*.dups")):
        for _, one, _, other in struct.iter_unpack("<4I", path.read_bytes()):
            low, high = sorted((find(parent, one), find(parent, other)))
            parent[high] = low
    return parent


def text_dedup(texts: Path, folder: Path, threshold: float) -> dict[int, int]:
    """Return the forest that text-dedup's `minhash` keeps with `--debug`."""
    command = [sys.executable, "-m", "text_dedup.minhash", "--path", "json", "--data_files", str(texts)]
    command += ["--split", "train", "--cache_dir", str(folder / "cache"), "--output", str(folder / "kept")]
    command += ["--column", "text", "--num_proc", "1", "--debug"]
    command += ["--threshold", str(threshold)] if threshold else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    kept = pickle.loads((folder / "kept" / "uf.pkl").read_bytes())
    return dict(getattr(kept, "parent", None) or kept)


if __name__ == "__main__":
    main()
