"""`python -m tools.rights [--check]`: writes the tables of rights into the guide and the chart's README.

The rights stand in src/runwright/operator/rights.py alone; tests compare the chart with the same table.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from runwright.operator import rights

ROOT: Final = Path(__file__).resolve().parent.parent
FILES: Final = (ROOT / "docs/guide/rights.md", ROOT / "charts/runwright/README.md")
BEGIN: Final = "<!-- rights: written by `python -m tools.rights` -->\n"
END: Final = "<!-- end of rights -->"
TABLE: Final = re.compile(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", re.DOTALL)

MADE: Final = (
    replace(rights.MAKE_DEFAULT_STACK, name="the default stack"),
    replace(rights.READ_DEFAULT_STACK, name="the default stack's"),
)
PLACES: Final[Sequence[tuple[str, Sequence[rights.Right]]]] = (
    ("Watched namespaces (`watchNamespaces`; none named: all, cluster-wide)", rights.NAMESPACED),
    ("Stack namespaces (`stackNamespaces`), by a RoleBinding in each; none with `rbac.stacks=false`", rights.STACKS),
    ("The default stack's namespace, where it is not watched", rights.DEFAULT_STACK),
    ("The operator's own namespace", (rights.LEASE,)),
    ("The operator's own namespace, with `defaultStack.create=true`", MADE),
    ("Cluster-wide", (rights.CLUSTER_ID,)),
)


def tables() -> str:
    """Return the tables, one per place."""
    return "".join(f"\n**{place}**\n\n{chr(10).join(_rows(found))}\n" for place, found in PLACES) + "\n"


def _rows(found: Sequence[rights.Right]) -> Iterator[str]:
    yield "| API group | Resource | Verbs | What for |"
    yield "|---|---|---|---|"
    for right in found:
        resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
        if right.name:
            resource += f", only {right.name}"
        yield f"| {right.group or '(core)'} | {resource} | {', '.join(right.verbs)} | {right.purpose} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables; with ``--check`` only tell whether they are current."""
    parser = argparse.ArgumentParser(prog="python -m tools.rights", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not current")
    check = parser.parse_args(arguments).check
    stale = []
    for path in FILES:
        text = path.read_text()
        if len(TABLE.findall(text)) != 1:
            print(f"{path.relative_to(ROOT)} has no place for the tables: {BEGIN.strip()} ... {END}", file=sys.stderr)
            return 1
        wanted = TABLE.sub(lambda _: tables(), text)
        if wanted != text:
            stale.append(path)
            if not check:
                path.write_text(wanted)
    for path in stale:
        print(f"{'not current: ' if check else 'wrote '}{path.relative_to(ROOT)}")
    if check and stale:
        print("run `make generate`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
