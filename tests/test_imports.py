"""How the code hangs together: one-way imports, a light start, a public interface that is what it says."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import eef_framework

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "eef_framework", *(ROOT / "plugins").glob("*/eef_*")]

LAYERS = (
    {
        "_compat",
        "errors",
        "event_loop",
        "keys",
        "memory",
        "paths",
        "records",
        "redaction",
        "renames",
        "resources",
        "seeds",
        "validation_messages",
    },
    {"interfaces"},
    {"plugins"},
    {"chat", "runs", "models"},
    {"config"},
    {"policies", "training", "rollout", "evaluation", "filters", "formats", "gym", "tracking"},
    {"comparison", "report", "testing", "builtin", "recipes", "pipeline"},
    {"cli"},
)
"""Parts of the core from the bottom to the top; a part imports from its own layer and those below."""


def modules():
    """Return every module's name and file."""
    found = {}
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            parts = path.relative_to(package.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name, everywhere=False):
    """Yield the modules that a module imports when it is imported itself (or anywhere in it)."""
    tree = ast.parse(MODULES[name].read_text())
    for node in ast.walk(tree) if everywhere else at_import_time(tree.body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                child = f"{node.module}.{alias.name}"
                yield child if child in MODULES else node.module


def at_import_time(body):
    """Yield the statements that run on import: not those in functions, nor those for type checkers only."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        for field in ("body", "orelse", "finalbody", "handlers"):
            yield from at_import_time(getattr(node, field, []))


def part(name):
    """Return which part of the core a module belongs to; None for the root and for other packages."""
    package, _, rest = name.partition(".")
    return rest.partition(".")[0] if package == "eef_framework" and rest else None


def cycles(graph):
    """Return modules that import themselves by way of others."""
    done, found = set(), []

    def visit(name, path):
        if name in path:
            found.append(path[path.index(name) :])
        elif name not in done:
            for target in sorted(graph[name]):
                visit(target, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    return found


def test_nothing_imports_itself_by_way_of_others():
    graph = {name: {t for t in imports(name) if t in MODULES and t != name} for name in MODULES}
    assert cycles(graph) == []


def test_nothing_imports_itself_through_imports_in_functions_or_for_type_checkers():
    # A package that re-exports its own modules is not a cycle.
    graph = {name: {t for t in imports(name, everywhere=True) if t in MODULES and t != name} for name in MODULES}
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    found = cycles({name: targets - packages for name, targets in graph.items() if name not in packages})
    assert found == []


def test_the_search_for_cycles_finds_them():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]


def test_every_part_of_the_core_has_a_layer():
    assert {part(name) for name in MODULES} - {None} == set().union(*LAYERS)


@pytest.mark.parametrize("name", sorted(name for name in MODULES if part(name)))
def test_imports_point_downwards(name):
    level = {each: number for number, layer in enumerate(LAYERS) for each in layer}
    above = [target for target in imports(name) if part(target) and level[part(target)] > level[part(name)]]
    assert above == []


def test_no_module_of_the_core_imports_the_root_or_a_plugin_distribution():
    distributions = {package.name for package in PACKAGES} - {"eef_framework"}
    wrong = [
        (name, target)
        for name in MODULES
        if part(name)
        for target in imports(name, everywhere=True)
        if target == "eef_framework" or target.partition(".")[0] in distributions
    ]
    assert wrong == []


PUBLIC = re.findall(
    r"^\| `(eef_framework[a-z_.]*)` \|", (ROOT / "docs" / "interfaces.md").read_text("utf-8"), re.MULTILINE
)
"""The public modules, as documented."""


def is_public(module, name):
    """Return whether a plugin may import a name from a module of the core."""
    if module not in PUBLIC or name.startswith("_"):
        return False
    names = getattr(importlib.import_module(module), "__all__", None)
    if names is not None:
        return name in names
    return name in defined_in(module)  # and not imported there


def defined_in(module):
    """Return the functions, classes and constants that a module defines."""
    body = ast.parse(MODULES[module].read_text()).body
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {target.id for target in targets} | {node.name for node in body if isinstance(node, functions)}


def imported_from_core(tree):
    """Yield module and name of everything that is imported from the core; an empty name for a whole module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.partition(".")[0] == "eef_framework")
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "eef_framework":
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.partition(".")[0] != "eef_framework"))
def test_plugins_import_public_names_of_the_core_only(name):
    found = set(imported_from_core(ast.parse(MODULES[name].read_text())))
    assert {(module, each) for module, each in found if not each or not is_public(module, each)} == set()
    assert not any(module == "eef_framework.testing" for module, _ in found)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("eef_framework.rollout.concurrency", "as_they_end"),  # not documented
        ("eef_framework.rollout", "concurrency"),  # not exported
        ("eef_framework.errors", "contextmanager"),  # imported there itself
        ("eef_framework", "_LAZY"),
    ],
)
def test_names_that_plugins_must_not_import_are_recognized(module, name):
    assert hasattr(importlib.import_module(module), name)
    assert not is_public(module, name)


