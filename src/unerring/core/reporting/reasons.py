"""Counts of the reasons of red flags and failed calls over a whole run, in bounded memory."""

import re
from collections import Counter
from dataclasses import dataclass, field

from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import FlagKind
from unerring.errors import FailureKind

_DIFFERING = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+(?:[.,][0-9]+)*")


def without_details(reason: str | None) -> str | None:
    """A reason without its numbers and quoted texts: the same for reasons that differ only in these."""
    return None if reason is None else _DIFFERING.sub("_", " ".join(reason.split()))


@dataclass
class ReasonCounts:
    """How often each reason occurred, in bounded memory.

    Reasons that differ only in numbers and quoted texts count as one, by the first of them. If there are more than `2
    * most` of them, all but the `most` frequent are counted together, as others (lossy counting; Manku and Motwani,
    VLDB 2002). The count of a rare reason is then too low; the sum of all stays right.

    most: how many reasons are kept, at least.
    counts: occurrences by kind and reason without details.
    first: the first reason of each.
    varied: those whose reasons were not all the same.
    others: occurrences of rare reasons, by kind.
    """

    most: int = 100
    counts: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    first: dict[tuple[str, str | None], str | None] = field(default_factory=dict)
    varied: set[tuple[str, str | None]] = field(default_factory=set)
    others: Counter[str] = field(default_factory=Counter)

    def add(self, flag: FlagKind | FailureKind, reason: str | None, count: int = 1) -> None:
        """Count a flagged sample or a failed call; a `count` of -1 removes one."""
        kind = flag.value, without_details(reason)
        if count < 0 and kind not in self.counts:
            self.others[flag.value] += count
            return
        if self.first.setdefault(kind, reason) != reason:
            self.varied.add(kind)
        self.counts[kind] += count
        if not self.counts[kind]:
            del self.counts[kind], self.first[kind]
            self.varied.discard(kind)
        if len(self.counts) > 2 * self.most:
            self._merge()

    def _merge(self) -> None:
        """Count the rarest reasons as others."""
        kept = set(self._ranked()[: self.most])
        for kind in [kind for kind in self.counts if kind not in kept]:
            self.others[kind[0]] += self.counts.pop(kind)
            del self.first[kind]
            self.varied.discard(kind)

    def _ranked(self) -> list[tuple[str, str | None]]:
        return sorted(self.counts, key=lambda kind: (-self.counts[kind], kind[0], kind[1] or ""))

    def to_json(self, most: int = 20, kind_name: str = "flag", count_name: str = "samples") -> list[Json]:
        """The most frequent reasons first, None where the journal has none; `varies` says whether their texts differ.

        `kind_name` and `count_name` are the keys of the kind and of the count.
        """
        return [
            {
                kind_name: kind[0],
                "reason": self.first[kind],
                count_name: self.counts[kind],
                "varies": kind in self.varied,
            }
            for kind in self._ranked()[:most]
        ]
