"""WebShop's two kinds of actions as tools."""

from __future__ import annotations

from eef_framework.records import Tool

TOOLS = (
    Tool(name="search", description="Search the shop for products.", action="search[{query}]"),
    Tool(name="click", description="Click a button, product or option of the page.", action="click[{target}]"),
)