def test_public_modules_exist():
    assert len(PUBLIC) > 10
    assert sorted(PUBLIC) == PUBLIC
    assert [module for module in PUBLIC if module not in MODULES and module != "eef_framework"] == []


def fresh(code):
    """Run code in a new interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = ("torch", "transformers", "accelerate", "numpy", "matplotlib", "gymnasium")
LOADED = f"import json, sys; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
HELP = "import sys; sys.argv = ['eef-run', '--help']\ntry: main()\nexcept SystemExit: pass\nprint()\n"


@pytest.mark.parametrize(
    "code",
    [
        "import eef_framework",
        "from eef_framework import *",
        "from eef_framework.plugins import load_plugins; load_plugins()",
        "from eef_framework.cli.run import main\n" + HELP,
        "from eef_framework.cli.main import main\n" + HELP,
    ],
)
def test_no_model_library_is_loaded_before_a_model_runs(code):
    assert json.loads(fresh(f"{code}\n{LOADED}").splitlines()[-1]) == []


def test_every_public_name_exists():
    for name in eef_framework.__all__:
        assert getattr(eef_framework, name) is not None


def test_public_names_are_sorted():
    assert eef_framework.__all__ == sorted(eef_framework.__all__)
    assert len(set(eef_framework.__all__)) == len(eef_framework.__all__)


def test_everything_imported_for_type_checkers_can_be_had():
    assert set(eef_framework._LAZY) <= set(eef_framework.__all__)
    tree = ast.parse(inspect.getsource(eef_framework))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert {alias.name for node in block.body for alias in node.names} == set(eef_framework._LAZY)


def test_every_public_class_and_function_is_documented():
    public = {name: getattr(eef_framework, name) for name in eef_framework.__all__}
    things = {name: thing for name, thing in public.items() if inspect.isclass(thing) or inspect.isfunction(thing)}
    assert len(things) > 30
    assert [name for name, thing in things.items() if not thing.__doc__] == []


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Trajectroy'"):
        eef_framework.Trajectroy  # noqa: B018


EXPORTING = sorted(name for name, path in MODULES.items() if "__all__" in path.read_text() and name != "eef_framework")


@pytest.mark.parametrize("name", EXPORTING)
def test_what_a_package_exports_exists_and_is_sorted(name):
    if name == "eef_serve":
        pytest.importorskip("verifiers", reason="for verifiers alone, and loaded when it asks")
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__, key=lambda each: (not each.isupper(), not each[0].isupper(), each))
    assert all(hasattr(module, each) for each in module.__all__)


def test_a_package_whose_init_imports_anything_says_what_it_exports():
    inits = {name: path for name, path in MODULES.items() if path.name == "__init__.py"}
    assert [name for name in inits if list(imports(name)) and name not in {*EXPORTING, "eef_framework"}] == []
