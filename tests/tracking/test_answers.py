"""What an HTTP answer means."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.tracking import answers

SERVER = "http://mlflow:5000"


def parsed(status: int, body: Any, location: str = "") -> dict[str, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answers.parsed(SERVER, "mlflow:5000", "runs/get", status, location, raw)


def test_a_good_answer_is_its_object() -> None:
    assert parsed(200, {"run": {}}) == {"run": {}}
    assert parsed(200, b"") == {}, "an upload's answer is empty"


@pytest.mark.parametrize(
    ("status", "body", "words", "retry", "everywhere"),
    [
        (503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "psycopg: /run/1234 gone"},
         "answers HTTP 503 TEMPORARILY_UNAVAILABLE: see the server's log", True, False),
        (500, b"<html>", "answers HTTP 500: see", True, False),
        (429, {}, "HTTP 429", True, False),
        (403, b"Invalid Host header - possible DNS rebinding attack detected", "--allowed-hosts", False, True),
        (401, b"You are not authenticated.", "asks for a login (HTTP 401): name the Secret", False, True),
        (404, b"<!doctype html>\n<title>404", "check trackingUri", False, True),
        (405, b"<!doctype html>", "check trackingUri", False, True),
        (200, b"<html>a login page", "check trackingUri", False, True),
        (200, b"[1]", "check trackingUri", False, True),
        (302, b"", "redirects to https://sso/", False, True),
    ],
)  # fmt: skip
def test_unusable_answers(status: int, body: Any, words: str, retry: bool, everywhere: bool) -> None:
    with pytest.raises(answers.BadAnswerError) as raised:
        parsed(status, body, "https://sso/")
    assert words in str(raised.value)
    assert (raised.value.retry, raised.value.everywhere) == (retry, everywhere)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_refusals_carry_status_code_and_words(status: int) -> None:
    with pytest.raises(
        answers.MLflowRefusedError, match=r"^MLflow refused runs/get: SOME_CODE: the first line$"
    ) as raised:
        parsed(status, {"error_code": "SOME_CODE", "message": "the first line\n[SQL: SELECT secrets]"})
    assert (raised.value.status, raised.value.code) == (status, "SOME_CODE")


def test_a_login_that_is_not_accepted_names_its_secret() -> None:
    with pytest.raises(answers.BadAnswerError, match=r"of Secret tracking/login \(HTTP 401\)") as raised:
        answers.parsed(SERVER, "mlflow:5000", "runs/get", 401, "", b"", login="tracking/login")
    assert raised.value.everywhere


@pytest.mark.parametrize(("login", "who"), [("tracking/login", "the user of Secret tracking/login"), ("", "operator")])
def test_a_missing_permission_is_a_refusal(login: str, who: str) -> None:
    with pytest.raises(answers.MLflowRefusedError, match=f"{who} has no permission for it; make it an admin") as raised:
        answers.parsed(SERVER, "mlflow:5000", "runs/get", 403, "", b"Permission denied", login=login)
    assert (raised.value.status, raised.value.code) == (403, "PERMISSION_DENIED")


@given(st.integers(100, 599), st.binary(max_size=200), st.text(max_size=20))
def test_no_answer_raises_anything_else(status: int, body: bytes, location: str) -> None:
    try:
        assert isinstance(parsed(status, body, location), dict)
    except (answers.BadAnswerError, answers.MLflowRefusedError) as error:
        assert str(error)  # noqa: PT017 -- the point is which errors there are
