"""Builds HTML and SVG as element trees, which escape every text and attribute: nothing can be injected."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

Element = ElementTree.Element
Child = Element | str | None

# Characters in JSON that could end a script element, start a comment or end a line of script.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def tag(name: str, *children: Child | Iterable[Child], **attributes: str | float | bool | None) -> Element:
    """Build an element.

    Args:
        name: tag name.
        children: texts, elements and lists of them, in order. None is left out.
        attributes: `class_` is `class`; other underscores become hyphens. True gives an attribute without a value,
            None and False leave it out.
    """
    element = Element(name)
    for key, value in attributes.items():
        if value is not None and value is not False:
            element.set(key.rstrip("_").replace("_", "-"), "" if value is True else _attribute(value))
    for child in children:
        for part in [child] if child is None or isinstance(child, str | Element) else child:
            _append(element, part)
    return element


def render(element: Element) -> str:
    """Return an element as HTML."""
    return ElementTree.tostring(element, encoding="unicode", method="html")


def data_script(ident: str, data: Any) -> str:
    """Return a script element that holds data as JSON, in ASCII. No value can end the element.

    Args:
        ident: id of the element.
        data: a JSON value. Numbers that aren't finite become null, as browsers can't parse them.
    """
    text = json.dumps(_finite(data), separators=(",", ":"), allow_nan=False).translate(_ESCAPES)
    return f'<script type="application/json" id="{ident}">{text}</script>'


def _append(element: Element, child: Child) -> None:
    if child is None:
        return
    if isinstance(child, Element):
        element.append(child)
    elif len(element):
        element[-1].tail = (element[-1].tail or "") + child
    else:
        element.text = (element.text or "") + child


def _attribute(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if abs(data) < float("inf") else None
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return data
