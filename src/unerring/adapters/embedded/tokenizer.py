"""Tokenizer of the embedded models.

The vocabulary is the model's own (vocabulary.json next to the weights): four special tokens, then the phrases and
numbers of its prompts and answers. Text is cut from the left into the longest words that match.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from unerring.errors import InputError

BEGIN, END, PAD = "<s>", "</s>", "<pad>"
SPECIAL = ("<unk>", BEGIN, END, PAD)


class Tokenizer:
    """Encodes and decodes with one vocabulary; `decode(encode(text)) == text` for every text it can encode."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._words = list(vocabulary)
        self._ids = {word: number for number, word in enumerate(vocabulary) if word not in SPECIAL}
        # alternatives are tried in order, so the longest must come first
        self._pattern = re.compile("|".join(re.escape(word) for word in sorted(self._ids, key=len, reverse=True)))
        self.begin = self._words.index(BEGIN)
        self.end = self._words.index(END)
        self.pad = self._words.index(PAD)

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of a text's words; raises `InputError` at the first piece that is no word."""
        ids = []
        at = 0
        while at < len(text):
            word = self._pattern.match(text, at)
            if word is None:
                raise InputError(
                    f"the embedded model has no word for {text[at : at + 24]!r}; choose another model for such prompts"
                )
            ids.append(self._ids[word[0]])
            at = word.end()
        return tuple(ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids up to the end token; other special tokens are written as text."""
        words = []
        for number in ids:
            if number == self.end:
                break
            words.append(self._words[number])
        return "".join(words)

    def words(self, ids: Iterable[int]) -> list[str]:
        """The words of ids."""
        return [self._words[number] for number in ids]


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of the model in a folder."""
    return Tokenizer(json.loads((folder / "vocabulary.json").read_text(encoding="utf-8")))
