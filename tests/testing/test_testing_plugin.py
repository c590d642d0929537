import subprocess
import sys

from eef_framework.plugins.hookspecs import GROUP
from eef_framework.testing import plugin

pytest_plugins = ["eef_framework.testing.fixtures"]


def registered(hook: str) -> list[str]:
    classes = []
    getattr(plugin, hook)(classes.append)
    return [cls.component_name() for cls in classes]


def test_the_doubles_are_registered_under_their_names():
    assert registered("register_environments") == ["corridor", "blocking-corridor"]
    assert registered("register_experts") == ["wanderer"]
    assert registered("register_policies") == ["queue", "scripted", "memory"]
    assert registered("register_trainers") == ["memory"]


def test_its_functions_are_marked_as_hooks():
    hooks = [name for name in vars(plugin) if name.startswith("register_")]
    assert len(hooks) == 4
    assert all(hasattr(getattr(plugin, name), f"{GROUP}_impl") for name in hooks)


def test_the_doubles_do_without_torch():
    code = (
        "import sys; from eef_framework.testing import plugin, conformance, fixtures, strategies, simulate; "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
