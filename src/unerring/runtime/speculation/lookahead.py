"""Speculation: the steps of a dependent chain are asked ahead, from guessed states, and committed strictly in order.

A step's choice is guessed, by the chain itself, by a drafting model or from the votes that are in; the state it leads
to is where the next step is asked from. A verdict that differs from the guess makes everything after it void: calls
under way are given up, and what has come in stays in the journal, to be used again should the same state recur.
Guesses never vote and never decide: the chain that is committed is the one that the same votes give without any.

An abandoned call is cancelled where the model is in this process. One to an endpoint is awaited and not repeated: its
reply may be sent again in place of another, and is recognized only if it was received.

Where a chain says that the next question does not depend on this step's answer (`Chain.beside`), nothing needs to be
guessed for it, and no choice of this step makes it void. Such steps share the window, and each is asked for all the
votes it lacks at once. To look beyond them takes a guess for each.

Two things keep the waste small. A step that is asked from the right state with a probability of `1 - waste` or more
is asked for all it lacks, any other for one sample: that is enough to see whether its own guess holds. And the window
ends where a sample is more probably wasted than `foresight.worth_risking` allows.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice, pairwise
from math import prod

from unerring.core.chain import beside_of, digest_at
from unerring.core.user_code import OWN_ERRORS, passable
from unerring.core.voting.canonical import Json
from unerring.core.voting.race import Undecided, Won
from unerring.errors import Interrupted, JournalError, ProviderGone, StepRefused, Stopped
from unerring.runtime.calls.retry import failure_of
from unerring.runtime.config import Speculation, StopRequest
from unerring.runtime.frontier import Frontier, state_after, undecided_error
from unerring.runtime.question import Question, question_of
from unerring.runtime.sampling import Sampling
from unerring.runtime.speculation.forecast import Forecaster, worth_risking
from unerring.runtime.speculation.guesses import GuessSource
from unerring.runtime.speculation.window import WindowStep

log = logging.getLogger("unerring")

DECIDED_AHEAD = 4  # steps in the window for each sample that may be under way: decided ones wait here for a slow one


class Lookahead:
    """Runs a chain over a window of steps, the first of which stands at the frontier."""

    def __init__(
        self, frontier: Frontier, sampling: Sampling, speculation: Speculation, guesses: GuessSource | None
    ) -> None:
        self._frontier = frontier
        self._sampling = sampling
        self._limits = speculation
        self._guesses = guesses
        self._foresight = Forecaster()
        self._window: deque[WindowStep] = deque()
        self._ending: dict[tuple[int, str], set[int]] = {}  # samples of dropped steps whose calls are still ending
        run_state = frontier.run_state
        open_steps = (step for at_step in run_state.open.values() for step in at_step.values())
        self._decisive = run_state.samples - run_state.wasted - sum(len(step.replies) for step in open_steps)
        self._wasted = run_state.wasted  # with those of steps dropped since, which may still come to be
        self._under_way = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._given_up: dict[
            asyncio.Task[None], None
        ] = {}  # calls of dropped steps that are still awaited, oldest first
        self._beside_of = beside_of(frontier.chain)
        self._sure = 1.0  # probability that the last step of the window is asked from the right state
        self._full = False
        self._failure: BaseException | None = None
        self._halt = StopRequest()
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Commit steps to the end of the chain."""
        stop = self._frontier.config.stop
        waiting = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._guess_on())]
        for task in waiting:
            task.add_done_callback(self._note_end)
        try:
            while self._settle():
                if stop.reason is None:
                    self._plan()
                elif not self._calls:
                    raise Interrupted(stop.reason)
                if (refusal := self._refusal()) is not None and not self._calls:
                    raise refusal  # all that stands beside the refused step is asked by now
                self._news.clear()
                await self._news.wait()
        except asyncio.CancelledError:
            for call in (*self._calls, *self._given_up):
                call.cancel()
            raise
        finally:
            for task in waiting:
                task.cancel()
            await self._drain()
            await asyncio.wait(waiting)

    async def _drain(self) -> None:
        """Wait for the calls under way and record their samples; none is repeated.

        Those that were given up before are cancelled then.
        """
        self._halt.ask("the run stops")
        try:
            while self._calls:
                await asyncio.wait(self._calls)
        finally:
            under_way = {*self._calls, *self._given_up}
            for call in under_way:
                call.cancel()
            if under_way:
                await asyncio.wait(under_way)

    def _note_end(self, task: "asyncio.Task[None]") -> None:
        """A stop was asked for, or looking ahead has failed."""
        self._failure = self._failure or failure_of(task)
        self._news.set()

    def _settle(self) -> bool:
        """Commit what is decided at the frontier; False at the end of the chain. Raises what stops the run."""
        while True:
            if self._failure is not None:
                raise self._failure
            if not self._window:
                question = self._frontier.question()
                if question is None:
                    return False
                self._window.append(self._prospect(question))
            head = self._window[0]
            if head.failure is not None:
                if self._refusal() is not None:
                    return True
                if not head.decided or not isinstance(head.failure, StepRefused):
                    raise head.failure
            if not head.asked:  # no call of it is under way
                self._frontier.shortlist(head.question)
            match head.question.step.verdict:
                case Won(candidate):
                    self._commit(head, head.question.step.choice(candidate))
                case Undecided():
                    raise undecided_error(head.question.step)
                case _:
                    return True

    def _refusal(self) -> StepRefused | None:
        """The provider's refusal of the step at the frontier, which no votes have settled: the run stops there.

        Steps that stand beside it are asked before: they are answered whatever it comes to.
        """
        head = self._window[0]
        return head.failure if isinstance(head.failure, StepRefused) and not head.decided else None

    def _commit(self, head: WindowStep, choice: str) -> None:
        if head.stood_in:
            self._require_place(head.question)
        if head.choice != choice and not (head.free and head.choice is None):  # else nothing was assumed
            self._withdraw(0)
        self._foresight.learn(choice, head.guess, head.question.step.leaning())
        if head.choice == choice and head.after is not None:
            self._frontier.commit_to(head.question.step, *head.after)
        else:
            self._frontier.commit(head.question.step, choice)
        self._decisive += len(head.question.step.replies)
        self._window.popleft()
        if self._window:
            follower = self._window[0]
            if follower.question.at != self._frontier.run_state.last_digest:
                log.warning(
                    "step %d was asked beside the one before it, as the process says it may be, and hangs on it all "
                    "the same: its beside() and place() do not agree with advance()",
                    follower.question.step.step,
                )
                self._abandon(0)
            follower.now_from(self._frontier.at)

    def _require_place(self, asked: Question) -> None:
        """Raise `TypeError` where a step that was asked beside another would have been asked or read otherwise."""
        again = self._frontier.question()
        if again is None or not asked.read_as(again):
            raise TypeError(
                f"step {asked.step.step} was asked beside the one before it, and its subtask, parser or check uses "
                "more of the state than place() names"
            )

    def _withdraw(self, number: int) -> None:
        """Step `number` of the window comes to something else than was assumed: drop what hangs on that."""
        last = number
        while last < len(self._window) and self._window[last].free:
            last += 1
            if last < len(self._window):
                self._window[last].known, self._window[last].after = False, None
        self._abandon(last + 1)
        self._window[number].choice = self._window[number].after = None

    def _abandon(self, first: int) -> None:
        """Drop the steps of the window from number `first` on."""
        while len(self._window) > first:
            dropped = self._window.pop()
            dropped.dropped = True
            if dropped.asked:
                self._ending[dropped.key] = dropped.asked
            dropped.halt.ask("its step is not to be")
            for call, drawing in dropped.calls.items():
                if drawing.runs_to_end:
                    self._calls.discard(call)
                    self._given_up[call] = None
                    self._under_way -= len(drawing.slots)
                else:
                    call.cancel()
        for call in islice(self._given_up, max(0, len(self._given_up) - self._limits.in_flight)):
            call.cancel()  # a provider that never answers must not be listened to by ever more calls
        if self._window:
            last = self._window[-1]
            last.choice = last.after = None
            last.free = False

    def _prospect(self, question: Question) -> WindowStep:
        """A step for the window. If it was dropped before, samples whose calls have not ended are not asked again."""
        prospect = WindowStep(question)
        prospect.asked = self._ending.get(prospect.key, prospect.asked)
        return prospect

    def _plan(self) -> None:
        """Look at the window again, and ask what is worth asking, nearest first."""
        self._full = False
        sure, aside, chances = 1.0, 1.0, []
        for number, prospect in enumerate(tuple(self._window)):
            chances.append(sure)
            forecast = prospect.outlook(self._foresight)
            if prospect.choice is not None and forecast is not None and forecast.choice != prospect.choice:
                self._withdraw(number)
            if number + 1 >= len(self._window):
                break
            aside *= prospect.probability
            if not prospect.free:
                sure, aside = sure * aside, 1.0
        self._sure = chances[-1]
        in_use = self._decisive + sum(len(prospect.question.step.replies) for prospect in self._window)
        self._wasted = self._frontier.run_state.samples - in_use
        refused = self._refusal() is not None
        for prospect, chance in zip(tuple(self._window), chances, strict=False):
            if not self._ask(prospect, chance) or (refused and not prospect.free):
                break
        while (self._guesses is None or refused) and self._extend():
            pass
        self._room.set()

    def _ask(self, prospect: WindowStep, sure: float) -> bool:
        """Ask a step for what it lacks, as far as that is worth it; False where nothing beyond it should be asked."""
        lacking = prospect.lacking()
        if not lacking or prospect.failure is not None:
            return True
        if prospect is not self._window[0]:
            run_state, risk = self._frontier.run_state, 1.0 - sure
            votes = run_state.policy.rule.lacking(0, 0)
            if risk > worth_risking(self._limits.waste, self._wasted, run_state.samples, votes):
                self._full = True
                return False
            if risk > self._limits.waste and not prospect.doubtful:
                if prospect.samples:
                    return True
                lacking = lacking[:1]
        room = self._limits.in_flight - self._under_way
        if self._under_way and room < len(lacking) and self._sampling.together:
            self._full = True  # what one call could bring is not split in two for want of room
            return False
        lacking = lacking[:room]
        if lacking:
            self._send(prospect, lacking)
        self._full = self._under_way >= self._limits.in_flight
        return not self._full

    def _send(self, prospect: WindowStep, slots: list[int]) -> None:
        prospect.asked.update(slots)
        self._under_way += len(slots)
        for call in self._sampling.calls(prospect.question, slots, self._halt, prospect.halt):
            task = asyncio.ensure_future(call.drawn)
            prospect.calls[task] = call
            self._calls.add(task)
            task.add_done_callback(partial(self._came_back, prospect, call.slots))

    def _came_back(self, prospect: WindowStep, slots: list[int], call: "asyncio.Task[None]") -> None:
        prospect.asked.difference_update(slots)
        if not prospect.asked:
            self._ending.pop(prospect.key, None)
        prospect.calls.pop(call, None)
        given_up = call in self._given_up
        if given_up:
            self._given_up.pop(call, None)
        else:
            self._calls.discard(call)
            self._under_way -= len(slots)
        self._news.set()
        if (call.cancelled() and prospect.dropped) or (failure := failure_of(call)) is None:
            return
        if given_up and isinstance(failure, Interrupted | ProviderGone):
            return  # it was not to be tried again, and no step waits for it
        if isinstance(failure, Stopped | JournalError) and not isinstance(failure, StepRefused):
            self._failure = self._failure or failure
        else:  # the question was refused, or the user's own code failed: on a state that may never come to be
            prospect.failure = prospect.failure or failure

    def _extend(self) -> bool:
        """Add the step that follows the window's last one, where that can be foreseen, and ask it."""
        last, left = self._window[-1], self._frontier.left
        most = DECIDED_AHEAD * self._limits.in_flight
        if self._full or len(self._window) >= (most if left is None else min(most, left)):
            return False
        if self._frontier.config.stop.reason is not None:
            return False
        if last.choice is not None or last.free:
            return False
        if last.stuck and not isinstance(last.failure, StepRefused):
            return False
        if self._refusal() is not None:  # only what stands beside the refused step is asked
            before = islice(self._window, len(self._window) - 1)
            if self._beside(last) is None or not all(prospect.free for prospect in before):
                return False
        following = self._following(last)
        if following is None:
            return False
        if not last.free:
            self._sure *= prod(prospect.probability for prospect in self._row())
        self._window.append(following)
        return self._ask(following, self._sure)

    def _following(self, last: WindowStep) -> WindowStep | None:
        """The step after `last`; None at the chain's end, where it cannot be foreseen, or the user's code fails."""
        chain, question = self._frontier.chain, last.question
        try:
            beside = self._beside(last)
            forecast = last.outlook(self._foresight)
            if forecast is not None and (last.known or (beside is None and self._assume(last))):
                state, at = last.after = state_after(chain, question.state, forecast.choice, question.step.step)
                known = True
            elif beside is not None:
                state, at, known = beside, digest_at(chain, beside, question.step.step + 1, "beside"), False
            else:
                return None
            found = question_of(chain, self._frontier.run_state, question.step.step + 1, state, at)
        except Exception:  # on a state that may never come to be; if it does, the same is met again and raised
            last.after = None
            return None
        if found is None:
            last.after = None
            return None
        last.free, last.choice = beside is not None, forecast.choice if known and forecast is not None else None
        following = self._prospect(found)
        following.known = known
        return following

    def _assume(self, last: WindowStep) -> bool:
        """Give the steps of the window, up to one, the states that forecasts lead to; False where one is missing."""
        for prospect, following in pairwise(self._window):
            if prospect is last:
                break
            forecast = prospect.outlook(self._foresight)
            if forecast is None:
                return False
            if prospect.choice is None or prospect.after is None:
                try:
                    asked = prospect.question
                    prospect.after = state_after(self._frontier.chain, asked.state, forecast.choice, asked.step.step)
                except Exception:  # the user's own code, on a state that may never come to be
                    return False
                prospect.choice = forecast.choice
            following.now_from(prospect.after[0])
        return True

    async def _guess_on(self) -> None:
        """Guess what the window's last steps come to, add the next one, and so on, as far as there is room."""
        while self._guesses is not None:
            unguessed = None if self._full else self._unguessed()
            if unguessed is not None:
                known = unguessed.known or self._assume(unguessed)
                try:
                    unguessed.guess = await self._guesses.guess(unguessed.question)
                except Exception as error:  # the user's own code failed, on a state that may never come to be
                    unguessed.failure = error if known else unguessed.failure  # one that lacks something never comes
                unguessed.guessed = True
                if self._unguessed() is not None:
                    continue
            if not self._window or not self._extend():
                self._room.clear()
                await self._room.wait()
            await asyncio.sleep(0)

    def _unguessed(self) -> WindowStep | None:
        """A step whose guess would let the window grow, if any: the first of those beside the last, or that itself."""
        if not self._window or self._beside(self._window[-1]) is not None:
            return None
        found = None
        for prospect in self._row():
            if not prospect.guessed and not prospect.decided:
                found = prospect
        return found

    def _beside(self, last: WindowStep) -> Json:
        """The chain's `beside` for a step: a stand-in for the next state, or None."""
        try:
            return self._beside_of(last.question.state)
        except OWN_ERRORS as error:  # the user's own code failed, on a state that may never come to be
            last.failure = passable(error)
            return None

    def _row(self) -> Iterator[WindowStep]:
        """The window's last step, and from there on back those beside which it stands."""
        last = self._window[-1]
        yield last
        for prospect in islice(reversed(self._window), 1, None):
            if not prospect.free:
                return
            yield prospect
