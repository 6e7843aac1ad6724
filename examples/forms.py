"""Canonical forms: one text for each name, day and amount, whichever way it was written.

Each takes what it gives, and gives it back unchanged: f(f(x)) = f(x). What is unclear is flagged and not guessed.
"""

import re
from datetime import date, datetime
from unicodedata import normalize

from unerring import RedFlag


def name_of(text: str) -> str:
    """One name, one text: composed characters, plain apostrophes and hyphens, single spaces."""
    plain = normalize("NFC", text).translate({0x2019: "'", 0x2018: "'", 0x2010: "-", 0x2011: "-"})
    if not plain.split():
        raise RedFlag("there is no name")
    return " ".join(plain.split())


def date_of(text: str) -> str:
    """A day as YYYY-MM-DD, from that or from "3 March 1987" and the like; 03/04/1987 could be two days."""
    plain = re.sub(r"(?<=[0-9])(st|nd|rd|th)\b|,", "", " ".join(text.split()))
    for form in ("%Y-%m-%d", "%d %B %Y", "%d %b %Y", "%B %d %Y", "%b %d %Y"):
        try:
            return date.isoformat(datetime.strptime(plain, form).date())
        except ValueError:
            continue
    raise RedFlag("the date is no day, or could be several")


def amount_of(text: str) -> str:
    """An amount with two decimals, from "$1,204.5" and the like; 1.204,50 is left to no guess."""
    found = re.fullmatch(r"\$?\s*([0-9]{1,12}|[0-9]{1,3}(?:,[0-9]{3}){1,3})(?:\.([0-9]{1,2}))?", text.strip())
    if found is None:
        raise RedFlag("the amount is not written as asked for")
    return f"{int(found[1].replace(',', ''))}.{found[2] or '':0<2}"
