"""A status is sent as YAML: every JSON value must arrive as it was."""

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from runwright.kube.client import as_yaml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_what_was_meant_is_read(value: object) -> None:
    body = {"status": value}
    assert yaml.safe_load(as_yaml(body)) == body
    assert json.loads(as_yaml(body)) == body


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    assert json.loads(as_yaml("a\ud800b")) == "a\ufffdb"
