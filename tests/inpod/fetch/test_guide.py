"""docs/guide/code-and-data.md says what is so."""

import os
import re
import subprocess
from pathlib import Path

import yaml

from runwright.apis.v1alpha1 import TrainingRun
from runwright.inpod.fetch.problems import Reason
from runwright.inpod.fetch.tree import digest

GUIDE = (Path(__file__).parents[3] / "docs" / "guide" / "code-and-data.md").read_text()
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(GUIDE) if name == language]


def test_the_manifest_is_one() -> None:
    (text,) = blocks("yaml")
    run = TrainingRun.from_dict(yaml.safe_load(text))
    # Unknown fields would be ignored: everything that is written must come back.
    written, read = yaml.safe_load(text)["spec"], run.spec.to_dict()
    assert read["source"] == written["source"]
    assert read["datasets"] == written["datasets"]
    assert run.spec.datasets[0].path == "/data/cifar"


def test_the_table_of_reasons() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (yes|no) \|", GUIDE, re.MULTILINE)
    assert rows == [(one.label, str(one.exit_code), "yes" if one.retryable else "no") for one in Reason]


def test_the_digest_by_shell(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-v3"
    for name in ("b", "a/x", "a b", "a.txt", "Zoë/ü", "line\nfeed", "empty", "-n"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"" if name == "empty" else name.encode() * 7)
    (script,) = (text for text in blocks("bash") if "runwright-tree-v1" in text)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True, check=True
    )
    assert done.stdout.split()[0].decode() == digest(folder)


def test_what_may_be_removed_from_a_cache(tmp_path: Path) -> None:
    (text,) = (text for text in blocks("bash") if "complete.json" in text)
    for name, age in (("used", 1), ("old", 40), ("half", 0)):
        content = tmp_path / "runwright-datasets" / name / ("content" if name != "half" else "partial-1")
        content.mkdir(parents=True)
        if name != "half":
            (content / "complete.json").touch()
            when = (content / "complete.json").stat().st_mtime - age * 86400
            os.utime(content / "complete.json", (when, when))
    done = subprocess.run(["bash", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split("\n")[:-1]) == ["rm -r runwright-datasets/half", "rm -r runwright-datasets/old"]
