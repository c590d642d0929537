"""The words of the pages in the reference's two modes, learned from recordings of it."""

from __future__ import annotations

from eef_webshop.site.markup import joined, node, script_safe_json
from eef_webshop.site.sheet import RATING, Sheet
from eef_webshop.site.state import State


class Plain:
    """Mode `text`: parts of a page with `[SEP]` between them."""

    between = " [SEP] "

    @staticmethod
    def start(instruction: str) -> str:
        """Return the first page."""
        return joined(["WebShop", "Instruction:", instruction, "Search"])

    @staticmethod
    def under(instruction: str, body: str) -> str:
        """Return a page with the instruction at its top."""
        return f"Instruction: [SEP] {instruction.strip()} [SEP] {body}" if instruction else f"Instruction: [SEP] {body}"

    @staticmethod
    def head(state: State) -> str:
        """Return the content above the results."""
        parts = ["Back to Search", f"Page {state.number} (Total results: {len(state.found)})"]
        return joined([*parts, *["< Prev"] * state.has_prev, "Next >"])

    @staticmethod
    def line(sheet: Sheet, seen: bool) -> str:
        """Return a product in the results."""
        return joined([node(sheet.product.asin), sheet.name, sheet.product.price_tag])

    @staticmethod
    def item(sheet: Sheet, address: str) -> str:
        """Return the page of a product."""
        parts = ["Back to Search", "< Prev"]
        for name, values in sheet.options:
            parts += [name, *(shown for shown, _ in values)]
        parts += [sheet.name, f"Price: {sheet.product.price_tag}", RATING]
        return joined([*parts, *(tab.title() for tab in sheet.tabs), "Buy Now"])

    @staticmethod
    def tab(parts: list[str]) -> str:
        """Return a subpage of the product's page."""
        return joined(["Back to Search", "< Prev", *parts])

    @staticmethod
    def done(sheet: Sheet, state: State, reward: float) -> str:
        """Return the last page."""
        return joined(_receipt(sheet, state, reward))


class Rich:
    """Mode `text_rich`: a line for every part, buttons in tags."""

    between = ""

    @staticmethod
    def start(instruction: str) -> str:
        """Return the first page."""
        return f"WebShop\nInstruction: \n{_lines([instruction])}{_button('Search')}"

    @staticmethod
    def under(instruction: str, body: str) -> str:
        """Return a page with the instruction at its top."""
        return f"Instruction:\n{_lines([instruction])}{body}"

    @staticmethod
    def head(state: State) -> str:
        """Return the content above the results."""
        page = f"Page {state.number} (Total results: {len(state.found)})\n"
        prev = _button("< Prev") if state.has_prev else ""
        return _button("Back to Search") + page + prev + _button("Next >")

    @staticmethod
    def line(sheet: Sheet, seen: bool) -> str:
        """Return a product in the results."""
        mark = _clicked_button if seen else _button
        return "\n" + mark(sheet.product.asin) + _lines([sheet.name, sheet.product.price_tag])

    @staticmethod
    def item(sheet: Sheet, address: str) -> str:
        """Return the page of a product. An option counts as chosen if its quoted value is in the address."""
        parts = [_button("Back to Search"), _button("< Prev")]
        for name, values in sheet.options:
            parts.append(_lines([name]))
            parts += [
                f"  {_clicked_button(shown) if quoted in address else _button(shown)}" for shown, quoted in values
            ]
        parts.append(_lines([sheet.name, f"Price: {sheet.product.price_tag}", RATING]))
        return "".join([*parts, *(_button(tab.title()) for tab in sheet.tabs), _button("Buy Now")])

    @staticmethod
    def clicked(sheet: Sheet, address: str) -> str:
        """Return the content at the top for the chosen options, the last one first."""
        chosen = [shown for _, values in sheet.options for shown, quoted in values if quoted in address]
        return "".join(f"You have clicked {shown}.\n" for shown in reversed(chosen))

    @staticmethod
    def tab(parts: list[str]) -> str:
        """Return a subpage of the product's page."""
        return _button("Back to Search") + _button("< Prev") + _lines(parts)

    @staticmethod
    def done(sheet: Sheet, state: State, reward: float) -> str:
        """Return the last page."""
        return _lines(_receipt(sheet, state, reward))


def _lines(parts: list[str]) -> str:
    return "".join(f"{part}\n" for part in parts if part)


def _button(name: str) -> str:
    return f"[button] {name} [button_]\n"


def _clicked_button(name: str) -> str:
    return f"[clicked button] {name} [clicked button_]\n"


def _receipt(sheet: Sheet, state: State, reward: float) -> list[str]:
    """Return the parts of the last page; most of it is there for the reference's human studies, and empty."""
    bought = ["Purchased", "asin", node(sheet.product.asin), "options", script_safe_json(dict(state.options))]
    unknown = ["attrs", "None", "category", "None", "query", "None", "product category", "None"]
    target = ["Target", "asin", "options", "attrs", "price upper", "instuction text", "category", "product category"]
    score = ["Reward", "Your score (min 0.0, max 1.0)", str(reward), "Reward Details ", "None"]
    code = ["Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)"]
    return [*code, *bought, *unknown, *target, "query", "Goal ", "None", *score]
