"""Documents: strict JSON and YAML in, canonical JSON and its digest out.

Invariant: a document is read whole or not at all. What a parser would guess (a duplicate key, NaN,
an alias, a number written as 1_000) is refused with the file and the place; nothing is coerced.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn, TypeVar, cast

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

MAX_DEPTH = 64
"""Deepest nesting that a document may have; beyond it a reader would recurse without end."""

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_YAML_INT = re.compile(r"-?(0|[1-9][0-9]{0,18})\Z")
_YAML_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,24})?([eE][-+]?[0-9]{1,3})?\Z")

JsonValue = Any
"""None, bool, int, float, str, list or dict of these: what strict JSON holds."""

Path = tuple[str | int, ...]


class DocumentError(ValueError):
    """Bad input: one sentence that says where it is wrong and how to mend it.

    ``where`` names the file with a line or path (``policy.yaml:12 rules[0].then``); ``path`` is the
    path alone, empty where the whole is wrong.
    """

    def __init__(self, where: str, sentence: str, *, path: Path = ()) -> None:
        super().__init__(f"{where}: {sentence}" if where else sentence)
        self.where = where
        self.sentence = sentence
        self.path = path


def _plain_text(text: str) -> str:
    found = _CONTROL.search(text)
    if found:
        raise ValueError(f"must not hold the control or invisible character U+{ord(found[0]):04X}")
    if text != text.strip():
        raise ValueError("must not begin or end with a space")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_plain_text)]
"""An id or a name: 1 to 200 characters, no control or invisible ones; compared byte for byte."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_plain_text)]
"""A sentence for people: 1 to 2,000 characters on one line."""


class Document(BaseModel):
    """A frozen record read from outside: strict types, and no field that it does not know."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


D = TypeVar("D", bound=Document)


def read_json(data: bytes, *, name: str) -> JsonValue:
    """Parse strict JSON (RFC 8259, UTF-8 without BOM).

    Raises DocumentError, naming ``name``, on an empty file, another encoding, duplicate keys, NaN
    or Infinity, a number beyond a double, lone surrogates, or nesting deeper than ``MAX_DEPTH``.
    """
    text = _decode(data, name=name)

    def refuse_constant(constant: str) -> NoReturn:
        raise DocumentError(name, f"{constant} is not a number that JSON knows; write a number")

    def read_float(literal: str) -> float:
        number = float(literal)
        if not math.isfinite(number):
            raise DocumentError(name, f"the number {literal[:40]} is out of range")
        return number

    def read_int(literal: str) -> int:
        if len(literal) > 40:
            raise DocumentError(name, f"the number {literal[:40]}... has {len(literal)} digits")
        return int(literal)

    def refuse_duplicates(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {}
        for key, value in pairs:
            if key in found:
                raise DocumentError(
                    name, f'the key "{key:.60}" stands twice in one object; keep one'
                )
            found[key] = value
        return found

    try:
        value = json.loads(
            text,
            parse_constant=refuse_constant,
            parse_float=read_float,
            parse_int=read_int,
            object_pairs_hook=refuse_duplicates,
        )
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"{name}:{error.lineno}:{error.colno}", f"this is not JSON ({error.msg})"
        ) from None
    except RecursionError:
        raise DocumentError(name, f"is nested deeper than {MAX_DEPTH} levels") from None
    _check_depth(value, name=name)
    if "\\u" in text:  # only an escape can bring in half of a surrogate pair
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DocumentError(name, "holds a lone surrogate, which no text can hold") from None
    return value


def read_yaml(data: bytes, *, name: str) -> tuple[JsonValue, Mapping[Path, int]]:
    """Parse strict YAML into (value, line of each path).

    The core schema without its traps: only true/false, null, plain decimal integers and decimal
    floats are not strings (``no``, ``1:30``, ``010``, ``1_000`` and ``.nan`` stay strings, which a
    typed field then refuses). Tags, anchors, aliases, several documents and duplicate keys raise
    DocumentError with the line.
    """
    text = _decode(data, name=name)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = cast("yaml.Mark", event.start_mark).line + 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:  # at once: the scanner takes quadratic time over open brackets
                raise DocumentError(f"{name}:{line}", f"is nested deeper than {MAX_DEPTH} levels")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise DocumentError(
                    f"{name}:{line}", "anchors and aliases are not read; write it out"
                )
            tag = getattr(event, "tag", None)
            if tag:
                raise DocumentError(f"{name}:{line}", f"the tag {tag} is not read; remove it")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
        where = f"{name}{at}"
        raise DocumentError(where, f"this is not YAML ({error.problem})") from None
    except yaml.YAMLError as error:
        raise DocumentError(name, f"this is not YAML ({str(error).splitlines()[0]})") from None
    lines: dict[Path, int] = {}
    return _construct(node, (), lines, name=name), lines


def load_json(model: type[D], data: bytes, *, name: str) -> D:
    """Read strict JSON as ``model``; DocumentError names the path of what is wrong."""
    return validate(model, read_json(data, name=name), name=name, lines={})


def load_yaml(model: type[D], data: bytes, *, name: str) -> D:
    """Read strict YAML as ``model``; DocumentError names the line and path of what is wrong."""
    value, lines = read_yaml(data, name=name)
    return validate(model, value, name=name, lines=lines)


def validate(model: type[D], value: JsonValue, *, name: str, lines: Mapping[Path, int]) -> D:
    """Type a parsed value as ``model``: the first fault as one sentence, with how many more."""
    try:
        return model.model_validate_json(json.dumps(value))
    except ValidationError as error:
        faults = [f for f in error.errors(include_url=False) if not _follows(f)]
        path = _path(faults[0]["loc"], value)
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        sentence = _sentence(faults[0]) + more
        raise DocumentError(_where(name, path, lines), sentence, path=path) from None


def canonical_json(value: JsonValue) -> bytes:
    """The one byte form of a JSON value: sorted keys, no spaces, UTF-8.

    Amounts and rates are strings by then; a float raises TypeError, because two machines may print
    one float differently.
    """
    _refuse_floats(value)
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def content_digest(value: JsonValue) -> str:
    """``sha256:`` and the hex SHA-256 of the canonical JSON of ``value``."""
    return bytes_digest(canonical_json(value))


def bytes_digest(data: bytes) -> str:
    """``sha256:`` and the hex SHA-256 of a file as it stands."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def dump(document: BaseModel) -> dict[str, JsonValue]:
    """A document as plain JSON values; fields that are absent stay absent."""
    dumped: dict[str, JsonValue] = document.model_dump(
        mode="json", exclude_none=True, by_alias=True
    )
    return dumped


