"""Makes one file of the launcher's modules: what training pods get as ``launch.py``."""

import ast
from collections.abc import Container, Mapping
from importlib import resources
from typing import Final

MODULES: Final = ("output", "processes", "checkpoints", "artifacts", "termination", "cgroup", "capture", "launch")
"""In the order in which they need each other."""
PACKAGE: Final = "runwright.inpod"
HEADER: Final = (
    "# Runwright's launcher, made of src/runwright/inpod by bundle.py: do not edit.\n"
    "from __future__ import annotations\n"
)


def launcher() -> str:
    """Return the launcher as one Python file."""
    folder = resources.files(PACKAGE)
    return joined({name: folder.joinpath(f"{name}.py").read_text(encoding="utf-8") for name in MODULES})


def joined(sources: Mapping[str, str]) -> str:
    """Return modules as one file, each after those that it needs.

    Raises:
        ValueError: two modules give a name different meanings, or one imports what comes after it.
    """
    meanings: dict[str, str] = {}
    parts, before = [HEADER], set[str]()
    for name, text in sources.items():
        removed: set[int] = set()
        for node in ast.parse(text).body:
            if _is_ours(node, before) or _is_docstring(node) or _is_future(node):
                removed.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
                continue
            for defined in _names(node):
                meaning = ast.unparse(node) if isinstance(node, ast.Import | ast.ImportFrom | ast.Assign) else name
                if meanings.setdefault(defined, meaning) != meaning:
                    raise ValueError(f"{name}.py: {defined} has another meaning in another module")
        before.add(f"{PACKAGE}.{name}")
        kept = [
            line for at, line in enumerate(text.splitlines(), 1) if at not in removed and "# ruff: noqa" not in line
        ]
        parts.append(f"\n# {'-' * 20} {name}.py\n" + "\n".join(kept).strip() + "\n")
    return "\n".join(parts)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _is_ours(node: ast.stmt, before: Container[str | None]) -> bool:
    if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("runwright"):
        return False
    if node.module not in before:
        raise ValueError(f"{node.module} must come before what imports it: see {PACKAGE}.bundle.MODULES")
    if any(alias.asname for alias in node.names):
        raise ValueError(f"{node.module}: an imported name must stay as it is, since in one file there is one name")
    return True


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.Assign):
        found = [name for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
        return [name.id for name in found]
    return []


if __name__ == "__main__":
    print(launcher(), end="")  # noqa: T201  # to look at it, or to try it by hand
