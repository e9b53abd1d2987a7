"""From a name that people type to a name that files and addresses carry."""

from __future__ import annotations

import re

_DROPPED = re.compile('[\ufeff"$\r\n\t]')
_NOT_A_WORD = re.compile(r"\W")
_NOT_A_WORD_OR_SLASH = re.compile(r"[^\w/]")


def slug(name: str, *, nested: bool = False) -> str:
    """Return the uuid that Mage gives to a pipeline or block called `name`.

    A byte order mark, double quotes, `$`, line ends and tabs are dropped, every other
    character that is no letter, digit or underscore (of any script) becomes `_`, a
    leading digit gets the prefix `letter_`, and all is lower case. `nested` keeps `/`,
    as blocks in folders need it. An empty result means that the name says nothing.
    """
    kept = _DROPPED.sub("", name)
    words = (_NOT_A_WORD_OR_SLASH if nested else _NOT_A_WORD).sub("_", kept)
    prefix = "letter_" if words[:1].isdigit() else ""
    return f"{prefix}{words}".lower()
