"""Mode `compact`: short pages for models that train on a laptop. Results can't be compared with published ones.

Instructions are reduced to their parts, titles to the wanted words, and options to the values most similar to the
wanted ones. Clicks have a few dozen names, so that a model can have a token for each. The text about a link precedes
its click.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from eef_framework.records import Observation
from eef_webshop.data.catalogue import Catalogue
from eef_webshop.data.product import Product
from eef_webshop.reward import has_attribute
from eef_webshop.site.goals import NO_LIMIT, Goal
from eef_webshop.site.navigation import follow, search
from eef_webshop.site.pages import CACHE_SIZE, Pages
from eef_webshop.site.scoring import COMMON, bought, words_in, words_of
from eef_webshop.site.state import BACK, BUY, NEXT, PREV, State, click

TITLE_WORDS: Final = 5
"""Maximum number of words of a title that are shown."""
VALUES: Final = 6
"""Maximum number of values of an option that are shown and can be clicked."""
VALUE_WORDS: Final = 4
"""Maximum number of words of a value that are shown."""
OPTIONS: Final = "abcdefgh"
"""Letters of options; further options aren't shown."""
FIND_KIND, FIND_DETAILS, FIND_ALL = "find kind", "find details", "find all"
"""Predefined searches: for the type of product, also with the attributes, also with the options."""


@dataclass(frozen=True, slots=True)
class CompactGoal:
    """A goal in compact form."""

    text: str
    """Its text, at the top of every page."""
    words: frozenset[str]
    """All wanted words."""
    option_words: frozenset[str]
    """The words of wanted options."""
    queries: dict[str, str]
    """Queries of the predefined searches, by the names of their clicks."""

    @classmethod
    def of(cls, goal: Goal) -> CompactGoal:
        """Return the compact form of a goal."""
        kind, attributes, values = goal.query, " ".join(goal.attributes), " ".join(goal.values)
        options = goal.options.items() if isinstance(goal.options, dict) else (("option", v) for v in goal.options)
        lines = [f"want {kind}", f"with {' , '.join(goal.attributes)}"]
        lines += [f"in {name} {_short(value)}" for name, value in options]
        limit = "" if goal.price_upper == NO_LIMIT else f"\nunder {goal.price_upper:.0f}"
        return cls(
            text="\n".join(lines) + limit,
            words=words_of(f"{kind} {attributes} {values}"),
            option_words=words_of(values),
            queries={
                FIND_KIND: kind.lower(),
                FIND_DETAILS: f"{kind} {attributes}".lower(),
                FIND_ALL: f"{kind} {attributes} {values}".lower(),
            },
        )


