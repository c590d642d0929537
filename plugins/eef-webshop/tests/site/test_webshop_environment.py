from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from eef_webshop.data.manifest import StoreError
from eef_webshop.site import store
from eef_webshop.site.environment import WebShop

from eef_framework.errors import ConfigError, EnvironmentFailure, UnknownName
from eef_framework.records import Task
from eef_framework.testing.conformance import check_environment


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["text", "text_rich", "compact"])
def test_the_environment_keeps_its_contract(webshop, mode):
    check_environment(webshop(mode=mode, max_steps=10), processes=mode == "text")


def test_splits_are_those_of_published_comparisons(webshop):
    shop = webshop()
    test, dev, train = (shop.tasks(split) for split in ("test", "dev", "train"))
    assert (len(test), len(dev), len(train)) == (500, 1000, 101)
    assert (test[0].id, dev[0].id, train[-1].id) == ("synthetic-0", "synthetic-500", "synthetic-1600")
    assert [task.id for task in dev[2:4]] == ["synthetic-502", "synthetic-503"]
    assert {task.split for task in train} == {"train"}
    assert {task.kind for task in test} <= {"2 options", "no options"}


def test_a_split_that_does_not_exist_is_refused(webshop):
    with pytest.raises(UnknownName) as caught:
        webshop().tasks("tets")
    assert caught.value.details["given"] == "tets"


def test_a_split_that_the_goals_do_not_reach_is_refused(webshop):
    assert len(webshop(goals="human").tasks("test")) == 3
    with pytest.raises(ConfigError) as caught:
        webshop(goals="human").tasks("train")
    assert (caught.value.code, caught.value.details) == ("too-few-goals", {"split": "train", "goals": 3, "start": 1500})


def test_without_data_it_says_how_to_get_some():
    for use in (WebShop().preflight, lambda: WebShop().tasks("test")):
        with pytest.raises(ConfigError) as caught:
            use()
        assert caught.value.code == "no-data"


@pytest.mark.parametrize(("name", "code"), [("empty", "no-products"), ("absent", "no-such-folder")])
def test_a_folder_without_products_is_refused(tmp_path, name, code):
    (tmp_path / "empty").mkdir()
    shop = WebShop(data=tmp_path / name)
    for use in (shop.preflight, lambda: shop.tasks("test")):
        with pytest.raises(ConfigError) as caught:
            use()
        assert (caught.value.code, caught.value.details) == (code, {"path": str(tmp_path / name)})


def test_what_a_store_lacks_is_found_before_a_run(webshop, tmp_path):
    webshop().preflight()
    folder = shutil.copytree(webshop().data, tmp_path / "store")
    shop = WebShop(data=folder, goals=tmp_path / "goals.json")
    with pytest.raises(ConfigError) as caught:
        shop.preflight()
    assert (caught.value.code, caught.value.details["path"]) == ("no-goals", str(tmp_path / "goals.json"))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / next(iter(manifest["files"]))).unlink()
    with pytest.raises(StoreError) as caught:
        shop.preflight()
    assert caught.value.code == "incomplete-store"
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(StoreError) as caught:
        shop.preflight()
    assert (caught.value.code, caught.value.details["format"]) == ("other-store-version", 99)


def test_official_files_need_a_tagger_which_is_found_before_a_run(official, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("eef_webshop.data.nouns.find_spec", lambda _: None)
    with pytest.raises(ConfigError) as caught:
        WebShop(data=official).preflight()
    assert caught.value.code == "tagger-missing"
    assert list(tmp_path.iterdir()) == []


def test_official_files_are_prepared_once(official, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(store, "prepare", partial(store.prepare, nouns="none"))
    first = WebShop(data=official).task(0)
    assert "preparing the products" in capsys.readouterr().err
    monkeypatch.setattr(store, "prepare", None)
    assert WebShop(data=official).task(0) == first
    assert capsys.readouterr().err == ""


def test_a_store_is_found_in_the_folder_of_the_official_files(official, tmp_path):
    source = tmp_path / "files"
    shutil.copytree(official, source)
    store.prepare(source, source / "store", nouns="none")
    assert WebShop(data=source).catalogue.folder == source / "store"


@pytest.mark.parametrize(
    "changes",
    [{"environment": "shop"}, {"info": {}}, {"info": {"goal": "0"}}, {"info": {"goal": 10**9}}, {"fingerprint": "x"}],
)
def test_a_task_of_another_environment_is_refused(webshop, changes):
    shop = webshop()
    with pytest.raises(EnvironmentFailure) as caught:
        shop.open(Task(**{**shop.task(0).model_dump(), **changes}))
    assert caught.value.code == "foreign-task"


def test_closing_closes_the_store_and_the_next_use_opens_it_again(webshop):
    shop = webshop()
    task = shop.task(0)
    catalogue = shop.catalogue
    shop.close()
    shop.close()
    assert shop.open(task).observation.text
    assert shop.catalogue is not catalogue


def test_sessions_in_many_threads_see_what_one_thread_sees(webshop):
    shop = webshop()
    actions = ("search[plain pillow number]", "click[next >]", "click[b100000013]", "click[features]", "click[buy now]")

    def play(index: int) -> list[str]:
        session = shop.open(shop.task(index))
        return [session.step(action).observation.text for action in actions]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(play, range(200)))
    alone = webshop()
    shop = alone
    assert together == [play(index) for index in range(200)]


def test_memory_stays_flat_over_thousands_of_sessions(webshop):
    import tracemalloc

    shop = webshop()
    actions = ("search[soft cotton]", "click[b000000001]", "click[3 inch]", "click[buy now]")

    def play(count: int) -> int:
        for index in range(count):
            with shop.open(shop.task(index % 1600)) as session:
                for action in actions:
                    session.step(action)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before, after = play(1600), play(1600)
    finally:
        tracemalloc.stop()
    assert after - before < 100_000  # bytes: less than 63 a session


def test_it_is_registered_under_its_name():
    from eef_framework.plugins import load_plugins

    settings = {"name": "webshop", "data": "somewhere", "mode": "compact"}
    built = load_plugins(["webshop"]).build("environment", settings)
    assert isinstance(built, WebShop)
    assert built.data == Path("somewhere")


def test_gymnasium_s_checks_pass(store):
    gymnasium = pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env

    env = gymnasium.make("eef_framework.gym.registration:eef/WebShop-v0", data=str(store), split="test")
    check_env(env.unwrapped, skip_render_check=True)
    observation, info = env.reset(seed=1, options={"task": "synthetic-3"})
    assert observation.startswith("WebShop [SEP] Instruction: [SEP] Find me ")
    assert info["task"] == "synthetic-3"
    env.close()
