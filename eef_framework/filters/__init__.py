"""The core's filters. They are registered like those of any plugin."""

from eef_framework.filters.balance import Balance
from eef_framework.filters.cap import CapPerTask
from eef_framework.filters.deduplicate import Deduplicate
from eef_framework.filters.length import LimitLength
from eef_framework.filters.similar import DropSimilar
from eef_framework.filters.unparsed import DropUnparsed
from eef_framework.filters.weigh import WeighTrajectories

__all__ = [
    "Balance",
    "CapPerTask",
    "Deduplicate",
    "DropSimilar",
    "DropUnparsed",
    "LimitLength",
    "WeighTrajectories",
]
