from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import typer
from eef_webshop.commands import webshop
from eef_webshop.data import Catalogue
from typer.testing import CliRunner

from eef_framework.cli import run as eef_run
from eef_framework.cli.errors import run_app

PRODUCT = {
    "asin": "B000000001",
    "category": "garden",
    "query": "lamps",
    "product_category": "Home › Lamps",
    "name": "Red lamp",
    "full_description": "",
    "small_description": [],
    "pricing": "$5",
    "customization_options": "",
    "images": ["x"],
}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "official"
    folder.mkdir()
    (folder / "items_shuffle_1000.json").write_text(json.dumps([PRODUCT, PRODUCT, {"asin": "B2"}]))
    (folder / "items_ins_v2_1000.json").write_text("{}")
    (folder / "items_human_ins.json").write_text("{}")
    return folder


def ran(*arguments):
    return CliRunner().invoke(webshop, [str(argument) for argument in arguments])


def test_prepare_makes_a_store_beside_the_files_and_says_what_was_left_out(folder):
    result = ran("prepare", folder, "--nouns", "none")
    assert result.exit_code == 0, result.output
    assert len(Catalogue.open(folder / "store")) == 1
    assert "1 products, 0 human instructions, nouns: none" in result.output
    assert "1 skipped: an earlier product has the same ASIN" in result.output
    assert "entry 3: B2" in result.output
    assert f"--set environment.data={folder / 'store'}" in result.output


def test_prepare_takes_one_file_and_another_place(folder, tmp_path):
    result = ran(
        "prepare", folder / "items_shuffle_1000.json", "--out", tmp_path / "s", "--nouns", "none", "--jobs", "1"
    )
    assert result.exit_code == 0, result.output
    assert len(Catalogue.open(tmp_path / "s")) == 1


def test_download_from_a_folder_leads_to_prepare(folder, tmp_path):
    result = ran("download", "small", "--from", folder, "--to", tmp_path / "copy")
    assert result.exit_code == 0, result.output
    assert f"Now: eef webshop prepare {tmp_path / 'copy'}" in result.output
    assert ran("prepare", tmp_path / "copy", "--nouns", "none").exit_code == 0


def test_an_unknown_variant_is_refused():
    assert ran("download", "medium").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prepare", "nowhere"], 2, "there is no 'nowhere'"),
        (["download", "small", "--from", "nowhere"], 1, "there is no folder 'nowhere'"),
        (["download", "small", "--from", "http://127.0.0.1:9"], 1, "--from FOLDER"),
    ],
)
def test_failures_are_explained_without_a_traceback(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.add_typer(webshop)
    app.command("other")(lambda: None)
    monkeypatch.setattr("sys.argv", ["eef", "webshop", *arguments])
    with pytest.raises(SystemExit) as left:
        run_app(app)
    assert left.value.code == code
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


SMALL = Path(__file__).parents[5] / "shared" / "data" / "webshop-1k"


@pytest.mark.skipif(not SMALL.is_dir(), reason="needs ../shared/data/webshop-1k")
def test_the_command_that_prepare_prints_is_a_run_of_the_real_small_shop(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EEF_WEBSHOP_FILES", str(SMALL))
    assert ran("download", "small", "--to", "a folder").exit_code == 0
    printed = ran("prepare", "a folder", "--nouns", "none").output.splitlines()
    name, *arguments = shlex.split(printed[-1])
    assert name == "eef-run"
    monkeypatch.setattr("sys.argv", [name, *arguments, "--dry-run"])
    with pytest.raises(SystemExit) as left:
        eef_run.main()
    assert not left.value.code, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "a folder/store" in shown
    assert "name: webshop-shopper" in shown
