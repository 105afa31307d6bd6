"""The JSON encoder: what each type becomes, the same text with and without msgspec, and what is refused."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import subprocess
import sys
import types
import uuid
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy
import pydantic
import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st

from rx_sse.errors import EncodeError
from rx_sse.wire.jsontext import dumps, dumps_utf8, standard

UTC = datetime.UTC


class Level(enum.IntEnum):
    HIGH = 3


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.Enum):
    LARGE = decimal.Decimal("1.50")


class Pair(NamedTuple):
    a: int
    b: str


@dataclasses.dataclass
class Point:
    x: float
    when: datetime.date | None = None


@dataclasses.dataclass(slots=True, frozen=True)
class Line:
    start: Point
    points: tuple[Point, ...] = ()


class Asking:
    """Has every attribute that one looks for, as mocks and proxies do."""

    def __getattr__(self, name: str) -> Any:
        return self


class Answer:
    def __await__(self) -> Any:
        yield


async def endless() -> Any:
    while True:
        yield 1


class Model(pydantic.BaseModel):
    n: int
    when: datetime.datetime | None = None
    amount: decimal.Decimal | None = None


@attrs.define
class Pin:
    a: int = 1
    b: list[int] = attrs.Factory(lambda: [2])


@attrs.frozen
class Marker:
    """Without a field."""


class Struct(msgspec.Struct, rename="camel", tag="person"):
    first_name: str = "Ada"
    nick: str | msgspec.UnsetType | None = msgspec.UNSET
    born: datetime.datetime | None = None


class Ping(msgspec.Struct, tag="ping"):
    """Without a field."""


class Pixel(msgspec.Struct, array_like=True):
    x: int = 1
    inner: Any = None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1, "b": [True, None, 1.5]}, '{"a":1,"b":[true,null,1.5]}'),
        ({"é": "日本 \U0001f600 \u2028 \x7f"}, '{"é":"日本 \U0001f600 \u2028 \x7f"}'),
        ('"\\/\b\f\n\r\t\0\x1f', '"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f"'),
        ({1: 1, None: 3, 1.5: 4}, '{"1":1,"null":3,"1.5":4}'),
        ({True: 1, False: 2}, '{"true":1,"false":2}'),
        (
            [0.1, -0.0, 1e16, 1e-5, 1e15, 123456789.25, 5e-324],
            "[0.1,-0.0,1e+16,1e-05,1000000000000000.0,123456789.25,5e-324]",
        ),
        ([2**64, -(2**64), 2**63], "[18446744073709551616,-18446744073709551616,9223372036854775808]"),
        ((1, (2,), []), "[1,[2],[]]"),
        ({7}, "[7]"),
        (frozenset({"x"}), '["x"]'),
        (types.MappingProxyType({"a": 1}), '{"a":1}'),
        (collections.OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), '"2026-01-02T03:04:05.000006+00:00"'),
        (datetime.datetime(2026, 1, 2), '"2026-01-02T00:00:00"'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (datetime.time(3, 4), '"03:04:00"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (decimal.Decimal("1.10"), '"1.10"'),
        (decimal.Decimal("123456789012345678901234567890.1"), '"123456789012345678901234567890.1"'),
        (Level.HIGH, "3"),
        (Colour.RED, '"red"'),
        ({Colour.RED: Size.LARGE}, '{"red":"1.50"}'),
        (Pair(1, "x"), '[1,"x"]'),
        (Point(1.5, datetime.date(2026, 1, 2)), '{"x":1.5,"when":"2026-01-02"}'),
        (Line(Point(1.0), (Point(2.0),)), '{"start":{"x":1.0,"when":null},"points":[{"x":2.0,"when":null}]}'),
        (
            Model(n=1, when=datetime.datetime(2026, 1, 2, tzinfo=UTC), amount=decimal.Decimal("1.10")),
            '{"n":1,"when":"2026-01-02T00:00:00Z","amount":"1.10"}',
        ),
        ({"model": [Model(n=1)]}, '{"model":[{"n":1,"when":null,"amount":null}]}'),
        (Pin(), '{"a":1,"b":[2]}'),
        (Marker(), "{}"),
        (Struct(), '{"type":"person","firstName":"Ada","born":null}'),
        (
            Struct(nick=None, born=datetime.datetime(2026, 1, 2, tzinfo=UTC)),
            '{"type":"person","firstName":"Ada","nick":null,"born":"2026-01-02T00:00:00+00:00"}',
        ),
        (Ping(), '{"type":"ping"}'),
        (Pixel(), "[1,null]"),
        (Pixel(inner=Model(n=2)), '[1,{"n":2,"when":null,"amount":null}]'),
        ({"deep": [Pixel(inner=Struct())]}, '{"deep":[[1,{"type":"person","firstName":"Ada","born":null}]]}'),
        (numpy.int64(7), "7"),
        (numpy.uint8(7), "7"),
        (numpy.float64(1.5), "1.5"),
        (numpy.float32(0.5), "0.5"),
        (numpy.bool_(True), "true"),
        (numpy.str_("x"), '"x"'),
        (numpy.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        (numpy.array([0.1, 1e-7]), "[0.1,1e-07]"),
        (numpy.array(3), "3"),
        (numpy.array(["a", "b"]), '["a","b"]'),
        (numpy.datetime64("2026-01-02T03:04:05.000000006"), '"2026-01-02T03:04:05.000000006"'),
        (numpy.array(["2026-01-02"], dtype="datetime64[D]"), '["2026-01-02"]'),
        ({"cpu": numpy.float64(12.5), "cores": numpy.array([1, 2])}, '{"cpu":12.5,"cores":[1,2]}'),
    ],
)
def test_every_type_has_one_text(value: Any, text: str) -> None:
    assert dumps(value) == text
    assert dumps_utf8(value) == standard(value) == text.encode()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "data: nan of type float .* JSON has no such number; send None instead"),
        ({"a": [1, {"b": float("inf")}]}, r"data\['a'\]\[1\]\['b'\]: inf of type float"),
        ([0.5, float("-inf")], r"data\[1\]: -inf"),
        (numpy.array([1.0, float("nan")]), r"data\[1\]: nan"),
        (Point(float("nan")), r"data\['x'\]: nan"),
        (numpy.float64("nan"), r"data: (np\.float64\(nan\)|nan) .* JSON has no such number"),
        (decimal.Decimal("NaN"), r"data: Decimal\('NaN'\).* send None"),
        (b"x", "data: b'x' of type bytes .* RawFrame"),
        (bytearray(b"x"), "of type bytearray"),
        ({"blob": memoryview(b"x")}, r"data\['blob'\]: <memory .* of type memoryview"),
        ("\ud800", "data: .* lone surrogate"),
        ({"a": "x\udfff"}, r"data\['a'\]: 'x\\udfff' .* lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        (object(), "data: <object object .* of type object .* pass dumps="),
        ({"a": {"b": object()}}, r"data\['a'\]\['b'\]: <object"),
        (Point, "this is a class; send an instance"),
        (datetime.timedelta(1), "total_seconds"),
        (numpy.timedelta64(1, "s"), "number of seconds"),
        (numpy.datetime64("NaT", "s"), "data: .*NaT.* not a time; send None"),
        (numpy.array(["2026-01-02", "NaT"], dtype="M8[D]"), "not a time"),
        ([Pixel(inner=numpy.datetime64("NaT", "s"))], "not a time"),
        (Pixel(inner=float("nan")), "nan.* JSON has no such number"),
        (Pixel(inner=object()), "<object .* pass dumps="),
        ([Asking()], "of type Asking .* pass dumps="),
        ([n for n in ()].__iter__(), "its items one by one"),
        ((n for n in "ab"), "its items one by one"),
        (endless(), "its items one by one"),
        (Answer(), "await it, and emit what it returns"),
        (rx.never(), "this is an Observable: emit its values"),
        (numpy.complex128(1j), "of type complex128|of type complex"),
        (1j, "of type complex"),
        (numpy.longdouble(1), "of type (longdouble|float128).* pass dumps="),
        (lambda: 1, "of type function"),
        (range(3), "of type range"),
        ({uuid.UUID(int=1): 1}, "keys must be str, int, float, bool or None, not UUID"),
        ({"n": 10**5000}, r"data\['n'\]: .*cannot be sent as JSON: Exceeds the limit"),
        ({"a": {(1, 2): 1}}, r"data\['a'\]: .*keys must be str.* not tuple"),
    ],
)
def test_refused_with_its_place_and_a_way_out(value: Any, message: str) -> None:
    for encoder in (dumps, dumps_utf8, standard):
        with pytest.raises(EncodeError, match=message):
            encoder(value)


def test_a_time_that_is_none_by_its_own_account_is_refused() -> None:
    """pandas.NaT is a datetime, and differs from itself."""

    class NaTType(datetime.datetime):
        def __eq__(self, other: object) -> bool:
            return False

        def __ne__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    with pytest.raises(EncodeError, match=r"data\['at'\]: .* not a time; send None"):
        dumps({"at": NaTType(2026, 1, 2)})


async def test_a_coroutine_is_told_to_be_awaited() -> None:
    async def price() -> int:
        return 1

    waiting = price()
    with pytest.raises(EncodeError, match=r"data\['price'\]: <coroutine .* await it"):
        dumps({"price": waiting})
    await waiting


def test_a_circle_is_refused() -> None:
    circle: list[Any] = [1]
    circle.append({"self": circle})
    with pytest.raises(EncodeError, match="contains itself"):
        dumps(circle)
    point = Point(1.0)
    point.when = point  # type: ignore[assignment]
    with pytest.raises(EncodeError, match="contains itself"):
        dumps(point)


def test_what_a_value_raises_while_it_is_read_is_an_encode_error() -> None:
    class Broken(dict[str, int]):
        def items(self) -> Any:
            raise LookupError("database is gone")

    @dataclasses.dataclass
    class Lazy:
        row: int

        def __getattribute__(self, name: str) -> Any:
            if name == "row":
                raise LookupError("database is gone")
            return super().__getattribute__(name)

        def __repr__(self) -> str:
            raise LookupError("database is gone")

    for value in (Broken(a=1), [Lazy(1)]):
        with pytest.raises(EncodeError, match="LookupError: database is gone"):
            dumps(value)


def test_a_huge_value_makes_a_short_message() -> None:
    with pytest.raises(EncodeError) as caught:
        dumps({"a": b"x" * 1_000_000})
    assert len(str(caught.value)) < 400


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
special = st.recursive(
    plain
    | st.datetimes()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.uuids()
    | st.floats(allow_nan=False, allow_infinity=False).map(numpy.float64)
    | st.sampled_from([Level.HIGH, Colour.RED, Size.LARGE, Point(1.5)]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.booleans() | st.none() | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    text = dumps(value)
    assert json.loads(text) == value
    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(special)
@settings(max_examples=300)
def test_with_and_without_msgspec_the_text_is_the_same(value: Any) -> None:
    pytest.importorskip("msgspec", reason="pip install msgspec")
    assert dumps_utf8(value) == standard(value)


@given(st.floats())
@settings(max_examples=1000)
def test_no_float_tells_the_encoders_apart(value: float) -> None:
    jsonfast = pytest.importorskip("rx_sse.wire.jsonfast", reason="pip install msgspec")
    plain_json = jsonfast.dumps_with(lambda _: None)
    for case in (value, [value], {"x": value}, {"x": [1, value]}):
        quick = plain_json(case)
        if quick is not None:
            assert quick == standard(case)


def test_msgspec_takes_the_plain_values_and_leaves_the_rest() -> None:
    jsonfast = pytest.importorskip("rx_sse.wire.jsonfast", reason="pip install msgspec")
    plain_json = jsonfast.dumps_with(lambda _: None)
    for value in (
        {"a": 1, "b": [True, None, 1.5, {"c": "é"}]},
        [],
        "x",
        0.0,
        (1, (2,)),
        [0.0001, 9.9e15, -0.5],
    ):
        assert plain_json(value) == standard(value)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    left = [
        1e16,
        [1e-5],
        {"a": float("nan")},
        {1: 1},
        {"a": b"x"},
        Level.HIGH,
        [Colour.RED],
        "\ud800",
        Point(1.0),
        deep,
        {"a": deep},
    ]
    for value in left:
        assert plain_json(value) is None


def test_without_msgspec_everything_works() -> None:
    program = """
import sys
sys.modules["msgspec"] = None
from rx_sse.wire import encode
from rx_sse.errors import EncodeError
assert encode({"a": [1, 1.5, "é", None]}).frame == 'data: {"a":[1,1.5,"é",null]}\\n\\n'.encode()
try:
    encode(float("nan"))
except EncodeError:
    sys.exit(0)
sys.exit("NaN was not refused")
"""
    subprocess.run([sys.executable, "-X", "utf8", "-c", program], check=True)
