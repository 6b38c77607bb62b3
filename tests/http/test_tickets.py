"""tickets: what a token has to say to open something, where it is looked for; no text makes the reader fail."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.errors import BadTicket, Forbidden
from dashboard_rt.http.tickets import LEEWAY, MAX_TOKEN_CHARS, Ticket, TicketSigner, find_token, narrowed

SECRET = "0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000.0
SIGNER = TicketSigner(SECRET, clock=lambda: NOW)


def signed(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"exp": NOW + 60, **claims}, secret, algorithm)


def raw(claims: str, header: str = '{"alg":"HS256"}', secret: str = SECRET) -> str:
    """A token of any text, well signed."""
    parts = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret.encode(), b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def reason(token: str) -> str:
    with pytest.raises(BadTicket) as refused:
        SIGNER.read(token)
    return refused.value.reason


def test_what_is_issued_is_read() -> None:
    ticket = Ticket(frozenset({"a", "b"}), NOW + 60, NOW + 3600)
    assert SIGNER.read(SIGNER.issue(ticket, once=False)) == ticket
    once = SIGNER.read(SIGNER.issue(ticket, once=True))
    again = SIGNER.read(SIGNER.issue(ticket, once=True))
    assert once.use and again.use and once.use != again.use


def test_a_token_of_another_program_needs_no_more_than_its_expiry() -> None:
    token = signed(iss="shop", aud="everybody", sub=7, iat=NOW + 99, jti=5, admin=True)
    assert SIGNER.read(token) == Ticket(None, NOW + 60, NOW + 60)


def test_streams_that_are_named() -> None:
    ticket = SIGNER.read(signed(streams=["a"]))
    assert ticket.names("a") and not ticket.names("b")
    assert SIGNER.read(signed()).names("b")
    assert not SIGNER.read(signed(streams=[])).names("a")


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (signed("another secret of at least 32 bytes"), "signature"),
        (signed(algorithm="HS512", secret=SECRET * 2), "signature"),
        (f"{signed().rpartition('.')[0]}.{signed(jti='1').rpartition('.')[2]}", "signature"),
        (jwt.encode({"exp": NOW + 60}, None, "none"), "signature"),
        (raw('{"exp":1800000060}', '{"alg":"HS512"}'), "signature"),
        (raw('{"exp":1800000060}', '{"alg":"none"}'), "signature"),
        (raw('{"exp":1800000060}', '{"alg":"HS256","crit":["x"],"x":1}'), "malformed"),
        (signed(exp=NOW - LEEWAY), "expired"),
        (signed(session_exp=NOW - LEEWAY), "expired"),
        (signed(nbf=NOW + LEEWAY + 1), "not_yet"),
        ("x" * (MAX_TOKEN_CHARS + 1), "too_large"),
        ("", "malformed"),
        ("a.b.c", "malformed"),
        ("\ud800.é.\0", "malformed"),
        (raw("[1]"), "malformed"),
        (raw("{}"), "malformed"),
        (raw('{"exp":null}'), "malformed"),
        (raw('{"exp":"1800000060"}'), "malformed"),
        (raw('{"exp":true}'), "malformed"),
        (raw('{"exp":Infinity}'), "malformed"),
        (raw('{"exp":NaN}'), "malformed"),
        (raw('{"exp":1e400}'), "malformed"),
        (raw('{"exp":' + "9" * 5000 + "}"), "malformed"),
        (raw("[" * 5000), "malformed"),
        (signed(streams="dashboard_updates"), "malformed"),
        (signed(streams=[1]), "malformed"),
        (signed(streams=None), "malformed"),
        (signed(once=None), "malformed"),
        (raw('{"exp":1800000060,"once":true,"jti":7}'), "malformed"),
        (raw('{"exp":1800000060,"once":true,"jti":null}'), "malformed"),
        (signed(once="true"), "malformed"),
        (signed(session_exp="never"), "malformed"),
        (signed(nbf="soon"), "malformed"),
    ],
    ids=lambda value: value if len(value) < 20 else f"{value[:6]}…",
)
def test_a_token_that_opens_nothing(token: str, why: str) -> None:
    assert reason(token) == why


def test_the_leeway() -> None:
    assert SIGNER.read(signed(exp=NOW - LEEWAY + 0.5)).closes_at == NOW + 0.5
    assert SIGNER.read(signed(nbf=NOW + LEEWAY - 0.5))


def test_one_token_is_used_once_however_its_signature_is_written() -> None:
    token = signed(once=True)
    use = SIGNER.read(token).use
    assert use and SIGNER.read(f"{token}=").use == use
    assert (
        SIGNER.read(signed(once=True, jti="7")).use
        == SIGNER.read(signed(once=True, jti="7", exp=NOW + 9)).use
    )
    assert SIGNER.read(signed(jti="7")).use is None


@given(st.text(max_size=200) | st.text("abc._-=eyJ0", max_size=200))
def test_no_text_makes_it_fail(text: str) -> None:
    assert reason(text) in ("malformed", "signature")


CLAIMS = st.sampled_from(["exp", "session_exp", "streams", "once", "jti", "nbf", "iat", "aud"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(CLAIMS, JSON), st.booleans())
def test_no_claims_make_it_fail(claims: dict[str, Any], lasting: bool) -> None:
    """Well signed, by a program with faults of its own: a ticket, or a refusal."""
    claims |= {"exp": NOW + 60} if lasting else {}
    try:
        ticket = SIGNER.read(raw(json.dumps(claims)))
    except BadTicket:
        return
    assert ticket.opens_until >= NOW - LEEWAY and ticket.ends_at >= NOW - LEEWAY
    assert (ticket.streams is None) == ("streams" not in claims)
    assert (ticket.use is not None) == claims.get("once", False)


# ---- in requests


def scope(
    query: str = "", headers: dict[str, str] | None = None, kind: str = "http", offers: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "type": kind,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        "subprotocols": list(offers),
    }


def test_where_a_token_is_looked_for() -> None:
    bearer = {"authorization": "Bearer head"}
    assert find_token(scope("ticket=query", bearer)) == "head"
    assert find_token(scope("stream=s&ticket=a.b-c_d", {"authorization": "Basic eDp5"})) == "a.b-c_d"
    assert find_token(scope("ticket=", {"authorization": "Bearer "})) is None
    assert find_token(scope("&".join(["a=1"] * 50 + ["ticket=x"]))) is None


def test_where_the_clients_of_anycable_put_it() -> None:
    offers = ("actioncable-v1-json", "anycable-token.a.b.c")
    assert find_token(scope("jid=j", kind="websocket", offers=offers)) == "j"
    assert find_token(scope("jid=j", {"x-jid": "head"}, "websocket")) == "head"
    assert find_token(scope(kind="websocket", offers=offers)) == "a.b.c"
    assert find_token(scope("jid=j", {"x-jid": "head"})) is None, "these are ways of the cable"


# ---- narrowing


def test_what_is_issued_exceeds_no_right_of_whoever_asks() -> None:
    own = Ticket(frozenset({"a", "b"}), NOW + 100, NOW + 200)
    assert narrowed(own, None, 3600, NOW) == own
    assert narrowed(own, ["a"], 50, NOW) == Ticket(frozenset({"a"}), NOW + 50, NOW + 50)
    assert narrowed(own, ["a"], 150, NOW) == Ticket(frozenset({"a"}), NOW + 100, NOW + 150)
    with pytest.raises(Forbidden):
        narrowed(own, ["a", "c"], 50, NOW)
