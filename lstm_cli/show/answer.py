"""A command's answer in every form: a document for readers, records and lines for programs.

    answer = inspect_answer(found)
    "".join(answer.pieces("markdown"))         # or text, latex, html
    "".join(answer.pieces("json"))

Kept apart from `document`, which data does not need: `--json` starts sooner without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from lstm_cli.base.records import record
from lstm_cli.files.output import json_text

if TYPE_CHECKING:
    from lstm_cli.cell.notation import Style
    from lstm_cli.show.document import Document

# What yields an answer in one form: text, or the bytes of npz.
Made = Callable[[], Iterable[str | bytes]]


@record
class Answer:
    """What a command answers, each form made when it is asked for.

    Attributes:
        page: the document, in a style.
        data: form -> what yields it; a form of documents that stands here is not the page's own.
    """

    page: Callable[[Style], Document]
    data: Mapping[str, Made]

    def pieces(self, form: str) -> Iterable[str | bytes]:
        """Yield it in a form: one of `data`, or one of `document.write`."""
        if form in self.data:
            return self.data[form]()
        from lstm_cli.show.document import write

        return write(self.page, form)


def one_record(made: Callable[[], object]) -> dict[str, Made]:
    """Return the data of an answer that is one JSON document."""
    return {"json": lambda: [json_text(made(), indent=1) + "\n"]}
