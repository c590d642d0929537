"""Does the environment `webshop` show, score and rank as the reference WebShop does?

Replays recordings of the reference text environment (princeton-nlp/WebShop): in each mode observation, actions, reward,
end and reward breakdown of every step are compared, the goals with those of the reference, and rankings with those of
its Lucene: the top 10, the top 50, and scores within 1e-4 (relative). All have to be equal, of the top 50 99 %.

    python benchmarks/webshop_parity.py
    python benchmarks/webshop_parity.py --episodes FILE --goals human      # other recordings in the same format
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from common import arguments, finish, read_json, shared_data, table
from eef_webshop.data import Catalogue, prepare
from eef_webshop.site.environment import WebShop
from eef_webshop.site.goals import Goal

MODES = {"text": "observation", "text_rich": "observation_rich"}
DIFFERENCES = 5
LARGEST_ERROR = 1e-4


def main() -> None:
    args = arguments(
        __doc__,
        {"every": 10},
        data=(None, "official files, or a prepared store; the 1,000 products of the shared data", Path),
        episodes=(None, "recordings; those of the data", Path),
        goals=("synthetic", "which goals the recordings were made with, synthetic or human"),
        every=(1, "compare every so many-th episode"),
    )
    data = args.data or shared_data("webshop-1k")
    episodes = read_json(args.episodes or data / "reference_episodes.jsonl.gz")[:: args.every]
    report: dict = {"episodes": len(episodes)}
    for mode, column in MODES.items():
        shop = WebShop(data=data, mode=mode, goals=args.goals, max_steps=None)
        report[mode] = compare(shop, episodes, column)
    if (expected := data / "reference_goals.json.gz").is_file() and args.goals == "synthetic":
        report["goals"] = compare_goals(shop, read_json(expected))
    if (expected := data / "reference_rankings.json.gz").is_file():
        report["rankings"] = compare_rankings(data, read_json(expected))
    parts = {name: part for name, part in report.items() if name != "episodes"}
    rows = [
        [name, what, part["equal"][what], compared, 100 * part["equal"][what] / max(compared, 1)]
        for name, part in parts.items()
        for what, compared in part["compared"].items()
    ]
    lines = [f"{len(episodes)} recorded episodes", "", table(["", "", "equal", "of", "%"], rows)]
    for difference in (each for part in parts.values() for each in part["differences"]):
        lines.append(f"{difference['where']}: {difference['what']}")
        lines += [f"  {side} {str(difference[side])[:300]!r}" for side in ("expected", "actual")]
    checks = {f"{name}, {what}: equal": share >= (99 if what == "top 50" else 100) for name, what, _, _, share in rows}
    checks["something was compared"] = all(compared for *_, compared, _ in rows)
    finish(args, report, "\n".join(lines), checks)


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
    goals = [as_recorded(shop.all_goals.goal(index)) for index in range(len(shop.all_goals))]
    recorded = [{k: v for k, v in goal.items() if k != "weight"} for goal in reference["goals"]]
    weights = shop.all_goals.weights()
    prices = {}
    for index in range(len(shop.catalogue)):
        product = shop.catalogue.product(index)
        prices[product.asin] = shop.all_goals.price(index, product)
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


def compare_rankings(data: Path, recorded: list[dict]) -> dict:
    """Compare rankings, and the scores of what both found."""
    equal, error = Counter(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        prepare(data, Path(folder) / "store", nouns="none")
        catalogue = Catalogue.open(Path(folder) / "store")
        for entry in recorded:
            found = {catalogue.asin(index): score for index, score in catalogue.ranked(entry["query"])}
            for count in (10, 50):
                equal[f"top {count}"] += list(found)[:count] == [asin for asin, _ in entry["hits"][:count]]
            errors = [abs(found[asin] - score) / score for asin, score in entry["hits"] if asin in found]
            equal["scores"] += max(errors, default=0.0) <= LARGEST_ERROR
            error = max([error, *errors])
    return {
        "compared": dict.fromkeys(equal, len(recorded)),
        "equal": dict(equal),
        "differences": [],
        "largest_relative_error_of_a_score": error,
    }


if __name__ == "__main__":
    main()
