"""Short pages for models so small that they train on a laptop. Results on them don't compare with published ones.

The instruction shrinks to its parts. Titles shrink to words that are asked for, options to those most like the wanted
ones, and everything to be clicked has one of a few dozen names, so that a model can have a token for each. What a page
says stands before the click that it is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from eef_framework.records import Observation
from eef_webshop.reward import has_attribute
from eef_webshop.site.browser import follow, search
from eef_webshop.site.goals import NO_LIMIT, Goal
from eef_webshop.site.pages import REMEMBERED, Pages
from eef_webshop.site.scoring import COMMON, bought, words_in, words_of
from eef_webshop.site.state import BACK, BUY, NEXT, PER_PAGE, PREV, State, click, parse

if TYPE_CHECKING:
    from eef_webshop.data.catalogue import Catalogue
    from eef_webshop.data.product import Product

TITLE_WORDS: Final = 5
"""Most words of a title that are shown."""
VALUES: Final = 6
"""Most values of an option that are shown and can be clicked."""
VALUE_WORDS: Final = 4
"""Most words of a value that are shown."""
OPTIONS: Final = "abcdefgh"
"""Letters of options; further ones aren't shown."""
FIND_KIND, FIND_DETAILS, FIND_ALL = "find kind", "find details", "find all"
"""Searches made up beforehand: for the kind of product, with the attributes, with the options as well."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A goal in short."""

    text: str
    words: frozenset[str]
    """All words that are asked for."""
    option_words: frozenset[str]
    queries: dict[str, str]
    """Search words by what is clicked for them."""

    @classmethod
    def of(cls, goal: Goal) -> Wish:
        """Shorten a goal."""
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
    """Pages of some sixty words.

    Args:
        catalogue: the products.
    """

    instructions = ""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(catalogue)
        self._wishes = lru_cache(maxsize=REMEMBERED)(lambda key: Wish.of(key.goal))
        self._lines = lru_cache(maxsize=4 * REMEMBERED)(self._new_line)
        self._abouts = lru_cache(maxsize=REMEMBERED)(self._new_about)
        self._values = lru_cache(maxsize=REMEMBERED)(self._new_values)

    def wish(self, goal: Goal) -> Wish:
        """Return a goal in short."""
        return self._wishes(_Key(goal))

    def observe(self, state: State, goal: Goal, reward: float) -> Observation:
        """Return what the agent sees."""
        text = f"{self.wish(goal).text}\n{self._body(state, goal)}"
        return Observation(text=text, actions=tuple(map(click, self.targets(state, goal))))

    def follow(self, state: State, goal: Goal, action: str) -> State | None:
        """Return where an action leads, or None. `search[...]` works on every page, though none lists it."""
        name, argument = parse(action)
        if argument is None:
            return None
        argument = argument.lower()
        if name == "search":
            return search(self.catalogue, state, argument)
        target = self.targets(state, goal).get(argument) if name == "click" else None
        return None if target is None else self._enter(state, goal, *target)

    def searching(self, goal: Goal, details: bool, options: bool) -> str:
        """Return the click that searches for the goal's kind of product, if wanted with attributes and options."""
        return click(FIND_ALL if options else FIND_DETAILS if details else FIND_KIND)

    def opening(self, state: State, index: int) -> str:
        """Return the click that opens a product of a page of results."""
        return click(str(state.shown.index(index) + 1))

    def choosing(self, state: State, goal: Goal, name: str, value: str) -> str | None:
        """Return the click that chooses an option's value on a product's page, or None if there is none."""
        labels = {shown: label for label, shown in self.values(state.product, goal).items()}
        label = labels.get((name, value))
        return None if label is None else click(label)

    def targets(self, state: State, goal: Goal) -> dict[str, tuple[str, int | str | None]]:
        """Return what can be clicked: its name here, and for each its name and link in the reference's pages."""
        buttons: dict[str, tuple[str, int | str | None]] = {BACK: (BACK, None)}
        if state.kind == "start":
            return {name: (name, None) for name in self.wish(goal).queries}
        if state.kind == "results":
            pages = {PREV: state.has_prev, NEXT: state.number * PER_PAGE < len(state.found)}
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
        """Return the options that are shown: name and value by what is clicked to choose it."""
        return self._values(_Key(goal), index)

    def _new_values(self, key: _Key, index: int) -> dict[str, tuple[str, str]]:
        goal = key.goal
        words, shown = self.wish(goal).option_words, {}
        for letter, (name, values) in zip(OPTIONS, self._product(index).options.items(), strict=False):
            for number, value in enumerate(_likeliest(values, goal.values, words), 1):
                shown[f"{letter}{number}"] = (name, value)
        return shown

    def _enter(self, state: State, goal: Goal, name: str, link: int | str | None) -> State:
        queries = self.wish(goal).queries
        if state.kind == "start":
            return search(self.catalogue, state, queries[name])
        if isinstance(link, str):  # an option, even where it is called as a button is
            return state._replace(options=tuple((dict(state.options) | {link: name}).items()))
        return follow(state, name, link)

    def _body(self, state: State, goal: Goal) -> str:
        if state.kind == "start":
            return f"start {' '.join(map(click, self.wish(goal).queries))}"
        if state.kind == "results":
            return self._results(state, goal)
        return self._item(state, goal) if state.kind == "item" else "bought"

    def _results(self, state: State, goal: Goal) -> str:
        shown = [self._lines(_Key(goal), index) for index in state.shown]
        new = [-1 if index in state.seen else line.promise for index, line in zip(state.shown, shown, strict=True)]
        best = new.index(max(new)) if max(new, default=0) > 0 else -1
        lines = [
            f"{line.text}{' seen' if new[place] < 0 else ' best' if place == best else ''} {click(str(place + 1))}"
            for place, line in enumerate(shown)
        ]
        how = next((name for name, query in self.wish(goal).queries.items() if query == state.query), "find")
        pages = max(1, -(-len(state.found) // PER_PAGE))
        return "\n".join([f"{how} page {state.number} of {pages}", *lines])

    def _item(self, state: State, goal: Goal) -> str:
        chosen, wanted, last = dict(state.options), goal.values, ""
        lines = [self._abouts(_Key(goal), state.product)]
        for label, (name, value) in self.values(state.product, goal).items():
            lines += [name] if name != last else []
            mark = "chosen " if chosen.get(name) == value else "wanted " if value in wanted else ""
            lines.append(f"{_short(value)} {mark}{click(label)}")
            last = name
        return "\n".join(lines)

    def _new_line(self, key: _Key, index: int) -> Line:
        return _line(self._product(index), key.goal, self.wish(key.goal))

    def _new_about(self, key: _Key, index: int) -> str:
        has, lacks = _attributes(self._product(index), key.goal)
        lines = [f"item {self._lines(key, index).text}", f"has {' , '.join(has) or 'none'}"]
        return "\n".join([*lines, *[f"lacks {' , '.join(lacks)}"] * bool(lacks)])

    def _product(self, index: int) -> Product:
        return self.sheet(index).product


class _Key:
    """A goal as a key of a cache."""

    __slots__ = ("goal",)

    def __init__(self, goal: Goal) -> None:
        self.goal = goal

    def __hash__(self) -> int:
        return hash(self.goal.fingerprint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.goal.fingerprint == other.goal.fingerprint


class Line(NamedTuple):
    """A product in a list of results."""

    text: str
    """The asked-for words of its title, how many there are, and whether the price will do."""
    promise: int
    """How many asked-for words its title has; 0 where the price is too high."""


def _line(product: Product, goal: Goal, wish: Wish) -> Line:
    title = dict.fromkeys(words_in(product.name))
    hits = [word for word in title if word in wish.words]
    shown = hits[:TITLE_WORDS] or [word for word in title if word not in COMMON][:2]
    low, high = product.pricing[0], product.pricing[:2][-1]
    price = "cheap" if max(low, high) <= goal.price_upper else "maybe" if min(low, high) <= goal.price_upper else "dear"
    return Line(f"{' '.join(shown)} {len(hits)} {price}", 0 if price == "dear" else len(hits))


def _attributes(product: Product, goal: Goal) -> tuple[list[str], list[str]]:
    """Return the wanted attributes that a product has, and the attributes and options that it lacks."""
    item, offered = bought(product, (), 0.0), {value for values in product.options.values() for value in values}
    has = [attribute for attribute in goal.attributes if has_attribute(item, attribute)]
    options = goal.options.items() if isinstance(goal.options, dict) else ((value, value) for value in goal.options)
    absent = [name for name, value in options if value not in offered]
    return has, [attribute for attribute in goal.attributes if attribute not in has] + absent


def _likeliest(values: tuple[str, ...], wanted: tuple[str, ...], words: frozenset[str]) -> list[str]:
    """Return the values that share most words with the wanted ones, in the order of the page."""
    known = list(dict.fromkeys(value for value in values if value))
    likely = sorted(known, key=lambda value: (value not in wanted, -len(words & words_of(value))))[:VALUES]
    return [value for value in known if value in likely]


def _short(value: str) -> str:
    return " ".join(value.split()[:VALUE_WORDS])
