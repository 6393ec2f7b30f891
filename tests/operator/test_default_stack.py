"""The default stack's manifest. What the operator does with it is tested against a real API server."""

from pathlib import Path

import pytest

from runwright.errors import ConfigurationError
from runwright.operator.default_stack import read
from runwright.ports import Key

MANIFEST = """
kind: TrackingStack
metadata:
  name: default
  namespace: ops
  annotations: {runwright.dev/config-map: rw-default-stack}
"""


def test_the_manifest_is_read_and_an_empty_spec_is_a_whole_stack(tmp_path: Path) -> None:
    (tmp_path / "stack").write_text(MANIFEST)
    wanted = read(tmp_path / "stack")
    assert (wanted.key, wanted.config_map, wanted.spec) == (Key("ops", "default"), "rw-default-stack", {})
    owner = {"metadata": {"name": "rw-default-stack", "uid": "u-1"}}
    [reference] = wanted.manifest(owner)["metadata"]["ownerReferences"]
    assert reference == {"apiVersion": "v1", "kind": "ConfigMap", "name": "rw-default-stack", "uid": "u-1"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metadata: [", "while parsing"),
        ("just text", "is no manifest of a TrackingStack"),
        ("", "is no manifest of a TrackingStack"),
        ("metadata: {name: default, namespace: ops}", "the annotation runwright.dev/config-map"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "stack").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path / "stack")
    assert str(caught.value).startswith(f"RUNWRIGHT_DEFAULT_STACK_FILE={tmp_path / 'stack'}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
