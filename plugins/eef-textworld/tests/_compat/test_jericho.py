"""A part of Jericho that is not public. If the test fails, adapt `eef_textworld/_compat/jericho.py`."""

from eef_textworld._compat.jericho import library_path


def test_jericho_has_its_library_beside_its_package():
    assert library_path().is_file()