class CompactPages(Pages):
    """Pages of about sixty words.

    Args:
        catalogue: the products.
    """

    instructions = ""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(catalogue)
        self._compact_goals = lru_cache(maxsize=CACHE_SIZE)(lambda key: CompactGoal.of(key.goal))
        self._lines = lru_cache(maxsize=4 * CACHE_SIZE)(self._new_line)
        self._headers = lru_cache(maxsize=CACHE_SIZE)(self._new_header)
        self._values = lru_cache(maxsize=CACHE_SIZE)(self._new_values)

    def compact_goal(self, goal: Goal) -> CompactGoal:
        """Return the compact form of a goal."""
        return self._compact_goals(_GoalKey(goal))

    def observe(self, state: State, goal: Goal, reward: float) -> Observation:
        """Return the observation of a state."""
        text = f"{self.compact_goal(goal).text}\n{self._body(state, goal)}"
        return Observation(text=text, actions=tuple(map(click, self.targets(state, goal))))

    def clicked(self, state: State, goal: Goal, target: str) -> State | None:
        """Return the state after a click, or None if there is no such target, in lower case, on the page."""
        found = self.targets(state, goal).get(target)
        return None if found is None else self._enter(state, goal, *found)

    def searching(self, goal: Goal, details: bool, options: bool) -> str:
        """Return the click of a predefined search; see `Pages.searching`."""
        return click(FIND_ALL if options else FIND_DETAILS if details else FIND_KIND)

    def opening(self, state: State, index: int) -> str:
        """Return the click that opens a product of a result page."""
        return click(str(state.shown.index(index) + 1))

    def choosing(self, state: State, goal: Goal, name: str, value: str) -> str | None:
        """Return the click that chooses a value of an option, or None if there is none."""
        labels = {shown: label for label, shown in self.values(state.product, goal).items()}
        label = labels.get((name, value))
        return None if label is None else click(label)

    def targets(self, state: State, goal: Goal) -> dict[str, tuple[str, int | str | None]]:
        """Return the possible clicks, with the name and the link of each on the reference's pages."""
        buttons: dict[str, tuple[str, int | str | None]] = {BACK: (BACK, None)}
        if state.kind == "start":
            return {name: (name, None) for name in self.compact_goal(goal).queries}
        if state.kind == "results":
            pages = {PREV: state.has_prev, NEXT: state.number < state.pages}
            items = {str(place): (str(place), index) for place, index in enumerate(state.shown, 1)}
            return items | {name: (name, None) for name, there in pages.items() if there} | buttons
        if state.kind == "item":
            values = self.values(state.product, goal)
            return {label: (value, name) for label, (name, value) in values.items()} | {
                PREV: (PREV, None),
                **buttons,
                BUY: (BUY, None),
            }
        return {}

    def values(self, index: int, goal: Goal) -> dict[str, tuple[str, str]]:
        """Return the options that are shown: name and value, by the names of their clicks."""
        return self._values(_GoalKey(goal), index)

    def _new_values(self, key: _GoalKey, index: int) -> dict[str, tuple[str, str]]:
        goal = key.goal
        words, shown = self.compact_goal(goal).option_words, {}
        for letter, (name, values) in zip(OPTIONS, self._product(index).options.items(), strict=False):
            for number, value in enumerate(_most_similar(values, goal.values, words), 1):
                shown[f"{letter}{number}"] = (name, value)
        return shown

    def _enter(self, state: State, goal: Goal, name: str, link: int | str | None) -> State:
        queries = self.compact_goal(goal).queries
        if state.kind == "start":
            return search(self.catalogue, state, queries[name])
        if isinstance(link, str):  # an option, even if it has the name of a button
            return state._replace(options=tuple((dict(state.options) | {link: name}).items()))
        return follow(state, name, link)

    def _body(self, state: State, goal: Goal) -> str:
        if state.kind == "start":
            return f"start {' '.join(map(click, self.compact_goal(goal).queries))}"
        if state.kind == "results":
            return self._results(state, goal)
        return self._item(state, goal) if state.kind == "item" else "bought"

    def _results(self, state: State, goal: Goal) -> str:
        shown = [self._lines(_GoalKey(goal), index) for index in state.shown]
        new = [-1 if index in state.seen else line.matches for index, line in zip(state.shown, shown, strict=True)]
        best = new.index(max(new)) if max(new, default=0) > 0 else -1
        lines = [
            f"{line.text}{' seen' if new[place] < 0 else ' best' if place == best else ''} {click(str(place + 1))}"
            for place, line in enumerate(shown)
        ]
        how = next((name for name, query in self.compact_goal(goal).queries.items() if query == state.query), "find")
        return "\n".join([f"{how} page {state.number} of {state.pages}", *lines])

    def _item(self, state: State, goal: Goal) -> str:
        chosen, wanted, last = dict(state.options), goal.values, ""
        lines = [self._headers(_GoalKey(goal), state.product)]
        for label, (name, value) in self.values(state.product, goal).items():
            lines += [name] if name != last else []
            mark = "chosen " if chosen.get(name) == value else "wanted " if value in wanted else ""
            lines.append(f"{_short(value)} {mark}{click(label)}")
            last = name
        return "\n".join(lines)

    def _new_line(self, key: _GoalKey, index: int) -> ResultLine:
        return _line(self._product(index), key.goal, self.compact_goal(key.goal))

    def _new_header(self, key: _GoalKey, index: int) -> str:
        has, lacks = _attributes(self._product(index), key.goal)
        lines = [f"item {self._lines(key, index).text}", f"has {' , '.join(has) or 'none'}"]
        return "\n".join([*lines, *[f"lacks {' , '.join(lacks)}"] * bool(lacks)])

    def _product(self, index: int) -> Product:
        return self.product_page(index).product


class _GoalKey:
    """A goal as the key of a cache."""

    __slots__ = ("goal",)

    def __init__(self, goal: Goal) -> None:
        self.goal = goal

    def __hash__(self) -> int:
        return hash(self.goal.fingerprint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _GoalKey) and self.goal.fingerprint == other.goal.fingerprint


class ResultLine(NamedTuple):
    """A product on a result page."""

    text: str
    """The wanted words of its title, their number, and a judgement of the price."""
    matches: int
    """Number of wanted words in its title; 0 if the price is too high."""


def _line(product: Product, goal: Goal, compact_goal: CompactGoal) -> ResultLine:
    title = dict.fromkeys(words_in(product.name))
    hits = [word for word in title if word in compact_goal.words]
    shown = hits[:TITLE_WORDS] or [word for word in title if word not in COMMON][:2]
    low, high = product.pricing[0], product.pricing[:2][-1]
    price = "cheap" if max(low, high) <= goal.price_upper else "maybe" if min(low, high) <= goal.price_upper else "dear"
    return ResultLine(f"{' '.join(shown)} {len(hits)} {price}", 0 if price == "dear" else len(hits))


def _attributes(product: Product, goal: Goal) -> tuple[list[str], list[str]]:
    """Return the wanted attributes that a product has, and the attributes and options that it lacks."""
    item, offered = bought(product, (), 0.0), {value for values in product.options.values() for value in values}
    has = [attribute for attribute in goal.attributes if has_attribute(item, attribute)]
    options = goal.options.items() if isinstance(goal.options, dict) else ((value, value) for value in goal.options)
    absent = [name for name, value in options if value not in offered]
    return has, [attribute for attribute in goal.attributes if attribute not in has] + absent


def _most_similar(values: tuple[str, ...], wanted: tuple[str, ...], words: frozenset[str]) -> list[str]:
    """Return the values that share most words with the wanted ones, in the page's order."""
    known = list(dict.fromkeys(value for value in values if value))
    likely = sorted(known, key=lambda value: (value not in wanted, -len(words & words_of(value))))[:VALUES]
    return [value for value in known if value in likely]


def _short(value: str) -> str:
    return " ".join(value.split()[:VALUE_WORDS])
