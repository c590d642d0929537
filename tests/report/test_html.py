from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.report.html import data_script, render, tag

# Browsers replace what HTML can't hold; html.parser keeps it. Lone surrogates can't be written at all.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


class Reader(HTMLParser):
    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


@given(TEXTS, TEXTS)
def test_whatever_text_goes_in_is_text_in_the_page(text, value):
    read = Reader(render(tag("p", text, tag("b", value), text, title=value)))
    assert [name for name, _ in read.tags] == ["p", "b"]
    assert read.tags[0][1]["title"] == value
    assert "".join(read.texts) == text + value + text


def test_children_keep_their_order_among_texts():
    element = tag("p", "a", tag("b", "b"), "c", None, ["d", tag("i", "e")], "f")
    assert render(element) == "<p>a<b>b</b>cd<i>e</i>f</p>"


def test_attributes_are_named_as_in_html_and_left_out_when_false():
    element = tag("button", class_="term", data_term="probe", hidden=True, disabled=False, id=None, tabindex=0, x=1.50)
    assert render(element) == '<button class="term" data-term="probe" hidden="" tabindex="0" x="1.5"></button>'


@pytest.mark.parametrize("text", ["</script><img src=x onerror=alert(1)>", "<!--<script>", "]]>&amp;", "\u2028\u2029"])
def test_no_text_ends_a_data_script(text):
    script = data_script("data", {"text": text, text: 1})
    inner = script.removeprefix('<script type="application/json" id="data">').removesuffix("</script>")
    assert not set("<>&\u2028\u2029") & set(inner)
    assert json.loads(inner) == {"text": text, text: 1}


def test_numbers_without_end_become_null_so_that_browsers_read_the_rest():
    assert ">[null,null,[1.5],null]<" in data_script("d", [float("inf"), float("nan"), (1.5,), -float("inf")])
