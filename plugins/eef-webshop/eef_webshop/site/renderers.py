"""Renders pages in the reference's modes `text` and `text_rich`. The formats were inferred from recordings of it."""

from __future__ import annotations

from eef_webshop.site.html_text import as_rendered, join_parts, script_safe_json
from eef_webshop.site.product_page import RATING, ProductPage
from eef_webshop.site.state import State


class PlainRenderer:
    """Mode `text`: the parts of a page are separated by `[SEP]`."""

    separator = " [SEP] "

    @staticmethod
    def start_page(instruction: str) -> str:
        """Return the first page."""
        return join_parts(["WebShop", "Instruction:", instruction, "Search"])

    @staticmethod
    def with_instruction(instruction: str, body: str) -> str:
        """Return a page that begins with the instruction."""
        return f"Instruction: [SEP] {instruction.strip()} [SEP] {body}" if instruction else f"Instruction: [SEP] {body}"

    @staticmethod
    def results_header(state: State) -> str:
        """Return the part of a result page above the results."""
        parts = ["Back to Search", f"Page {state.number} (Total results: {len(state.found)})"]
        return join_parts([*parts, *["< Prev"] * state.has_prev, "Next >"])

    @staticmethod
    def result(page: ProductPage, seen: bool) -> str:
        """Return a product on a result page."""
        return join_parts([as_rendered(page.product.asin), page.name, page.product.price_tag])

    @staticmethod
    def product(page: ProductPage, address: str) -> str:
        """Return the page of a product."""
        parts = ["Back to Search", "< Prev"]
        for name, values in page.options:
            parts += [name, *(shown for shown, _ in values)]
        parts += [page.name, f"Price: {page.product.price_tag}", RATING]
        return join_parts([*parts, *(tab.title() for tab in page.tabs), "Buy Now"])

    @staticmethod
    def tab(parts: list[str]) -> str:
        """Return a subpage of the product's page."""
        return join_parts(["Back to Search", "< Prev", *parts])

    @staticmethod
    def receipt(page: ProductPage, state: State, reward: float) -> str:
        """Return the last page."""
        return join_parts(_receipt(page, state, reward))


class RichRenderer:
    """Mode `text_rich`: every part is a line, and buttons are marked by tags."""

    separator = ""

    @staticmethod
    def start_page(instruction: str) -> str:
        """Return the first page."""
        return f"WebShop\nInstruction: \n{_lines([instruction])}{_button('Search')}"

    @staticmethod
    def with_instruction(instruction: str, body: str) -> str:
        """Return a page that begins with the instruction."""
        return f"Instruction:\n{_lines([instruction])}{body}"

    @staticmethod
    def results_header(state: State) -> str:
        """Return the part of a result page above the results."""
        page = f"Page {state.number} (Total results: {len(state.found)})\n"
        prev = _button("< Prev") if state.has_prev else ""
        return _button("Back to Search") + page + prev + _button("Next >")

    @staticmethod
    def result(page: ProductPage, seen: bool) -> str:
        """Return a product on a result page."""
        mark = _clicked_button if seen else _button
        return "\n" + mark(page.product.asin) + _lines([page.name, page.product.price_tag])

    @staticmethod
    def product(page: ProductPage, address: str) -> str:
        """Return the page of a product. An option counts as chosen if its quoted value is in the URL."""
        parts = [_button("Back to Search"), _button("< Prev")]
        for name, values in page.options:
            parts.append(_lines([name]))
            parts += [
                f"  {_clicked_button(shown) if quoted in address else _button(shown)}" for shown, quoted in values
            ]
        parts.append(_lines([page.name, f"Price: {page.product.price_tag}", RATING]))
        return "".join([*parts, *(_button(tab.title()) for tab in page.tabs), _button("Buy Now")])

    @staticmethod
    def clicked(page: ProductPage, address: str) -> str:
        """Return the lines about the chosen options, the last option first."""
        chosen = [shown for _, values in page.options for shown, quoted in values if quoted in address]
        return "".join(f"You have clicked {shown}.\n" for shown in reversed(chosen))

    @staticmethod
    def tab(parts: list[str]) -> str:
        """Return a subpage of the product's page."""
        return _button("Back to Search") + _button("< Prev") + _lines(parts)

    @staticmethod
    def receipt(page: ProductPage, state: State, reward: float) -> str:
        """Return the last page."""
        return _lines(_receipt(page, state, reward))


def _lines(parts: list[str]) -> str:
    return "".join(f"{part}\n" for part in parts if part)


def _button(name: str) -> str:
    return f"[button] {name} [button_]\n"


def _clicked_button(name: str) -> str:
    return f"[clicked button] {name} [clicked button_]\n"


def _receipt(page: ProductPage, state: State, reward: float) -> list[str]:
    """Return the parts of the last page. Most are for the reference's human studies, and empty."""
    bought = ["Purchased", "asin", as_rendered(page.product.asin), "options", script_safe_json(dict(state.options))]
    unknown = ["attrs", "None", "category", "None", "query", "None", "product category", "None"]
    target = ["Target", "asin", "options", "attrs", "price upper", "instuction text", "category", "product category"]
    score = ["Reward", "Your score (min 0.0, max 1.0)", str(reward), "Reward Details ", "None"]
    code = ["Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)"]
    return [*code, *bought, *unknown, *target, "query", "Goal ", "None", *score]
