"""The refusals: their statuses, and the texts that programs compare."""

import copy
import pickle

import pytest

from kirsch.wire import errors
from kirsch.wire.errors import BadBody, BadRequest, BodyTooLarge, HeadTooLarge, ProtocolError


def test_texts_that_programs_compare():
    assert errors.BAD_REQUEST_LINE == "Malformed Request-Line"
    assert errors.BAD_LINE == "Illegal header line."
    assert errors.CRLF_REQUIRED == "HTTP requires CRLF terminators"
    assert errors.BODY_TOO_LARGE == (
        "The entity sent with the request exceeds the maximum allowed bytes."
    )
    assert errors.RESPONSE_TOO_LONG == (
        "The requested resource returned more bytes than the declared Content-Length."
    )
    assert errors.CONNECT_TARGET == (
        "Invalid path in Request-URI: request-target must match authority-form."
    )
    assert "Invalid path in Request-URI" in errors.BAD_PATH
    assert "Illegal #fragment in Request-URI" in errors.FRAGMENT


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ProtocolError(408, "x"), 408),
        (BadRequest("x"), 400),
        (BadBody("x"), 400),
        (HeadTooLarge(431, "x"), 431),
        (BodyTooLarge("x"), 413),
    ],
)
def test_kinds(error, status):
    assert isinstance(error, ProtocolError)
    assert (error.status, error.text) == (status, "x")
    assert str(error) == f"{status} x"
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert (twin.status, twin.text) == (status, "x")
