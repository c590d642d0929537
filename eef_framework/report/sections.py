"""Report sections on success by kind of task, iteration and probe, and on exploration."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from eef_framework.evaluation.formatting import plural
from eef_framework.records import Estimate
from eef_framework.report.charts import EXPERT_MARK, Line, interval_bar, line_chart
from eef_framework.report.counts import EpisodeCounts, ExplorationCounts, RunCounts
from eef_framework.report.glossary import GLOSSARY, term
from eef_framework.report.html import Child, Element, tag
from eef_framework.report.source import Source
from eef_framework.report.table import looks, rate_text

VERDICTS = ("beneficial", "harmful", "neutral", "unknown")


def sections(source: Source, counts: RunCounts) -> Iterator[Element]:
    """Yield the sections that have data."""
    yield from _kinds(source)
    yield from _iterations(source)
    yield from _probes(source, counts)
    yield from _exploration(source, counts)


def section(ident: str, title: str, lead: list[Child], *children: Child) -> Element:
    """Return a section with a title and a short introduction."""
    return tag("section", tag("h2", title), tag("p", lead, class_="lead"), *children, id=ident)


def _kinds(source: Source) -> Iterator[Element]:
    rows = source.metrics.rows if source.metrics else ()
    last = {row.method or row.label: row for row in rows}  # of each method, the row of its last iteration
    kinds = sorted({kind for row in last.values() for kind in row.evaluation.by_kind})
    if not kinds:
        return
    style = looks(source)
    blocks = []
    for kind in kinds:
        bars: list[Child] = []
        for name, row in last.items():
            estimate = row.evaluation.by_kind.get(kind)
            if estimate:
                look = style.get(name, "s-clone")
                label = tag("span", tag("span", class_=f"dot {look}"), row.label)
                bars.append(tag("li", label, interval_bar(estimate, look), rate_text(estimate, 0)))
        sizes = {row.evaluation.by_kind[kind].n for row in last.values() if kind in row.evaluation.by_kind}
        blocks.append(
            tag("div", tag("h3", kind, tag("small", f" {plural(max(sizes), 'task')}")), tag("ul", bars), class_="kind")
        )
    lead: list[Child] = ["Success by ", term("kind"), ", after the last ", term("iteration"), " of each method."]
    yield section("kinds", "Success by kind of task", lead, tag("div", blocks, class_="kinds"))


def _iterations(source: Source) -> Iterator[Element]:
    rows = source.metrics.rows if source.metrics else ()
    if not any(row.method for row in rows):
        return
    ticks = [(float(i), "0 (clone)" if i == 0 else str(i)) for i in range(max(row.iteration for row in rows) + 1)]
    success = _by_iteration(source, {row.label: row.evaluation.success for row in rows}, len(ticks))
    charts = [line_chart(f"Success on {source.evaluated_on}", success, ticks, "iteration")]
    if all(0 <= row.evaluation.reward.mean <= 1 for row in rows):
        reward = _by_iteration(source, {row.label: row.evaluation.reward for row in rows}, len(ticks))
        charts.append(line_chart(f"Mean reward on {source.evaluated_on}", reward, ticks, "iteration", shares=False))
    lead: list[Child] = ["Results of the agent after each ", term("iteration"), ". "]
    lead += ["Vertical lines are ", term("interval", "95 % intervals"), ". The expert isn't trained."]
    yield section("iterations", "Progress by iteration", lead, tag("div", charts, class_="charts"))


def _by_iteration(source: Source, values: dict[str, Estimate], count: int) -> list[Line]:
    """Return a line for each method, starting with the clone, and a horizontal one for the expert."""
    assert source.metrics is not None
    style = looks(source)
    start = [(0.0, values[source.clone_label])] if source.clone_label in values else []
    lines = []
    for mark, method in enumerate(dict.fromkeys(row.method for row in source.metrics.rows if row.method)):
        own = [(float(r.iteration), values[r.label]) for r in source.metrics.rows if r.method == method]
        lines.append(Line(method, style[method], min(mark, EXPERT_MARK - 1), start + own))
    if "expert" in values:
        level = [(float(i), values["expert"]) for i in range(count)]
        lines.append(Line("expert", style["expert"], EXPERT_MARK, level))
    return lines


def _probes(source: Source, counts: RunCounts) -> Iterator[Element]:
    by_method: dict[str, list[Line]] = {}
    style = looks(source)
    for training in source.trainings():
        points = counts.explorations.get(training.label, ExplorationCounts()).by_probe()
        if points:
            lines = by_method.setdefault(training.method, [])
            mark = min(len(lines), EXPERT_MARK - 1)
            lines.append(
                Line(training.label, style[training.method], mark, [(float(k), estimate) for k, estimate in points])
            )
    if not by_method:
        return
    charts = []
    for method, lines in by_method.items():
        last = int(max(x for line in lines for x, _ in line.points))
        ticks = [(float(k), "start" if k == 0 else f"probe {k}" if last < 6 else str(k)) for k in range(last + 1)]
        title = f"{method}: success of the agent's attempts, by starting state"
        charts.append(line_chart(title, lines, ticks, "starting state"))
    lead: list[Child] = [
        "How often the agent succeeds from the start of a training task, and from the first, second, ... ",
        *(term("probe"), " of the expert's demonstration. Only tasks whose demonstrations were attributed (given "),
        *(term("verdict", "verdicts"), ") are counted. They can be harder than the others: some explorations "),
        "attribute only failures, or only demonstrations of tasks that nobody has solved. Where the curve rises, the "
        "expert's actions helped the agent; where it falls, they did harm.",
    ]
    yield section("probes", "Success by starting state", lead, tag("div", charts, class_="charts"))


def _exploration(source: Source, counts: RunCounts) -> Iterator[Element]:
    found = [(t, counts.explorations[t.label]) for t in source.trainings() if t.label in counts.explorations]
    if not found and not counts.examples:
        return
    cards = [_yield_card(training.label, exploration, counts) for training, exploration in found]
    if "clone" in counts.examples:
        cards.insert(0, tag("article", tag("h3", "clone"), _examples("clone", counts), class_="card"))
    lead: list[Child] = ["Results of each ", term("exploration"), " of training tasks, and the examples selected."]
    yield section("exploration", "Exploration", lead, tag("div", cards, class_="cards"))


def _yield_card(label: str, exploration: ExplorationCounts, counts: RunCounts) -> Element:
    starts = sum(exploration.starts.values(), EpisodeCounts())
    simulations = sum(exploration.simulations.values(), EpisodeCounts())
    tasks = len(exploration.starts.keys() | exploration.simulations.keys())
    facts: list[tuple[list[Child], str]] = []
    if tasks:
        facts.append((["attempts from the start"], f"{starts.n:,}, {_percent(starts.rate)} succeed"))
        facts.append((["tasks solved from the start"], f"{exploration.solved:,} of {tasks:,}"))
    if exploration.alternatives:
        facts.append(
            ([term("alternative", "alternatives"), " tried"], f"{exploration.alternatives:,}, one action each")
        )
    if (learned := exploration.predictions).total():
        text = f"{learned[True]:,} after the expert's actions, {learned[False]:,} after others"
        facts.append((["observations to predict"], text))
    if written := exploration.reflections:
        text = ", ".join(f"{written[status]:,} {status}" for status in ("usable", "unusable", "lost"))
        if without := written["absent"]:
            text += f"; none on {without:,} of the expert's actions where answers of the agent had no action"
        facts.append(([term("reflection", "reflections")], text))
    if simulations.n:
        text = f"{simulations.n:,}, {_percent(simulations.rate)} succeed"
        facts.append(([term("simulation", "simulations"), " from ", term("probe", "probes")], text))
        facts.append((["tasks solved only from a probe"], f"{exploration.solved_with_help:,}"))
    if starts.lost + simulations.lost:
        facts.append(([term("lost", "lost episodes")], f"{starts.lost + simulations.lost:,}"))
    return tag(
        "article",
        tag("h3", label),
        tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts], class_="facts"),
        _verdict_bar(exploration) if exploration.attributed else None,
        _examples(label, counts),
        tag("p", tag("a", "Show these attempts", href=f"#trajectories?{urlencode({'label': label})}"))
        if tasks
        else None,
        class_="card",
    )


def _percent(rate: Estimate) -> str:
    return f"{rate.mean:.0%}" if rate.n else "none"


def _verdict_bar(exploration: ExplorationCounts) -> Element:
    total = sum(exploration.verdicts.values()) or 1
    bar = tag("svg", class_="shares", viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true")
    left, words = 0.0, []
    for verdict in VERDICTS:
        n = exploration.verdicts.get(verdict, 0)
        if n:
            fill = "url(#hatch)" if verdict == "unknown" else None
            bar.append(tag("rect", class_=f"v-{verdict}", fill=fill, x=left, y=0, width=100 * n / total, height=10))
            left += 100 * n / total
            words.append(
                tag("li", tag("span", class_=f"swatch bar-colour v-{verdict}"), term(verdict), f" {n / total:.0%}")
            )
    title: list[Child] = [
        f"The expert's {total:,} actions in {exploration.attributed:,} demonstrations, by ",
        term("verdict"),
    ]
    silent = "No action has a verdict: selection treated all as unknown."
    note = tag("p", silent) if set(+exploration.verdicts) == {"unknown"} else None
    return tag("div", tag("p", title), bar, tag("ul", words, class_="legend"), note)


def _examples(label: str, counts: RunCounts) -> Element | None:
    sources = counts.examples.get(label)
    if sources is None:
        return None
    items: list[Child] = []
    for source, n in sources.most_common():
        key = f"source-{source}"
        items += [", " if items else " ", f"{n:,} ", term(key, source) if key in GLOSSARY else source]
    dropped = ", ".join(f"{n:,} by {name}" for name, n in counts.filtered[label].most_common())
    filtered = f"; filters dropped {dropped}" if dropped else ""
    return tag("p", term("learned", "Learned from"), items or " nothing", " trajectories" if items else "", filtered)
