"""The one file that pods get: complete, for Python 3.8 and newer, of the standard library alone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runwright.inpod import bundle
from runwright.inpod.bundle import MODULES, joined, launcher
from tests.inpod.launched import Pod

SINCE_38 = {
    "removeprefix": "str.removeprefix is of 3.9",
    "removesuffix": "str.removesuffix is of 3.9",
    "is_relative_to": "3.9",
    "pidfd_open": "3.9",
    "cache": "functools.cache is of 3.9",
    "zoneinfo": "3.9",
    "pairwise": "3.10",
    "StrEnum": "3.11",
    "UTC": "3.11",
    "tomllib": "3.11",
    "batched": "3.12",
}


def imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_it_is_the_syntax_of_python_3_8() -> None:
    ast.parse(launcher(), feature_version=(3, 8))


def test_it_uses_nothing_newer() -> None:
    names = {node.attr for node in ast.walk(ast.parse(launcher())) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(ast.parse(launcher())) if isinstance(node, ast.Name)}
    assert names & set(SINCE_38) == set()
    unions = [n for n in ast.walk(ast.parse(launcher())) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert not [n for n in unions if n.func.id == "isinstance" and isinstance(n.args[1], ast.BinOp)]  # type: ignore[attr-defined]


def test_it_needs_the_standard_library_alone() -> None:
    assert imported(ast.parse(launcher())) <= set(sys.stdlib_module_names)


def test_all_of_it_is_there() -> None:
    code = ast.parse(launcher())
    defined = {node.name for node in code.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for name in MODULES:
        module = ast.parse((Path(bundle.__file__).parent / f"{name}.py").read_text())
        assert {n.name for n in module.body if isinstance(n, ast.FunctionDef | ast.ClassDef)} <= defined


def test_no_name_is_used_that_is_not_there() -> None:
    """Lines that no test runs are checked as well."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F82", "--stdin-filename", "launch.py", "-"],
        input=launcher(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_it_is_the_same_every_time() -> None:
    assert launcher() == launcher()


def test_it_fits_in_a_config_map_many_times() -> None:
    assert len(launcher().encode()) < 100_000


def test_two_meanings_of_a_name_are_refused() -> None:
    assert joined({"a": "import os\nX = 1\n", "b": "import os\nX = 1\ndef y(): pass\n"})
    for clash in ("X = 2", "def X(): pass", "class X: pass", "from os import X", "import X", "X, Z = 1, 2"):
        with pytest.raises(ValueError, match=r"b\.py: X has another meaning"):
            joined({"a": "X = 1\n", "b": clash})
    with pytest.raises(ValueError, match=r"b\.py: y has"):
        joined({"a": "def y(): pass\n", "b": "def y(): pass\n"})


def test_a_module_before_what_it_needs_is_refused() -> None:
    needs = "from runwright.inpod.a import X\n"
    assert "import X" not in joined({"a": "X = 1\n", "b": needs})
    with pytest.raises(ValueError, match=r"runwright\.inpod\.a must come before"):
        joined({"b": needs, "a": "X = 1\n"})
    with pytest.raises(ValueError, match=r"runwright\.errors must come before"):
        joined({"a": "from runwright.errors import RunwrightError\n"})
    with pytest.raises(ValueError, match="stay as it is"):
        joined({"a": "X = 1\n", "b": "from runwright.inpod.a import X as Y\n"})


def test_the_oldest_python_says_so_when_it_is_too_old() -> None:
    """The check must come before anything that an older Python lacks: no := and no / in parameters."""
    for node in ast.walk(ast.parse(launcher())):
        assert not isinstance(node, ast.NamedExpr)
        assert not (isinstance(node, ast.arguments) and node.posonlyargs)
    assert re.search(r"if sys.version_info < OLDEST_PYTHON", launcher())


def test_autolog_puts_its_folder_first_on_the_path(pod: Pod) -> None:
    hook = pod.folder / "autolog"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text("print('hooked')")
    show = (sys.executable, "-c", "import sys; print(sys.path[1:3])")
    launched = pod.run(*show, env={"RUNWRIGHT_AUTOLOG": "1", "PYTHONPATH": "/mine"})
    assert launched.out.decode() == f"hooked\n['{hook}', '/mine']\n"
    assert pod.run(*show, env={"PYTHONPATH": "/mine"}).out.startswith(b"['/mine'")


def test_autolog_without_its_folder_goes_on(pod: Pod) -> None:
    launched = pod.run("sh", "-c", "echo ${PYTHONPATH-unset}", env={"RUNWRIGHT_AUTOLOG": "true"})
    assert launched.out == b"unset\n"
    assert b"[runwright] no autologging: " in launched.err
