"""The official files, and where they are published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class OfficialFile:
    """One of the files that the authors of WebShop publish."""

    name: str
    """Its file name."""
    drive_id: str
    """Its id on Google Drive."""

    @property
    def page(self) -> str:
        """URL of its page on Google Drive."""
        return f"https://drive.google.com/file/d/{self.drive_id}/view"


_HUMAN = OfficialFile("items_human_ins.json", "14Kb5SPBk_jfdLZ_CDBNitW98QLDlKR5O")

VARIANTS: Final = {
    "small": (
        OfficialFile("items_shuffle_1000.json", "1EgHdxQ_YxqIQlvvq5iKlCrkEKR6-j0Ib"),
        OfficialFile("items_ins_v2_1000.json", "1IduG0xl544V_A_jv3tHXC0kyFi7PnyBu"),
        _HUMAN,
    ),
    "full": (
        OfficialFile("items_shuffle.json", "1A2whVgOO0euk5O13n2iYDM0bQRkkRduB"),
        OfficialFile("items_ins_v2.json", "1s2j6NgHljiZzQNL3veZaAiyW_qDEgBNi"),
        _HUMAN,
    ),
}
"""The files of the small shop with 1,000 products, and of the full shop with 1.18 million products (5.2 GB).

No sizes or checksums were published."""
