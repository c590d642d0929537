"""First section of the report: what was run, and the results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from eef_framework.evaluation.formatting import ONE_TRAINING, describe, significance
from eef_framework.records import Difference
from eef_framework.report.charts import interval_bar
from eef_framework.report.counts import RunCounts
from eef_framework.report.glossary import method_term, term
from eef_framework.report.html import Child, Element, tag
from eef_framework.report.source import Source
from eef_framework.report.table import looks, results

ICONS = {"better": "✓", "worse": "✗", "undecided": "≈"}


def summary(source: Source, counts: RunCounts, remarks: Iterable[str]) -> Element:
    """Return the first section.

    Args:
        source: the run.
        counts: of all its rows.
        remarks: what is missing, unreadable or left out.
    """
    notes = [tag("li", remark) for remark in remarks]
    return tag(
        "section",
        tag("h2", "Summary"),
        tag("aside", tag("b", "Note"), tag("ul", notes), class_="remarks") if notes else None,
        _story(source, counts),
        _answers(source),
        tag("h3", "Results on the ", term("held-out") if source.held_out else source.evaluated_on),
        results(source, counts),
        id="found",
    )


def name_of(config: dict[str, Any], part: str) -> str:
    """Return the name of a configured component, given as a name or as a mapping."""
    value = config.get(part)
    name = value.get("name") if isinstance(value, dict) else value
    return str(name) if name else "not recorded"


def _file_of_demonstrations(config: dict[str, Any]) -> str | None:
    """Return the name of the file that was used in place of the expert's demonstrations, if any."""
    collect = config.get("collect")
    path = collect.get("trajectories") if isinstance(collect, dict) else None
    return None if path is None else PurePath(str(path)).name


def _agent(config: dict[str, Any]) -> str:
    policy = config.get("policy")
    model = policy.get("model") if isinstance(policy, dict) else None
    return f"{name_of(config, 'policy')}{f', model {model}' if isinstance(model, str) else ''}"


def _story(source: Source, counts: RunCounts) -> Element:
    config = source.config
    if not config:
        return tag("p", "The run's configuration (config.yaml) is missing, so what was run is unknown.", class_="story")
    shown = counts.demonstrations
    methods = [m for m in looks(source) if m not in ("expert", "clone", source.clone_label)]
    if config.get("iterations") == 0 and source.method in methods:
        methods.remove(source.method)
    single = [m for m in methods if m in source.layout.methods() and not source.layout.iterations(m)]
    methods = [m for m in methods if m not in single]
    beside: list[Child] = ["Also evaluated, without exploration: ", *_names(single), ". "] if single else []
    file = _file_of_demonstrations(config)
    given: list[Child] = (
        [" with an ", term("expert"), ", ", tag("b", name_of(config, "expert"))]
        if file is None
        else [", with demonstrations from the file ", tag("b", file)]
    )
    whose, attempts = ("the expert's", "its {:,} attempts") if file is None else ("the", "{:,}")
    played = f" ({shown.wins:,} of {attempts.format(shown.n + shown.lost)} succeeded)" if shown.n else ""
    clone = config.get("clone")
    if isinstance(clone, dict) and clone.get("on") == "none":
        return _untrained(config, methods, beside)
    also_failed = {"all": ", including failed ones", "marked": ", including failed ones, marked as such"}
    failures = also_failed.get(str(clone.get("on")), "") if isinstance(clone, dict) else ""
    return tag(
        "div",
        tag(
            "p",
            *("An ", term("agent"), f" ({_agent(config)}) was trained on ", term("task", "tasks"), " of the "),
            *(term("environment"), " ", tag("b", name_of(config, "environment"))),
            *(*given, ". "),
            f"It imitated {whose} {'' if failures else 'successful '}",
            *(term("demonstration", "demonstrations"), failures),
            *(f"{played}, which gave the ", term("clone"), ". "),
            # Some methods start from the initial model, and not from the clone.
            *("It was also trained ", _listed(methods), ". ") if methods else (),
            *beside,
        ),
        _methods_explained(methods),
        class_="story",
    )


def _untrained(config: dict[str, Any], methods: list[str], beside: list[Child]) -> Element:
    """Describe a run without behaviour cloning."""
    return tag(
        "div",
        tag(
            "p",
            *("An ", term("agent"), f" ({_agent(config)}) was evaluated without training on "),
            *(term("task", "tasks"), " of the ", term("environment"), " "),
            *(tag("b", name_of(config, "environment")), ". "),
            *("Then it was trained ", _listed(methods), ". ") if methods else (),
            *beside,
        ),
        _methods_explained(methods),
        class_="story",
    )


def _methods_explained(methods: list[str]) -> Element | None:
    kinds = {name.partition("-")[0].lower() for name in methods}
    if "eef" not in kinds:
        return None
    return tag(
        "p",
        *("The idea of ", term("eef", "EEF"), ": failed demonstrations still contain good actions. The agent "),
        *("continues from states along each demonstration (", term("probe", "probes"), "). Where its chance of "),
        *("success rises, it learns the expert's actions up to there; where it drops, it learns to recover. "),
        *((term("rft", "RFT"), " learns only from the agent's own successes.") if "rft" in kinds else ()),
    )


def _listed(methods: list[str]) -> list[Child]:
    return ["with the method " if len(methods) == 1 else "separately with each of the methods ", *_names(methods)]


def _names(methods: list[str]) -> list[Child]:
    parts: list[Child] = []
    for number, method in enumerate(methods):
        joint = " and " if number == len(methods) - 1 else ", "
        parts += [joint if number else "", method_term(method)]
    return parts


def _answers(source: Source) -> Element:
    metrics = source.metrics
    if metrics is None or not metrics.differences:
        text = "No comparison yet: it is computed when all methods are evaluated."
        return tag("p", text if metrics is None else "No comparison: this run has only one method.", class_="story")
    mine = {row.label for row in metrics.rows if row.method == source.method}
    own = [d for d in metrics.differences if d.sides[0] in mine] or list(metrics.differences)
    rest = [d for d in metrics.differences if d not in own]
    own.sort(key=lambda d: d.sides[1] in ("expert", source.clone_label))  # other methods come first
    span = max(max(abs(d.success.low), abs(d.success.high)) for d in metrics.differences) or 1.0
    others = [tag("li", describe(d)) for d in rest]
    return tag(
        "div",
        tag("div", [_answer(d, span, source.clone_label) for d in own], class_="answers"),
        tag("p", ONE_TRAINING, class_="story"),
        tag("details", tag("summary", "Other comparisons"), tag("ul", others)) if others else None,
    )


def _answer(difference: Difference, span: float, clone: str) -> Element:
    first, second = difference.sides
    result = significance(difference.success)
    points = f"{abs(difference.success.mean) * 100:.1f}"
    headline = {
        "better": f"Yes, by {points} points",
        "worse": f"No, {points} points worse",
        "undecided": "Undecided",
    }[result]
    return tag(
        "article",
        tag("h3", f"Is {first} better than {_described(second, clone)}?"),
        tag("p", tag("span", ICONS[result], aria_hidden="true"), " ", headline),
        interval_bar(difference.success, "s-0", -span, span),
        tag("small", describe(difference)),
        class_=f"answer {result}",
    )


def _described(name: str, clone: str) -> str:
    """Return a row's label for use in a sentence."""
    if name == clone:
        return "the clone" if name == "clone" else f"the clone ({name})"
    return "the expert" if name == "expert" else name or "the other"
