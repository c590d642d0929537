"""Does the real WebShop's search rank as the reference's Lucene does, and how fast? On its 1,000 products.

Compares with 150 recorded rankings of the reference, and times queries: all different, so that none is answered from
the cache of rankings, and repeated ones apart. Exits with 1 unless the top 10 are equal for all queries, the top 50 for
99 %, all scores agree within 1e-4 (relative), and 2,000 different queries are answered in a second of processor time
(which is what a core that does nothing else takes; the rate by the clock is printed, too).

    python benchmarks/webshop_search.py --data ../shared/data/webshop-1k
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import tempfile
import time
from pathlib import Path

LEAST_QUERIES_S = 2000.0
LARGEST_ERROR = 1e-4


def main() -> None:
    arguments = parsed()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(arguments, Path(folder))
    for name, value in figures.items():
        print(f"{name:32} {value:>12,.2f}" if abs(value) >= 0.01 else f"{name:32} {value:>12.2e}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))
    if not (
        figures["top_10_equal_percent"] == 100.0
        and figures["top_50_equal_percent"] >= 99.0
        and figures["largest_relative_error"] <= LARGEST_ERROR
        and figures["different_queries_per_cpu_s"] >= LEAST_QUERIES_S
    ):
        sys.exit("missed")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/webshop-1k"), help="products and rankings")
    parser.add_argument("--queries", type=int, default=6000, help="different queries timed")
    parser.add_argument("--quick", action="store_true", help="600 queries")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    arguments.queries = 600 if arguments.quick else arguments.queries
    return arguments


def measured(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    from eef_webshop.data import Catalogue, prepare

    summary = prepare(arguments.data, folder / "store", nouns="none")
    catalogue = Catalogue.open(folder / "store")
    with gzip.open(arguments.data / "reference_rankings.json.gz", "rt", encoding="utf-8") as file:
        recorded = json.load(file)
    queries = different_queries([entry["query"] for entry in recorded], arguments.queries)
    return {
        "queries_compared": len(recorded),
        **agreement(catalogue, recorded),
        "queries_timed": len(queries),
        **speed(catalogue, queries),
        "prepare_without_nouns_s": summary.seconds,
    }


def agreement(catalogue, recorded: list[dict]) -> dict[str, float]:
    top = {10: 0, 50: 0}
    error = 0.0
    for entry in recorded:
        found = [(catalogue.asin(index), score) for index, score in catalogue.ranked(entry["query"])]
        for count in top:
            top[count] += [asin for asin, _ in found[:count]] == [asin for asin, _ in entry["hits"][:count]]
        scores = dict(found)
        compared = [abs(scores[asin] - score) / score for asin, score in entry["hits"] if asin in scores]
        error = max([error, *compared])
    return {
        "top_10_equal_percent": 100 * top[10] / len(recorded),
        "top_50_equal_percent": 100 * top[50] / len(recorded),
        "largest_relative_error": error,
    }


def different_queries(recorded: list[str], count: int) -> list[str]:
    """Return the recorded queries and random parts of them, each once."""
    draw, found = random.Random(7), dict.fromkeys(recorded)
    while len(found) < count:
        words = draw.choice(recorded).split()
        found[" ".join(draw.sample(words, draw.randint(max(1, len(words) // 2), len(words))))] = None
    return list(found)


def speed(catalogue, queries: list[str]) -> dict[str, float]:
    from eef_webshop.data import Catalogue

    catalogue = Catalogue.open(catalogue.folder)  # with nothing in its caches
    times = {"different": [0.0, 0.0], "repeated": [0.0, 0.0]}
    for kind, asked in (("different", queries), ("repeated", queries[-1000:])):
        wall, cpu = time.perf_counter(), time.process_time()
        for query in asked:
            catalogue.search(query)
        times[kind] = [len(asked) / (time.perf_counter() - wall), len(asked) / (time.process_time() - cpu)]
    return {
        "different_queries_per_s": times["different"][0],
        "different_queries_per_cpu_s": times["different"][1],
        "repeated_queries_per_s": times["repeated"][0],
    }


if __name__ == "__main__":
    main()
