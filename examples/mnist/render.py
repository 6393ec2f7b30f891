"""Put the training code into the manifests, which `kubectl apply -f` then needs nothing else for.

`python examples/mnist/render.py` after a change of the code; `--check` only says whether that was forgotten.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
CODE: Final = ("train.py", "hyperparameters.py")
MARK: Final = "      files: # written by render.py from the files of the same names\n"


def render(manifest: str, code: dict[str, str]) -> str:
    """Return the manifest with everything after the mark replaced by the code, as YAML block scalars.

    Raises:
        ValueError: The manifest has no mark.
    """
    head, mark, _ = manifest.partition(MARK)
    if not mark:
        raise ValueError(f"there is no line {MARK.rstrip()!r}")
    lines = []
    for name, text in code.items():
        lines.append(f"        {name}: |")
        lines += [f"          {line}" if line else "" for line in text.splitlines()]
    return head + mark + "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write or check the manifests; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is out of date")
    check = parser.parse_args(arguments).check
    code = {name: (FOLDER / name).read_text(encoding="utf-8") for name in CODE}
    stale = []
    for path in sorted(FOLDER.glob("trainingrun*.yaml")):
        old = path.read_text(encoding="utf-8")
        try:
            new = render(old, code)
        except ValueError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        if new != old:
            stale.append(path.name)
            if not check:
                path.write_text(new, encoding="utf-8")
    if check and stale:
        print(f"{', '.join(stale)}: out of date; run python examples/mnist/render.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
