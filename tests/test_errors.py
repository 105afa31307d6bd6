"""The exception tree: what one `except` catches, and what a problem document holds."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from rx_sse import errors


def every_error() -> list[type[errors.RxSseError]]:
    return [getattr(errors, name) for name in errors.__all__]


def test_one_except_catches_them_all() -> None:
    assert all(issubclass(error, errors.RxSseError) for error in every_error())


def test_the_module_exports_every_error_it_defines() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        # `rx_sse` for those of the public face, once somebody has taken them from there
        if isinstance(value, type) and value.__module__ in ("rx_sse", errors.__name__)
    }
    assert defined == set(errors.__all__)


def test_the_docstring_draws_every_error() -> None:
    drawn = errors.__doc__ or ""
    assert all(f" {error.__name__} " in drawn or error is errors.RxSseError for error in every_error())


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (errors.UsageError, TypeError),
        (errors.EncodeError, ValueError),
        (errors.TopicNameError, ValueError),
        (errors.QueueFull, errors.Overloaded),
    ],
)
def test_errors_are_also_what_python_calls_them(error: type[Exception], base: type[Exception]) -> None:
    assert issubclass(error, base)


def test_a_stream_error_is_a_problem_document_without_empty_members() -> None:
    assert errors.StreamError("no such room").problem() == {"type": "about:blank", "detail": "no such room"}
    assert errors.StreamError().problem() == {"type": "about:blank"}


def test_a_stream_error_carries_every_member_and_keeps_retry_to_itself() -> None:
    error = errors.StreamError(
        "30 of 30 seats are taken",
        title="Full",
        type="https://example.org/full",
        status=409,
        retry=5000,
        seats=30,
    )
    assert error.problem() == {
        "type": "https://example.org/full",
        "title": "Full",
        "status": 409,
        "detail": "30 of 30 seats are taken",
        "seats": 30,
    }
    assert error.retry == 5000
    assert str(error) == "30 of 30 seats are taken"


def test_a_falsy_extra_member_stays() -> None:
    assert errors.StreamError("x", missed=0, note="").problem() == {
        "type": "about:blank",
        "detail": "x",
        "missed": 0,
        "note": "",
    }


@pytest.mark.parametrize("status", [0, 200, 399, 600, "500", 500.0])
def test_a_stream_error_is_no_success(status: Any) -> None:
    with pytest.raises(errors.UsageError, match=str(status)):
        errors.StreamError("x", status=status)


def test_what_errors_know_beside_their_text() -> None:
    assert errors.Overloaded("busy", retry_after=2.5).retry_after == 2.5
    assert errors.QueueFull("full").retry_after is None
    failed = errors.ConnectionFailed("gave up", status=204, reason="no content")
    assert (failed.status, failed.reason) == (204, "no content")
    assert errors.EventTooLarge("too large").events == ()


def test_errors_cross_a_process_boundary() -> None:
    error = errors.StreamError("gone", status=410, retry=1000, room="a")
    copy = pickle.loads(pickle.dumps(error))
    assert copy.problem() == error.problem()
    assert copy.retry == 1000
