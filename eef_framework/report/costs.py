"""Report sections on costs, training losses and settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from eef_framework.evaluation.formatting import count, duration, unknown_costs
from eef_framework.records import Cost
from eef_framework.report.charts import loss_chart, share_bar
from eef_framework.report.glossary import term
from eef_framework.report.html import Child, Element, tag
from eef_framework.report.sections import section
from eef_framework.report.source import Source
from eef_framework.runs import StageKey


def cost_sections(source: Source) -> Iterator[Element]:
    """Yield the sections on costs, training and settings. Sections without data are left out."""
    yield from _costs(source)
    yield from _losses(source)
    yield _about(source)


def _costs(source: Source) -> Iterator[Element]:
    stages = source.metrics.stages if source.metrics else {}
    if not stages:
        return
    total = sum(stages.values(), Cost())
    longest = max(cost.seconds for cost in stages.values()) or 1.0
    paid = total.usd > 0
    rows = [_cost_row(stage_title(name), cost, longest, paid) for name, cost in stages.items()]
    heads: list[Child] = ["stage", "time", "all attempts", term("attempts"), term("step", "steps")]
    heads += [term("tokens", "tokens read and written while acting"), term("tokens", "tokens in training")]
    heads += ["US dollars"] * paid
    table = tag(
        "table",
        tag("thead", tag("tr", [tag("th", h, scope="col") for h in heads])),
        tag("tbody", rows),
        tag("tfoot", _cost_row("all", total, 0, paid)),
    )
    lead: list[Child] = ["What each stage of the run used. ", unknown_costs(total.answers_of_unknown_cost)]
    yield section("costs", "Costs", lead, tag("div", table, class_="scroll costs"))


def stage_title(name: str) -> str:
    """Return the title of a stage: `methods/eef/2/tune` is `eef 2: training`."""
    key = StageKey.of_path(name)
    if key is None:
        return name
    if key.phase == "collect":
        return "expert: demonstrations"
    phases = {
        "explore": "exploration",
        "select": "selection of examples",
        "world-model": "training to predict observations",
        "evaluate": "evaluation",
    }
    label = f"{key.method} {key.iteration or ''}".strip() or ("expert" if key.expert else "clone")
    return f"{label}: {phases.get(key.phase, 'training')}"


def _cost_row(title: str, cost: Cost, longest: float, paid: bool) -> Element:
    return tag(
        "tr",
        tag("th", title, scope="row"),
        tag("td", share_bar(cost.seconds / longest) if longest else None, duration(cost.seconds)),
        [tag("td", count(n)) for n in (cost.episodes, cost.simulations, cost.steps)],
        [tag("td", count(n)) for n in (cost.computed_tokens, cost.trained_tokens)],
        tag("td", f"{cost.usd:,.2f}") if paid else None,
    )


def _losses(source: Source) -> Iterator[Element]:
    curves = [(training, source.losses(training)) for training in source.trainings_with_world_models()]
    curves = [(training, points) for training, points in curves if points]
    if not curves:
        return
    charts = [
        loss_chart(training.label, points, _prepared(source.preparation(training))) for training, points in curves
    ]
    lead: list[Child] = ["The ", term("loss"), " of each training. Every chart has its own scale."]
    yield section("losses", "Training", lead, tag("div", charts, class_="charts"))


def _prepared(counted: dict[str, Any]) -> str:
    """Summarize the training data in one sentence, including what was left out."""
    parts = []
    if isinstance(counted.get("examples"), int):
        parts.append(f"{counted['examples']:,} examples")
    if isinstance(counted.get("tokens"), int) and isinstance(counted.get("tokens_with_loss"), int):
        parts.append(
            f"{counted['tokens_with_loss']:,} of {counted['tokens']:,} tokens are trained on, the rest is context"
        )
    left_out = {
        "over_long": "left out: too long",
        "without_loss": "left out: no turn to train on",
        "truncated": "truncated after the last turn that fits",
        "differently_tokenized": "with tokens that differ from the template's own",
    }
    for key, description in left_out.items():
        if isinstance(counted.get(key), list) and counted[key]:
            parts.append(f"{len(counted[key]):,} {description}")
    return "; ".join(parts)


def _about(source: Source) -> Element:
    versions = source.manifest.get("versions")
    git = source.manifest.get("git")
    rows = {
        "folder": source.run.resolve().name,
        "started": source.manifest.get("created"),
        "seed": source.manifest.get("seed"),
    }
    if isinstance(git, dict):
        rows["code"] = f"{git.get('commit', '')}{' with uncommitted changes' if git.get('dirty') else ''}"
    if isinstance(versions, dict):
        rows["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    facts = [tag("div", tag("dt", name), tag("dd", str(value))) for name, value in rows.items() if value is not None]
    return section(
        "about",
        "About this run",
        ["What you need to reproduce it."],
        tag("dl", facts, class_="facts"),
        _settings("All settings", source.config),
        _settings("What defines the methods of the baselines", source.baselines),
    )


def _settings(title: str, settings: dict[str, Any]) -> Element | None:
    plain = yaml.safe_dump(json.loads(json.dumps(settings, default=str)), sort_keys=False, allow_unicode=True)
    return tag("details", tag("summary", title), tag("pre", plain)) if settings else None