def path_text(path: Path) -> str:
    """``("rate_cards", 0, "rates")`` as ``rate_cards[0].rates``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


def json_pointer(path: Path) -> str:
    """``("rate_cards", 0, "a/b")`` as ``/rate_cards/0/a~1b`` (RFC 6901); "" for the whole."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _decode(data: bytes, *, name: str) -> str:
    if not data.strip():
        raise DocumentError(name, "the file is empty")
    if data.startswith(b"\xef\xbb\xbf"):
        raise DocumentError(name, "begins with a byte order mark; save it as UTF-8 without BOM")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError(
            f"{name}:{line}", f"byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from None


def _check_depth(value: JsonValue, *, name: str, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise DocumentError(name, f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _check_depth(item, name=name, depth=depth + 1)


def _refuse_floats(value: JsonValue) -> None:
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
    elif value is not None and not isinstance(value, str | int):
        raise TypeError(f"canonical JSON holds strings and integers, not {value!r}")


def _construct(
    node: yaml.Node | None, path: Path, lines: dict[Path, int], *, name: str
) -> JsonValue:
    if node is None:
        raise DocumentError(name, "the file is empty")
    line = node.start_mark.line + 1
    lines[path] = line
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*path, i), lines, name=name) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, JsonValue] = {}
        for key_node, value_node in node.value:
            at = f"{name}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise DocumentError(at, "a key must be a plain word")
            key = _whole_text(str(key_node.value), where=at)
            if key in found:
                raise DocumentError(at, f'the key "{key}" stands twice; keep one')
            found[key] = _construct(value_node, (*path, key), lines, name=name)
            lines[(*path, key)] = key_node.start_mark.line + 1
        return found
    text = _whole_text(str(node.value), where=f"{name}:{line}")
    return _scalar(text, quoted=getattr(node, "style", None) is not None)


def _whole_text(text: str, *, where: str) -> str:
    """The text, where no escape of it left half of a surrogate pair."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise DocumentError(where, "holds a lone surrogate, which no text can hold") from None


def _scalar(text: str, *, quoted: bool) -> JsonValue:
    if quoted:
        return text
    if text in {"", "~", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    if _YAML_INT.match(text):
        return int(text)
    if _YAML_FLOAT.match(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _path(loc: Path, value: JsonValue) -> Path:
    # Pydantic puts the tags of unions into the location; what is not a key of the value is left
    # out.
    path: Path = ()
    at = value
    for part in loc:
        if isinstance(at, dict) and isinstance(part, str):
            inside = part in at
            if not inside and part != loc[-1]:
                continue
            path, at = (*path, part), at.get(part)
        elif isinstance(at, list) and isinstance(part, int) and part < len(at):
            path, at = (*path, part), at[part]
    return path


def _where(name: str, path: Path, lines: Mapping[Path, int]) -> str:
    line = next((lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in lines), None)
    where = f"{name}:{line}" if line else name
    return f"{where} {path_text(path)}".strip()


def _follows(fault: ErrorDetails) -> bool:
    # Pydantic calls a list too short whose items all failed: a fault that follows from theirs.
    return fault["type"] == "too_short" and len(fault["input"]) >= fault["ctx"]["min_length"]


def _sentence(fault: ErrorDetails) -> str:
    kind, given = fault["type"], fault.get("input")
    shown = json.dumps(given, ensure_ascii=False, default=str)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    fixed = {
        "extra_forbidden": "unknown field; remove it or check its spelling",
        "missing": "missing field; add it",
        "string_type": f"must be a string in quotes, not {shown}",
        "int_type": f"must be a whole number, not {shown}",
        "bool_type": f"must be true or false, not {shown}",
        "json_invalid": "is not JSON",
    }
    if kind in fixed:
        return fixed[kind]
    if kind == "too_short":
        return f"must hold at least {fault['ctx']['min_length']}, and holds {len(given)}"
    if kind == "too_long":
        return f"must hold at most {fault['ctx']['max_length']}; it holds more"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        field = fault["ctx"]["discriminator"].strip("'")
        if kind == "union_tag_not_found":
            return f"missing field {field}; add it"
        known = fault["ctx"]["expected_tags"].replace("'", "")
        return f'no {field} is called "{fault["ctx"]["tag"]:.60}"; write one of {known}'
    message = fault["msg"].removeprefix("Value error, ")
    return message if kind == "value_error" else f"{message[:1].lower()}{message[1:]}, not {shown}"
