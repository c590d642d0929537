"""Does the real WebShop's catalogue work at full size? 1.18 million products, made from the real ones' word statistics.

Every text is a chain of words in which each follows the one before it as often as in the 1,000 real products of its
department; about one word in a hundred is a new one, as model numbers are. Lengths, options, prices and attributes are
those of real products; a filler brings the files to their official size of about 4.4 kB a product. Measured:
preparation (wall and processor time, peak memory with child processes), opening, memory after 1,000 episodes in one and
in two processes, search times over queries that people typed, and whether the ranking equals an exhaustive BM25's.

    python benchmarks/webshop_scale.py              # 5.7 GB of files, an hour; --keep to use them and the store again
    python benchmarks/webshop_scale.py --products 20000
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import arguments, finish, read_json, shared_data, table

LIMITS = {
    "prepare_s": 1800.0,
    "prepare_peak_gb": 4.0,
    "open_s": 3.0,
    "resident_gb": 1.5,
    "two_processes_gb": 2.0,
    "search_p50_ms": 15.0,
    "search_p99_ms": 60.0,
}
OFFICIAL_BYTES = 4400
SPAWN = multiprocessing.get_context("spawn")


def main() -> None:
    args = arguments(
        __doc__,
        {"products": 2000, "episodes": 20, "compared": 20},
        data=(None, "the 1,000 real products; those of the shared data", Path),
        products=(1_180_000, "how many to make"),
        jobs=(None, "processes that prepare; the command's own choice", int),
        episodes=(1000, "played in each process"),
        compared=(60, "queries whose ranking is compared with an exhaustive one"),
        keep=(False, "keep files and store, and use those that are there"),
    )
    args.data = args.data or shared_data("webshop-1k")
    args.folder.mkdir(parents=True, exist_ok=True)
    store = args.folder / "store"
    figures = {"products": args.products}
    if not args.keep or not store.exists():
        figures |= made_and_prepared(args, store)
    figures |= in_fresh_process(measured, store, args)
    figures |= two_processes(store, args)
    if not args.keep:
        shutil.rmtree(args.folder)
    checks = {
        "rankings equal an exhaustive BM25's": figures["equal_rankings"] == figures["compared_rankings"] > 0,
        "every product was prepared": figures.get("prepared_products", args.products) == args.products,
    }
    if not args.quick:
        checks |= {f"{name} <= {limit:g}": figures.get(name, 0.0) <= limit for name, limit in LIMITS.items()}
    rows = [[name, value, LIMITS.get(name, "")] for name, value in figures.items()]
    finish(args, figures, table(["", "", "limit"], rows), checks)


# --- the catalogue -------------------------------------------------------------------------------------------------


class Chains:
    """Successors of words, by department and field."""

    def __init__(self, products: list[dict]) -> None:
        self.next: dict[tuple, list[str]] = defaultdict(list)
        for product in products:
            for field, text in texts_of(product):
                words = ["", *text.split(" "), ""]
                for word, after in pairwise(words):
                    self.next[product["category"], field, word].append(after)

    def text(self, draw: random.Random, category: str, field: str, length: int) -> str:
        """Draw a text of so many words."""
        words, word = [], ""
        while len(words) < length:
            word = draw.choice(self.next[category, field, word])
            if word:
                words.append(novel(draw) if draw.random() < 0.01 else word)
        return " ".join(words)


def texts_of(product: dict) -> list[tuple[str, str]]:
    """Return the texts of a product by the names of their fields."""
    bullets = product["small_description"]
    first = bullets[0] if isinstance(bullets, list) and bullets else ""
    return [("name", product["name"]), ("full_description", product["full_description"]), ("bullet", first)]


def novel(draw: random.Random) -> str:
    """Draw a word from a large vocabulary, some words far more often than others."""
    return f"x{int(draw.paretovariate(0.1)) % 3_000_000:x}"


def write_catalogue(data: Path, folder: Path, count: int) -> None:
    """Write the three official files."""
    products = read_json(data / "items_shuffle_1000.json.gz")
    extras = read_json(data / "items_ins_v2_1000.json.gz")
    human = [entry for entries in read_json(data / "items_human_ins.json.gz").values() for entry in entries]
    chains, draw = Chains(products), random.Random(233)
    folder.mkdir(parents=True, exist_ok=True)
    asins = [f"B0{number:08X}" for number in draw.sample(range(16**8), count)]
    with (folder / "items_shuffle.json").open("w") as items, (folder / "items_ins_v2.json").open("w") as more:
        for number, asin in enumerate(asins):
            base = draw.choice(products)
            record = imitated(chains, draw, base, asin)
            record["product_information"] = {"filler": "x" * max(0, OFFICIAL_BYTES - len(json.dumps(record)))}
            items.write(("[" if number == 0 else ", ") + json.dumps(record))
            more.write(("{" if number == 0 else ", ") + f'"{asin}": ' + json.dumps(extras.get(base["asin"], {})))
        items.write("]")
        more.write("}")
    chosen = draw.sample(asins, min(count, 12_000))
    instructions = {asin: [dict(draw.choice(human), asin=asin)] for asin in chosen}
    (folder / "items_human_ins.json").write_text(json.dumps(instructions))


def imitated(chains: Chains, draw: random.Random, base: dict, asin: str) -> dict:
    """Return a product like another one, with texts made from the statistics of its category."""
    made = {
        field: chains.text(draw, base["category"], field, len(text.split(" "))) if text else text
        for field, text in texts_of(base)
    }
    bullets = base["small_description"]
    if isinstance(bullets, list) and bullets:
        bullets = [made["bullet"], *bullets[1:]]
    return base | {
        "asin": asin,
        "name": made["name"],
        "full_description": made["full_description"],
        "small_description": bullets,
    }


def made_and_prepared(args: Any, store: Path) -> dict:
    """Write the catalogue unless it exists, prepare it, and return sizes and times."""
    source = args.folder / "source"
    if not source.exists():
        print(f"writing {args.products:,} products ...", flush=True)
        part = args.folder / "source.part"
        shutil.rmtree(part, ignore_errors=True)
        write_catalogue(args.data, part, args.products)
        part.rename(source)
    size = sum(path.stat().st_size for path in source.iterdir())
    shutil.rmtree(store, ignore_errors=True)
    print(f"preparing {size / 1e9:.2f} GB ...", flush=True)
    figures = in_fresh_process(prepared, source, store, args.jobs)
    return {"source_gb": size / 1e9} | figures


def prepared(source: Path, store: Path, jobs: int | None) -> dict:
    """Prepare a store, and return times and the highest memory use."""
    from eef_webshop.data import prepare

    watch = MemoryWatch()
    summary = prepare(source, store, progress=printed(), jobs=jobs)
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "prepare_s": summary.seconds,
        "prepare_cpu_s": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        "prepare_main_cpu_s": own.ru_utime + own.ru_stime,
        "prepare_peak_gb": watch.stop() / 1e9,
        "prepared_products": summary.manifest.products,
        "store_gb": sum(summary.manifest.files.values()) / 1e9,
    }


def printed():
    """Return a function that prints progress once a minute."""
    last = {"time": time.monotonic()}

    def progress(name: str, done: int, total: int) -> None:
        if time.monotonic() - last["time"] > 60:
            last["time"] = time.monotonic()
            print(f"  {name}: {done / total:.1%}", flush=True)

    return progress


class MemoryWatch:
    """The largest sum of proportional memory of this process and its children, sampled."""

    def __init__(self) -> None:
        self.peak, self._ended = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        import psutil

        me = psutil.Process()
        while not self._ended.wait(1.0):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)

    def stop(self) -> int:
        """End the watch; return the peak in bytes."""
        self._ended.set()
        self._thread.join()
        return self.peak


# --- the store -----------------------------------------------------------------------------------------------------


def measured(store: Path, args: Any) -> dict:
    """Return times and memory of episodes and searches in a store."""
    from eef_webshop.data import Catalogue

    began = time.perf_counter()
    catalogue = Catalogue.open(store)
    catalogue.product(0)
    opened = time.perf_counter() - began
    played, _environment = episodes(store, args, seed=1)
    resident = memory()
    return {
        "open_s": opened,
        **played,
        "resident_gb": resident["rss"] / 1e9,
        "resident_private_gb": resident["private"] / 1e9,
        **search_times(catalogue, args),
        **compared(catalogue, args),
    }


def queries_of(args: Any) -> list[str]:
    """Return the queries of the recorded rankings."""
    return [entry["query"] for entry in read_json(args.data / "reference_rankings.json.gz")]


def episodes(store: Path, args: Any, seed: int) -> tuple[dict, object]:
    """Play episodes on human goals: two searches, two pages of results, two products, one of them bought.

    Returns the figures, and the environment, whose memory is to be measured.
    """
    from eef_webshop.site.environment import WebShop

    began = time.perf_counter()
    environment, draw = WebShop(data=store, goals="human"), random.Random(seed)
    tasks = environment.tasks("train")
    environment.open(tasks[0])
    ready, steps, began = time.perf_counter() - began, 0, time.perf_counter()
    for _ in range(args.episodes):
        session = environment.open(tasks[draw.randrange(len(tasks))])
        words = session.task.instruction.split()
        for action in ("search", "click[next >]", "product", "search", "product", "click[buy now]"):
            if action == "search":
                action = f"search[{' '.join(draw.sample(words, max(1, len(words) // 2)))}]"
            elif action == "product":
                shown = [offer for offer in session.observation.actions or () if is_product(offer)]
                action = draw.choice(shown or ["click[< prev]"])
            session.step(action)
            steps += 1
    figures = {
        "environment_ready_s": ready,
        "episodes": args.episodes,
        "episode_steps_per_s": steps / (time.perf_counter() - began),
    }
    return figures, environment


def is_product(action: str) -> bool:
    """Return whether an action opens a product."""
    return action.startswith("click[b") and len(action) == len("click[b012345678]")


def search_times(catalogue, args: Any) -> dict:
    """Time distinct queries, none of them answered from the cache: whole ones, and parts of them."""
    draw, queries = random.Random(2), queries_of(args)
    parts = []
    for query in queries:
        words = query.split()
        parts.append(" ".join(draw.sample(words, max(1, len(words) * 3 // 4))))
    wall, cpu = [], []
    for query in (*queries, *parts):
        began, began_cpu = time.perf_counter(), time.thread_time()
        catalogue.index.top(query)
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.thread_time() - began_cpu))
    wall.sort()
    cpu.sort()
    middle, late = len(wall) // 2, int(len(wall) * 0.99)
    return {
        "search_queries": len(wall),
        "search_p50_ms": wall[middle],
        "search_p99_ms": wall[late],
        "search_cpu_p50_ms": cpu[middle],
        "search_cpu_p99_ms": cpu[late],
    }


def compared(catalogue, args: Any) -> dict:
    """Compare rankings with those of all documents scored one term after the other and sorted."""
    import numpy as np

    queries = random.Random(3).sample(queries_of(args), min(args.compared, 150))
    precedence = np.array([catalogue.asin(index) for index in range(len(catalogue))]).argsort().argsort()
    equal = 0
    for query in queries:
        scores = catalogue.index.scores(query)
        order = np.lexsort((precedence, -scores))[:50]
        found, reached = catalogue.index.top(query)
        equal += order.tolist() == found.tolist() and scores[order].tolist() == reached.tolist()
    return {"compared_rankings": len(queries), "equal_rankings": equal}


def memory() -> dict:
    """Return the memory of this process by kind, in bytes."""
    import psutil

    info = psutil.Process().memory_full_info()
    return {"rss": info.rss, "pss": info.pss, "private": info.uss}


def two_processes(store: Path, args: Any) -> dict:
    """Let two processes play at the same time, and add their shares of the memory while both are there."""
    with multiprocessing.Manager() as manager, ProcessPoolExecutor(2, SPAWN) as pool:
        barrier = manager.Barrier(2, timeout=3600)
        shares = [pool.submit(one_of_two, store, args, seed, barrier) for seed in (4, 5)]
        return {"two_processes_gb": sum(share.result() for share in shares) / 1e9}


def one_of_two(store: Path, args: Any, seed: int, barrier: Any) -> int:
    """Play in one of two processes, and return its share of the memory, in bytes."""
    _, _environment = episodes(store, args, seed)
    barrier.wait()
    share = memory()["pss"]
    barrier.wait()
    return share


def in_fresh_process(work: Callable[..., dict], *given: object) -> dict:
    """Run a function in a process of its own, so that nothing else counts towards its memory."""
    with ProcessPoolExecutor(1, SPAWN) as pool:
        return pool.submit(work, *given).result()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
