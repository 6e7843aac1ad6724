"""The embedded models that ship: the processes each ensemble is trained for, and the voting policy measured for it.

An ensemble has three members, trained in the same way from different seeds, so that they err on different steps.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from unerring.adapters.scrubbing import about_words
from unerring.core.suggestions import did_you_mean
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import FlagRules
from unerring.errors import InputError

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
MEMBERS = ("a", "b", "c")
DRAFT = "draft"  # the model that only proposes answers

# Measured (training/MODEL_CARD.md): the three members together decided 100,000 random steps of the run of 20 disks,
# and every step of 1 to 12 disks, correctly, with 3.001 votes a step.
# Temperature 1 is the model's own distribution. Lower ones only avoid errors that voting corrects anyway: at 0.6, two
# votes of a member agree on a wrong answer as often (about 1 step in 10,000), since its repeated errors stay.
# Below a mean log-probability of -0.1 lie 44 % of the wrong answers in valid form, and 5 of 897,750 right ones.
# Stricter is worse: at -0.003 only 8 % of the wrong ones pass, but one step in 100,000 stays undecided, because all
# three members give the right answer there with a lower probability.
# A right answer of 20 disks has 29 tokens.
# A step where one member is always wrong and another is nearly always flagged is decided by the latter's few votes:
# step 786502 of the record stood at 31 to 29 after 60, and took 105. The default cap of 60 would stop it too soon.
# The same holds for digits: every sum and product, 10,000 cuts and 40,000 comparisons were decided correctly, with
# 3.001 votes a step. Their answers are shorter, and so the threshold is stricter there: it flags a member that gives a
# comparison's right answer with a probability below one half, on up to 166 of the 40,000, and never all three.
EMBEDDED_POLICY = Policy(
    rule=AheadBy(3),
    vote_cap=300,
    first_temperature=1.0,
    later_temperature=1.0,
    flags=FlagRules(max_output_tokens=32, min_logprob=-0.1),
)


@dataclass(frozen=True, slots=True)
class EmbeddedEnsemble:
    """Three members, and a drafter that proposes their answers.

    name: the specification of the whole ensemble.
    folder: the folder with the weights of its models.
    knows: the prompts that it was trained on, in words.
    reads: the form of these prompts. Members would agree on wrong answers to others, so that no vote could help.
    policy: the voting policy measured for it.
    beyond: the most tokens that a right answer has more than its prompt.
    """

    name: str
    folder: Path
    knows: str
    reads: re.Pattern[str]
    policy: Policy
    beyond: int

    @property
    def drafter(self) -> str:
        """The drafter's specification."""
        return f"{self.name}/{DRAFT}"

    def require_readable(self, prompt: str) -> None:
        """Raise `InputError` for a prompt of another form."""
        if self.reads.fullmatch(prompt) is None:
            raise InputError(
                f"the model {self.name} knows {self.knows} and cannot read {prompt[:24]!r}; choose another model for "
                "other prompts"
            )


HANOI = EmbeddedEnsemble(
    "embedded",
    WEIGHTS_FOLDER,
    "only the compact Towers of Hanoi prompts",
    re.compile(r"(counter)?clockwise last = [^\n]* state = [^\n]*\n"),
    EMBEDDED_POLICY,
    beyond=3,
)
DIGITS = EmbeddedEnsemble(
    "embedded/digits",
    WEIGHTS_FOLDER / "digits",
    "only one-digit products and sums, factors of at most 20 digits, and comparisons of numbers of at most 6 digits,",
    re.compile(r"([0-9] \* [0-9]( \+ [0-9] \+ [0-9])?|split [0-9]{1,20}|[+-][0-9]{1,6} or [+-][0-9]{1,6})\n"),
    EMBEDDED_POLICY,
    beyond=5,
)
ENSEMBLES = (HANOI, DIGITS)
SPECIFICATIONS = tuple(one.name + member for one in ENSEMBLES for member in ("", "/a", "/b", "/c"))


def parse_embedded_spec(spec: str) -> tuple[EmbeddedEnsemble, tuple[str, ...]]:
    """The ensemble that a specification names, and which of its members; raises `InputError` where there is none.

    The members are those that vote, or the drafter alone.
    """
    for ensemble in ENSEMBLES:
        if spec == ensemble.name:
            return ensemble, MEMBERS
        own, _, member = spec.rpartition("/")
        if own == ensemble.name and member in {*MEMBERS, DRAFT}:
            return ensemble, (member,)
    known = " and ".join(ensemble.name for ensemble in ENSEMBLES)
    like = did_you_mean(spec, [one.name for one in ENSEMBLES])
    words = f"there is no embedded model {spec!r}{like}; there are: {known}, their members (/a, /b, /c, /draft)"
    raise InputError(about_words(words, spec))
