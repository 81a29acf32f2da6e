"""What the reader must refuse: a rule of docs/format.md, a file that breaks it, the exception and its message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from bnnfile import BnnFile, Record
from samples import chain

from bnnengine import FormatError
from bnnengine._core import read_model

Breaks = Callable[[BnnFile], None]


@dataclass(frozen=True)
class Case:
    """A file that breaks one rule.

    Attributes:
        rule: text of docs/format.md that says so.
        breaks: changes a sound file.
        message: a pattern of the message.
        error: exactly this exception.
        sample: makes the sound file.
    """

    rule: str
    breaks: Breaks
    message: str
    error: type[Exception] = FormatError
    sample: Callable[[], BnnFile] = chain

    def check(self) -> None:
        """Sound, and refused as the case says once it is broken."""
        file = self.sample()
        read_model(file.to_bytes())
        self.breaks(file)
        with pytest.raises(self.error, match=self.message) as caught:
            read_model(file.to_bytes())
        assert type(caught.value) is self.error


def _put(record: Callable[[BnnFile], Record], fields: dict[str, int]) -> Breaks:
    def breaks(file: BnnFile) -> None:
        found = record(file)
        for field, value in fields.items():
            found[field] = value

    return breaks


def graph(**fields: int) -> Breaks:
    """Sets fields of the graph section's head."""
    return _put(lambda file: file.graph, fields)


def value(i: int, **fields: int) -> Breaks:
    """Sets fields of a value record."""
    return _put(lambda file: file.value(i), fields)


def node(i: int, **fields: int) -> Breaks:
    """Sets fields of a node record."""
    return _put(lambda file: file.node(i), fields)


def tensor(i: int, **fields: int) -> Breaks:
    """Sets fields of a tensor record."""
    return _put(lambda file: file.tensor(i), fields)


def header(**fields: int | bytes) -> Breaks:
    """Sets fields of the header."""
    return lambda file: file.header.update(fields)


def entry(name: str, **fields: int) -> Breaks:
    """Sets fields of the section table."""
    return lambda file: file.table.update({(name, field): value for field, value in fields.items()})


def section(name: str, change: Callable[[bytearray], bytes | bytearray]) -> Breaks:
    """Replaces a section."""
    return lambda file: file.sections.update({name: bytearray(change(file.sections[name]))})


def instead(make: Callable[[], BnnFile]) -> Breaks:
    """Another file altogether."""
    return lambda file: file.sections.update(make().sections)
