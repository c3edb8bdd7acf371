"""What a person says with a command: names and reasons, held to one rule through every door.

Invariant: what is kept of them is what a document could hold, so that what came by a command line
is shown, sent and read back as what came over HTTP.
"""

from __future__ import annotations

from pricing_rules.document import Document, DocumentError, Name, Text, validate


class _NameSaid(Document):
    said: Name


class _TextSaid(Document):
    said: Text


def stated_name(where: str, *, text: str) -> str:
    """The text, where it is a name, as ``Name`` says. DocumentError, naming ``where``, else."""
    return _checked(_NameSaid, where=where, text=text)


def stated_text(where: str, *, text: str) -> str:
    """The text, where it is a sentence, as ``Text`` says. DocumentError, naming ``where``, else."""
    return _checked(_TextSaid, where=where, text=text)


def _checked(form: type[_NameSaid | _TextSaid], *, where: str, text: str) -> str:
    path = (where.removeprefix("--"),)
    if not text.strip():
        raise DocumentError(where, "is empty; say it", path=path)
    try:
        return validate(form, {"said": text}, name="", lines={}).said
    except DocumentError as error:
        raise DocumentError(where, error.sentence, path=path) from None
