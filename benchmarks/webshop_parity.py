"""Does the environment `webshop` show and score what the reference WebShop shows and scores?

Replays recordings of the reference text environment (princeton-nlp/WebShop): in each mode observation, actions, reward,
end and reward breakdown of every step are compared, and the goals with those of the reference.
Prints what was compared and what was equal, with the first differences; writes JSON.

    python benchmarks/webshop_parity.py ../shared/data/webshop-1k

Other recordings in the same format are replayed with `--episodes FILE`; `--goals human` if they were made so.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from eef_webshop.site.environment import WebShop
from eef_webshop.site.goals import Goal

MODES = {"text": "observation", "text_rich": "observation_rich"}
DIFFERENCES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="official files, or a prepared store")
    parser.add_argument("--episodes", type=Path, help="recordings (default: reference_episodes.jsonl.gz of the data)")
    parser.add_argument("--reference-goals", type=Path, help="goals (default: reference_goals.json.gz of the data)")
    parser.add_argument("--goals", default="synthetic", choices=("synthetic", "human"))
    parser.add_argument("--quick", action="store_true", help="every tenth episode")
    parser.add_argument("--out", type=Path, default=Path("runs/webshop-parity/summary.json"))
    arguments = parser.parse_args()
    episodes = list(read(arguments.episodes or arguments.data / "reference_episodes.jsonl.gz"))
    report = {"episodes": len(episodes[:: 10 if arguments.quick else 1])}
    for mode, column in MODES.items():
        shop = WebShop(data=arguments.data, mode=mode, goals=arguments.goals, max_steps=None)
        report[mode] = compare(shop, episodes[:: 10 if arguments.quick else 1], column)
    expected = arguments.reference_goals or arguments.data / "reference_goals.json.gz"
    if expected.is_file() and arguments.goals == "synthetic":
        report["goals"] = compare_goals(shop, json.loads(gzip.decompress(expected.read_bytes())))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2, ensure_ascii=False))
    print(as_text(report))


def read(path: Path) -> Iterator[dict]:
    """Yield recorded episodes from JSON lines, plain or compressed."""
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return (json.loads(line) for line in text.decode().splitlines() if line.strip())


def compare(shop: WebShop, episodes: list[dict], column: str) -> dict:
    """Replay episodes and count what was compared, what was equal, and the first differences."""
    compared, equal, differences = Counter(), Counter(), []
    for episode in episodes:
        for place, what, expected, actual in pairs(shop, episode, column):
            compared[what] += 1
            equal[what] += expected == actual
            if expected != actual and len(differences) < DIFFERENCES:
                differences.append({"where": place, "what": what, "expected": expected, "actual": actual})
    return {"compared": dict(compared), "equal": dict(equal), "differences": differences}


def pairs(shop: WebShop, episode: dict, column: str) -> Iterator[tuple[str, str, object, object]]:
    """Yield place, aspect, and both values for everything that can be compared in an episode."""
    where = f"episode {episode['episode']}"
    with shop.open(shop.task(episode["goal_index"])) as session:
        if column == "observation":
            yield where, "initial observation", episode["initial_observation"], session.observation.text
        yield where, "initial actions", episode["initial_available"], session.available
        for number, recorded in enumerate(episode["steps"]):
            step = session.step(recorded["action"])
            place = f"{where}, step {number}, {recorded['action']!r}"
            yield place, "observation", recorded[column], step.observation.text
            yield place, "actions", recorded["available"], session.available
            yield place, "reward and end", [recorded["reward"], recorded["done"]], [step.reward, step.done]
            if "reward_info" in recorded:
                yield place, "reward breakdown", recorded["reward_info"], step.info.get("reward")
            if step.done:
                break


def compare_goals(shop: WebShop, reference: dict) -> dict:
    """Compare goals, their weights and the prices of products with the reference's."""
    goals = [as_recorded(shop.book.goal(index)) for index in range(len(shop.book))]
    recorded = [{k: v for k, v in goal.items() if k != "weight"} for goal in reference["goals"]]
    weights = shop.book.weights()
    prices = {}
    for index in range(len(shop.catalogue)):
        product = shop.catalogue.product(index)
        prices[product.asin] = shop.book.price(index, product)
    equal = {
        "goals": sum(a == b for a, b in zip(goals, recorded, strict=False)),
        "weights": sum(a == b["weight"] for a, b in zip(weights, reference["goals"], strict=False)),
        "prices": sum(prices.get(asin) == price for asin, price in reference["prices"].items()),
    }
    compared = {"goals": len(recorded), "weights": len(recorded), "prices": len(reference["prices"])}
    return {"compared": compared, "equal": equal, "differences": []}


def as_recorded(goal: Goal) -> dict:
    """Return a goal under the reference's names."""
    options = goal.options if isinstance(goal.options, dict) else list(goal.options)
    return {
        "asin": goal.asin,
        "category": goal.category,
        "query": goal.query,
        "name": goal.name,
        "product_category": goal.product_category,
        "instruction_text": goal.instruction,
        "attributes": list(goal.attributes),
        "price_upper": goal.price_upper,
        "goal_options": options,
    }


def as_text(report: dict) -> str:
    """Return the report as a table."""
    lines = [f"{report['episodes']} recorded episodes", ""]
    for name, part in report.items():
        if name == "episodes":
            continue
        for what, compared in part["compared"].items():
            equal = part["equal"][what]
            lines.append(
                f"{name:10} {what:20} {equal:6} of {compared:6} equal ({100 * equal / max(compared, 1):.2f} %)"
            )
        for difference in part["differences"]:
            lines.append(f"    {difference['where']}: {difference['what']}")
            lines.append(f"      expected {str(difference['expected'])[:300]!r}")
            lines.append(f"      actual   {str(difference['actual'])[:300]!r}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
