"""Documents: what strict JSON and YAML refuse, where they say it, and the one canonical form.

Invariant: each trap of a parser (faults 86 to 100, 107 and 128) has a line here.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from pricing_rules.document import (
    MAX_DEPTH,
    Document,
    DocumentError,
    Name,
    Text,
    bytes_digest,
    canonical_json,
    content_digest,
    dump,
    json_pointer,
    load_json,
    load_yaml,
    path_text,
    read_json,
    read_yaml,
)


class Pool(Document):
    """A small document with what real ones have."""

    name: Name
    accelerators: int = 1
    labels: tuple[Name, ...] = ()
    shared: bool = False
    note: Text | None = None


class Factory(Document):
    """A document of documents."""

    pools: tuple[Pool, ...]
    by_name: dict[Name, Pool] = {}


def refused(data: bytes | str) -> str:
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    with pytest.raises(DocumentError) as error:
        read_json(raw, name="f.json")
    return str(error.value)


def test_strict_json_is_read_as_it_stands() -> None:
    text = '{"a": [1, -0, 2.5, 1e3, true, false, null, "\\u00e9\\ud83d\\ude00"], "b": {}}'
    assert read_json(text.encode(), name="f") == {
        "a": [1, 0, 2.5, 1000.0, True, False, None, "é😀"],
        "b": {},
    }


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "f.json: the file is empty"),
        (b" \n\t", "f.json: the file is empty"),
        (b"\xef\xbb\xbf{}", "f.json: begins with a byte order mark; save it as UTF-8 without BOM"),
        (b'{"a":\n\xff}', "f.json:2: byte 6 is not UTF-8; save the file as UTF-8"),
        ("{}".encode("utf-16"), "f.json:1: byte 0 is not UTF-8; save the file as UTF-8"),
        ('"\ud800"', "f.json:1: byte 1 is not UTF-8; save the file as UTF-8"),
        ('"\\ud800"', "f.json: holds a lone surrogate, which no text can hold"),
        ('{"\\udc00": 1}', "f.json: holds a lone surrogate, which no text can hold"),
        ('{"a": 1,\n "a": 2}', 'f.json: the key "a" stands twice in one object; keep one'),
        ('{"x": {"a": 1, "\\u0061": 1}}', 'f.json: the key "a" stands twice in one object'),
        ("NaN", "f.json: NaN is not a number that JSON knows; write a number"),
        ("[Infinity]", "f.json: Infinity is not a number that JSON knows; write a number"),
        ("-Infinity", "f.json: -Infinity is not a number that JSON knows; write a number"),
        ("1e400", "f.json: the number 1e400 is out of range"),
        ("1e999999999", "f.json: the number 1e999999999 is out of range"),
        ("-1e2000000", "f.json: the number -1e2000000 is out of range"),
        ("9" * 41, f"f.json: the number {'9' * 40}... has 41 digits"),
        ("9" * 5000, f"f.json: the number {'9' * 40}... has 5000 digits"),
        ("[" * 100_000, "f.json: is nested deeper than 64 levels"),
        ("[" * 65 + "1" + "]" * 65, "f.json: is nested deeper than 64 levels"),
        ('{"a":' * 66 + "1" + "}" * 66, "f.json: is nested deeper than 64 levels"),
        ("{\n  'a': 1}", "f.json:2:3: this is not JSON"),
        ("[1,]", "f.json:1:4: this is not JSON"),
        ("sNaN", "f.json:1:1: this is not JSON"),
        ("01", "f.json:1:2: this is not JSON"),
        ("1_000", "f.json:1:2: this is not JSON"),
        ("0x10", "f.json:1:2: this is not JSON"),
        ("١٢", "f.json:1:1: this is not JSON"),
        ('"a\x00b"', "f.json:1:3: this is not JSON"),
        ("{} // end", "f.json:1:4: this is not JSON"),
    ],
)
def test_what_a_json_parser_would_guess_is_refused(data: bytes | str, sentence: str) -> None:
    assert refused(data).startswith(sentence)


def test_numbers_at_the_edge_are_read() -> None:
    assert read_json(b"9" * 40, name="f") == 10**40 - 1
    assert read_json(b"0e999999999", name="f") == 0.0
    assert read_json(b"1e308", name="f") == 1e308


def test_nesting_is_read_up_to_its_depth() -> None:
    deep = ("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH).encode()
    assert read_json(deep, name="f") == read_yaml(deep, name="f")[0]


@given(data=st.binary(max_size=40))
def test_no_bytes_raise_anything_but_a_document_error(data: bytes) -> None:
    for read in (read_json, read_yaml):
        try:
            read(data, name="f")
        except DocumentError as error:
            assert str(error).startswith("f")  # noqa: PT017


@given(text=st.text(alphabet="ab:-{}[]#&*!|>%@`'\"\\ \n?,0.~", max_size=30))
def test_no_yaml_raises_anything_but_a_document_error(text: str) -> None:
    try:
        read_yaml(text.encode(), name="f")
    except DocumentError as error:
        assert str(error).startswith("f")  # noqa: PT017


def yaml_value(text: str) -> Any:
    value, _ = read_yaml(text.encode(), name="f.yaml")
    return value


@pytest.mark.parametrize(
    "text, value",
    [
        ("no", "no"),
        ("on", "on"),
        ("NO", "NO"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("0o10", "0o10"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("2026-10-01", "2026-10-01"),
        ("1e400", "1e400"),
        ("9" * 20, "9" * 20),
        ("'5'", "5"),
        ('"true"', "true"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("5", 5),
        ("-5", -5),
        ("2.5", 2.5),
        ("1e3", 1000.0),
        ("1.5e-3", 0.0015),
    ],
)
def test_only_plain_numbers_booleans_and_null_are_not_texts(text: str, value: Any) -> None:
    found = yaml_value(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ['a: "\\ud800"', '"\\udc00": 1', 'a: ["\\ud800\\ud800"]'])
def test_half_of_a_surrogate_pair_in_yaml_is_named_as_such(text: str) -> None:
    with pytest.raises(DocumentError) as refused:
        yaml_value(text)
    assert str(refused.value) == "f.yaml:1: holds a lone surrogate, which no text can hold"


def test_both_halves_of_a_surrogate_pair_in_yaml_are_one_character() -> None:
    assert yaml_value('a: "\\ud83d\\ude00"') == {"a": "\N{GRINNING FACE}"}


def test_an_empty_value_is_null_and_a_list_is_a_list() -> None:
    assert yaml_value("a:\nb:\n  - x\n  - 2\n") == {"a": None, "b": ["x", 2]}


def test_each_path_knows_its_line() -> None:
    _, lines = read_yaml(b"a: 1\nb:\n  - x\n  - y: 2\n", name="f")
    assert lines[("b",)] == 2
    assert lines[("b", 0)] == 3
    assert lines[("b", 1, "y")] == 4


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "f.yaml: the file is empty"),
        ("# nothing", "f.yaml: the file is empty"),
        ("a: 1\na: 2", 'f.yaml:2: the key "a" stands twice; keep one'),
        ("a: &x 1", "f.yaml:1: anchors and aliases are not read; write it out"),
        ("- &x [1]\n- *x", "f.yaml:1: anchors and aliases are not read; write it out"),
        ("a: 1\nb: *x", "f.yaml:2: anchors and aliases are not read; write it out"),
        ("a: !!python/object:os.system x", "f.yaml:1: the tag tag:yaml.org,2002:python/object"),
        ("a: !x 1", "f.yaml:1: the tag !x is not read; remove it"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: this is not YAML (but found another document)"),
        ("? [a, b]\n: 1", "f.yaml:1: a key must be a plain word"),
        ("a: [1", "f.yaml:1:6: this is not YAML"),
        ("a: 1\n\tb: 2", "f.yaml:2:1: this is not YAML"),
        ("a: \x00", "f.yaml: this is not YAML (unacceptable character #x0000"),
        ("- " * 65 + "1", "f.yaml:1: is nested deeper than 64 levels"),
        ("[" * 100_000, "f.yaml:1: is nested deeper than 64 levels"),
    ],
)
def test_what_a_yaml_parser_would_guess_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(DocumentError) as error:
        read_yaml(text.encode(), name="f.yaml")
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    "data, sentence",
    [
        ('{"pools": [{"name": "a"}, {"name": 5}]}', "f.json pools[1].name: must be a string in"),
        ('{"pools": [{}]}', "f.json pools[0].name: missing field; add it"),
        ('{"pools": [{"name": "a", "acc": 1}]}', "f.json pools[0].acc: unknown field; remove it"),
        (
            '{"pools": [{"name": "a", "accelerators": 1.0}]}',
            "f.json pools[0].accelerators: must be a whole number, not 1.0",
        ),
        (
            '{"pools": [{"name": "a", "accelerators": true}]}',
            "f.json pools[0].accelerators: must be a whole number, not true",
        ),
        (
            '{"pools": [{"name": "a", "accelerators": "8"}]}',
            'f.json pools[0].accelerators: must be a whole number, not "8"',
        ),
        (
            '{"pools": [{"name": "a", "shared": "no"}]}',
            'f.json pools[0].shared: must be true or false, not "no"',
        ),
        ('{"pools": [], "by_name": {"a": {}}}', "f.json by_name.a.name: missing field; add it"),
        ('{"pools": {}}', "f.json pools: input should be a valid array, not {}"),
        ('{"pools": [{"name": ""}, {}]}', "f.json pools[0].name: string should have at least 1"),
        ("[]", "f.json: input should be an object, not []"),
    ],
)
def test_a_document_says_where_it_is_wrong(data: str, sentence: str) -> None:
    with pytest.raises(DocumentError) as error:
        load_json(Factory, data.encode(), name="f.json")
    assert str(error.value).startswith(sentence)


def test_a_document_says_how_many_more_faults_there_are() -> None:
    with pytest.raises(DocumentError) as error:
        load_json(Factory, b'{"pools": [{}, {}, {}]}', name="f")
    assert str(error.value) == "f pools[0].name: missing field; add it (and 2 more)"


def test_a_yaml_document_says_the_line() -> None:
    text = b"pools:\n  - name: a\n  - name: b\n    accelerators: many\n"
    with pytest.raises(DocumentError) as error:
        load_yaml(Factory, text, name="f.yaml")
    assert str(error.value) == (
        'f.yaml:4 pools[1].accelerators: must be a whole number, not "many"'
    )
    assert (error.value.where, error.value.sentence[:4]) == (
        "f.yaml:4 pools[1].accelerators",
        "must",
    )


def test_a_missing_field_has_the_line_of_what_lacks_it() -> None:
    with pytest.raises(DocumentError, match=r"^f:2 pools\[0\]\.name: missing field"):
        load_yaml(Factory, b"pools:\n  - accelerators: 2\n", name="f")


class Crew(Document):
    """A list with bounds."""

    names: Annotated[tuple[Name, ...], Field(min_length=1, max_length=2)]


@pytest.mark.parametrize("count, said", [(0, "1, and holds 0"), (3, "2; it holds more")])
def test_a_list_says_how_many_it_may_hold(count: int, said: str) -> None:
    assert len(load_json(Crew, b'{"names": ["a", "b"]}', name="crew").names) == 2
    with pytest.raises(DocumentError, match=rf"^crew names: must hold at (least|most) {said}$"):
        load_json(Crew, json.dumps({"names": ["a"] * count}).encode(), name="crew")


class Choice(Document):
    """A document with a union."""

    part: Pool | Factory


def test_a_fault_inside_a_union_has_the_path_of_the_value() -> None:
    with pytest.raises(DocumentError) as error:
        load_json(Choice, b'{"part": {"name": 5}}', name="f")
    assert str(error.value).startswith("f part.name: must be a string in quotes, not 5")


def test_a_long_value_is_shown_by_its_beginning() -> None:
    with pytest.raises(DocumentError) as error:
        load_json(Pool, json.dumps({"name": ["x" * 100]}).encode(), name="f")
    assert str(error.value) == f'f name: must be a string in quotes, not ["{"x" * 55}...'


def test_a_document_is_read_and_written() -> None:
    found = load_yaml(Factory, b'pools:\n  - name: "a"\n    labels: [x, y]\n', name="f")
    assert found.pools[0].labels == ("x", "y")
    assert dump(found) == {
        "pools": [{"name": "a", "accelerators": 1, "labels": ["x", "y"], "shared": False}],
        "by_name": {},
    }
    assert load_json(Factory, json.dumps(dump(found)).encode(), name="f") == found


@pytest.mark.parametrize(
    "text",
    ["a\x00", "a\x1fb", "a\x7f", "a\x9f", "a\u200b", "\u202ea", "a\u2066", "a\ufeff", "a\nb"],
)
def test_a_name_holds_no_control_or_invisible_character(text: str) -> None:
    with pytest.raises(
        DocumentError, match=r"must not hold the control or invisible character U\+"
    ):
        load_json(Pool, json.dumps({"name": text}).encode(), name="f")


@pytest.mark.parametrize("text", [" a", "a ", "\u3000a"])
def test_a_name_neither_begins_nor_ends_with_a_space(text: str) -> None:
    with pytest.raises(DocumentError, match="must not begin or end with a space"):
        load_json(Pool, json.dumps({"name": text}).encode(), name="f")


def test_an_error_without_a_place_is_its_sentence() -> None:
    assert str(DocumentError("", "is wrong")) == "is wrong"
    assert str(DocumentError("f", "is wrong")) == "f: is wrong"


def test_canonical_json_sorts_keys_and_keeps_texts() -> None:
    assert (
        canonical_json({"b": [1, True, None], "a": "é"}) == '{"a":"é","b":[1,true,null]}'.encode()
    )
    assert canonical_json(("x", {"k": ("y",)})) == b'["x",{"k":["y"]}]'


@pytest.mark.parametrize("value", [1.0, {"a": [0.5]}, [{"a": {"b": 1e3}}], Fraction(1, 2)])
def test_canonical_json_holds_no_float(value: Any) -> None:
    with pytest.raises(TypeError, match="canonical JSON holds strings and integers, not"):
        canonical_json(value)


def test_a_digest_is_that_of_the_canonical_form() -> None:
    # SHA-256 of the two bytes {}
    empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert content_digest({}) == bytes_digest(b"{}") == empty
    assert content_digest({"a": 1, "b": 2}) == content_digest({"b": 2, "a": 1})
    assert content_digest({"a": 1}) != content_digest({"a": "1"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**38), 10**38) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(value=JSON)
def test_canonical_json_reads_back_and_stays_as_it_is(value: Any) -> None:
    data = canonical_json(value)
    assert read_json(data, name="f") == value
    assert canonical_json(read_json(data, name="f")) == data


def test_a_path_reads_as_people_write_it() -> None:
    assert path_text(("rate_cards", 0, "rates", 12, "when")) == "rate_cards[0].rates[12].when"
    assert path_text(()) == ""


def test_a_path_is_a_json_pointer_too() -> None:
    assert json_pointer(("rate_cards", 0, "a/b~c")) == "/rate_cards/0/a~1b~0c"
    assert json_pointer(()) == ""


def test_an_error_bears_the_path_of_what_is_wrong() -> None:
    with pytest.raises(DocumentError) as caught:
        load_json(Factory, b'{"pools": [{"name": "a"}, {"name": 5}]}', name="f.json")
    assert caught.value.path == ("pools", 1, "name")
    with pytest.raises(DocumentError) as whole:
        read_json(b"{", name="f.json")
    assert whole.value.path == ()
    assert path_text((3, "a")) == "[3].a"
