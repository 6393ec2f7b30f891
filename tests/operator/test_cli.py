"""The command line."""

import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from runwright.cli.main import app, main


def test_crds_are_printed_as_yaml() -> None:
    result = CliRunner().invoke(app, ["crds"])
    assert result.exit_code == 0
    names = [crd["metadata"]["name"] for crd in yaml.safe_load_all(result.stdout)]
    assert names == ["trackingstacks.runwright.dev", "trainingruns.runwright.dev"]


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["version"])
    assert result.stdout.startswith("runwright 0.")


def test_printing_crds_needs_neither_kopf_nor_a_client() -> None:
    program = "import sys, runwright.cli.main as m\ntry: m.app(['crds'])\nexcept SystemExit: pass\n"
    program += "sys.stderr.write(' '.join({'kopf', 'kubernetes', 'aiohttp'} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr == ""


def test_an_unknown_command_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["runwright", "fly"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "No such command" in capsys.readouterr().err
