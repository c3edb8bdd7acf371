"""An invoice as a PDF: A4, archival (PDF/A-3b), the same bytes for the same invoice.

Invariant: the invoice reaches the typesetter as data, never as markup; only the fonts beside this
file are used, nothing is read from the network or the clock, and a character that no font has is
refused by name.
"""

from __future__ import annotations

import json
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import typst

from billing.documents.invoice_view import invoice_view
from billing.domain.invoice.invoice import Invoice
from pricing_rules.document import DocumentError, path_text

_ROOM = Path(__file__).parent
_TEMPLATE = (_ROOM / "invoice.typ").read_bytes()
_FONTS = typst.Fonts(
    include_system_fonts=False,
    include_embedded_fonts=False,
    font_paths=[str(_ROOM / "fonts")],
)
_PROBE = b"""#set document(title: "probe", date: datetime(year: 2026, month: 1, day: 1))
#set text(font: "Noto Sans")
#sys.inputs.view"""

_per_thread = threading.local()


def render_invoice(invoice: Invoice) -> bytes:
    """The PDF of an invoice.

    A preview carries a band that says so on each page. Amounts, rates and quantities are printed as
    recorded, and findings are not printed. The same invoice gives the same bytes on every machine.

    Raises DocumentError where a text holds a character that none of the fonts has (Latin, Greek,
    Cyrillic, Arabic, Hebrew, Devanagari, Thai, Japanese, Korean and Chinese are there; emoji are
    not).
    """
    view = json.dumps(invoice_view(invoice), ensure_ascii=False)
    try:
        return _compiled(_TEMPLATE, view=view)
    except typst.TypstError as error:
        printed = invoice.model_dump(
            mode="json",
            by_alias=True,
            exclude={"findings": True, "lines": {"__all__": {"discount_id"}}},
        )
        _refuse_missing_glyphs(printed)
        raise error from None


def _compiled(source: bytes, *, view: str) -> bytes:
    # A compiler refuses to be used by two threads at once; its fonts and caches are shared.
    compiler = getattr(_per_thread, "compiler", None)
    if compiler is None:
        compiler = _per_thread.compiler = typst.Compiler(font_paths=_FONTS)
    pdf = compiler.compile(
        input=source, format="pdf", sys_inputs={"view": view}, pdf_standards="a-3b"
    )
    assert isinstance(pdf, bytes)
    return pdf


def _refuse_missing_glyphs(fields: object) -> None:
    """DocumentError for the first character that cannot be set; nothing where each one can.

    The typesetter names the cluster that failed, which need not hold the missing character, and not
    the field; so each character is tried alone.
    """
    tried: set[str] = set()
    for path, text in _texts(fields, path=()):
        for character in text:
            if character.isascii() or character in tried:
                continue
            tried.add(character)
            try:
                _compiled(_PROBE, view=character)
            except typst.TypstError:
                named = unicodedata.name(character, "a character without a name")
                raise DocumentError(
                    f"invoice {path_text(path)}",
                    f'no font has "{character}" (U+{ord(character):04X}, {named}); '
                    "write it in another script",
                ) from None


def _texts(
    value: object, *, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text of a JSON value with its path, in order."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, path=(*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, path=(*path, index))
