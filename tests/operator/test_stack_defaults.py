"""The administrator's chart values for every stack."""

from pathlib import Path

import pytest

from runwright.errors import ConfigurationError
from runwright.operator import stack_defaults


def test_no_file_and_an_empty_one_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nothing yet\n")
    assert stack_defaults.read(None) == {}
    assert stack_defaults.read(tmp_path / "empty") == {}


def test_values_by_chart(tmp_path: Path) -> None:
    (tmp_path / "values").write_text("mlflow: {image: {registry: registry.example.com}}\nobject-store: {}\n")
    expected = {"mlflow": {"image": {"registry": "registry.example.com"}}, "object-store": {}}
    assert stack_defaults.read(tmp_path / "values") == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mlflow: [\n", "line 2: expected the node content, but found '<stream end>'"),
        ("- mlflow", "line 1: must map charts to values; the charts are postgresql, object-store, mlflow"),
        ("# ours\nobjectStore: {}", "line 2: 'objectStore' is no chart of a stack: postgresql, object-store, mlflow"),
        ("postgresql: {}\nmlflow: 1", "line 2: mlflow must hold a map of the chart's values"),
        ("mlflow: 1\x00", "unacceptable character"),
        (
            "mlflow: {}\n\npostgresql:\n  persistence: {size: 8 GB}",
            "line 3: postgresql.persistence.size: '8 GB' is no quantity",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "values"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        stack_defaults.read(path)
    message = str(caught.value)
    assert message.startswith(f"RUNWRIGHT_STACK_DEFAULTS={path}")
    assert said in message
    assert "\n" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"RUNWRIGHT_STACK_DEFAULTS=.*absent"):
        stack_defaults.read(tmp_path / "absent")
