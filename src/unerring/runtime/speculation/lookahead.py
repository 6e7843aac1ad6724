"""Speculation: ask dependent steps ahead, from guessed states, and drop those after a wrong guess.

Steps are committed strictly in order.

The choice of an open step is guessed by the chain, by a drafting model or from the votes so far. The next step is
asked from the state that the guess leads to. A verdict that differs from the guess drops all steps after it: calls in
flight are abandoned, and their samples stay in the journal, to be used should the same state come again. Guesses never
vote and never decide: the same votes give the same chain with and without speculation.

Where a chain says that the next question does not depend on this step's answer (`Chain.beside`), that question needs
no guess, and no choice of this step drops it. Such steps stand in the window together, and each is asked for all the
votes it lacks. To ask beyond them takes a guess for each.

Two rules keep the waste small. A step that is asked from the right state with a probability of `1 - waste` or more is
asked for all it lacks, any other for one sample, which shows whether its own guess holds. And the window ends where a
sample is more probably wasted than `forecast.worth_risking` allows.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from itertools import islice, pairwise
from math import prod

from unerring.core.user_code import OWN_ERRORS, ordinary_error
from unerring.core.voting.canonical import Json
from unerring.core.voting.race import Undecided, Won
from unerring.errors import Interrupted, StepRefused
from unerring.runtime.acts import performed
from unerring.runtime.calls.retry import failure_of
from unerring.runtime.config import Speculation
from unerring.runtime.frontier import Frontier, state_after, undecided_error
from unerring.runtime.question import Question, question_of
from unerring.runtime.sampling import Sampling
from unerring.runtime.speculation.forecast import Forecaster, worth_risking
from unerring.runtime.speculation.guesses import GuessSource
from unerring.runtime.speculation.window import WindowStep
from unerring.runtime.speculation.window_calls import WindowCalls

log = logging.getLogger("unerring")

WINDOW_STEPS_PER_SAMPLE = 4  # for each sample that may be in flight: decided steps wait in the window for a slow one


class Lookahead:
    """Runs a chain over a window of steps, the first of which is at the frontier."""

    def __init__(
        self, frontier: Frontier, sampling: Sampling, speculation: Speculation, guesses: GuessSource | None
    ) -> None:
        self._frontier = frontier
        self._sampling = sampling
        self._limits = speculation
        self._guesses = guesses
        self._forecaster = Forecaster()
        self._window: deque[WindowStep] = deque()
        run_state = frontier.run_state
        open_steps = (step for at_step in run_state.open.values() for step in at_step.values())
        self._decisive = run_state.samples - run_state.wasted - sum(len(step.replies) for step in open_steps)
        self._wasted = run_state.wasted  # with the samples of dropped steps, whose states may still come
        self._calls = WindowCalls(sampling, speculation.in_flight, self._note)
        self._beside_of = frontier.chain.beside
        self._state_probability = 1.0  # probability that the last step of the window is asked from the right state
        self._is_full = False
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()

    async def run(self) -> None:
        """Commit steps to the end of the chain."""
        stop = self._frontier.config.stop
        waiting = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._guess_ahead())]
        for task in waiting:
            task.add_done_callback(self._background_ended)
        try:
            while self._commit_decided() or await self._performed():
                if stop.reason is None:
                    self._ask_window()
                elif not self._calls:
                    raise Interrupted(stop.reason)
                if (refusal := self._refusal()) is not None and not self._calls:
                    raise refusal  # all steps that do not need the refused one are asked by now
                self._changed.clear()
                await self._changed.wait()
        except asyncio.CancelledError:
            self._calls.cancel()
            raise
        finally:
            for task in waiting:
                task.cancel()
            await self._calls.drain()
            await asyncio.wait(waiting)

    async def _performed(self) -> bool:
        """Run the side effects that stand next, until there is a question again; False at the end of the chain."""
        while await performed(self._frontier):
            if self._commit_decided():
                return True
        return False

    def _background_ended(self, task: "asyncio.Task[None]") -> None:
        """Wake the run after a stop request, or because guessing failed."""
        self._note(failure_of(task))

    def _note(self, failure: BaseException | None) -> None:
        """Wake the run after a call or background task, and stop it where that failed."""
        self._failure = self._failure or failure
        self._changed.set()

    def _commit_decided(self) -> bool:
        """Commit decided steps at the frontier; False at the end of the chain. Raises what stops the run."""
        while True:
            if self._failure is not None:
                raise self._failure
            if not self._window:
                question = self._frontier.question()
                if question is None:
                    return False
                self._window.append(self._window_step(question))
            head = self._window[0]
            if head.failure is not None:
                if self._refusal() is not None:
                    return True
                if not head.is_decided or not isinstance(head.failure, StepRefused):
                    raise head.failure
            if not head.asked:  # none of its calls is in flight
                self._frontier.shortlist(head.question)
            match head.question.step.verdict:
                case Won(candidate):
                    self._commit(head, head.question.step.choice(candidate))
                case Undecided():
                    self._concede(head)
                case _:
                    return True

    def _concede(self, head: WindowStep) -> None:
        """Continue after an undecided step, where a function process does; otherwise raise `StepUndecided`."""
        step = head.question.step
        error = undecided_error(step)
        if not self._frontier.conceded(step, error):
            raise error
        self._drop_from(0)
        self._decisive += len(step.replies)

    def _refusal(self) -> StepRefused | None:
        """The provider's refusal of the open step at the frontier, which stops the run.

        Steps that do not depend on its choice are asked first.
        """
        head = self._window[0]
        return head.failure if isinstance(head.failure, StepRefused) and not head.is_decided else None

    def _commit(self, head: WindowStep, choice: str) -> None:
        if head.had_part_of_state:
            self._require_place(head.question)
        nothing_assumed = head.next_is_beside and head.assumed is None
        if head.assumed != choice and not nothing_assumed:
            self._drop_followers(0)
        self._forecaster.learn(choice, head.guess, head.question.step.leaning())
        if head.assumed == choice and head.assumed_next is not None:
            self._frontier.commit_to(head.question.step, *head.assumed_next)
        else:
            self._frontier.commit(head.question.step, choice)
        self._decisive += len(head.question.step.replies)
        self._window.popleft()
        if self._window:
            follower = self._window[0]
            if follower.question.at != self._frontier.run_state.last_digest:
                log.warning(
                    "step %d was asked together with the step before, as the process allows, but depends on its "
                    "answer: beside() and place() do not agree with advance()",
                    follower.question.step.step,
                )
                self._drop_from(0)
            follower.set_state(self._frontier.at)

    def _require_place(self, asked: Question) -> None:
        """Raise `TypeError` where a step asked without an earlier answer would be asked or parsed differently now."""
        again = self._frontier.question()
        if again is None or not asked.read_as(again):
            raise TypeError(
                f"step {asked.step.step} was asked together with the step before, and its subtask, parser or check "
                "uses more of the state than place() names"
            )

    def _drop_followers(self, number: int) -> None:
        """Drop the steps that depend on the assumed choice of step `number` of the window, which was wrong."""
        last = number
        while last < len(self._window) and self._window[last].next_is_beside:
            last += 1
            if last < len(self._window):
                self._window[last].has_full_state, self._window[last].assumed_next = False, None
        self._drop_from(last + 1)
        self._window[number].assumed = self._window[number].assumed_next = None

    def _drop_from(self, first: int) -> None:
        """Drop the steps of the window from number `first` on."""
        while len(self._window) > first:
            dropped = self._window.pop()
            dropped.is_dropped = True
            self._calls.drop(dropped)
        self._calls.limit_abandoned()
        if self._window:
            last = self._window[-1]
            last.assumed = last.assumed_next = None
            last.next_is_beside = False

    def _window_step(self, question: Question) -> WindowStep:
        """A step for the window."""
        window_step = WindowStep(question)
        self._calls.adopt(window_step)
        return window_step

    def _ask_window(self) -> None:
        """Update all forecasts, and ask what is worth asking, nearest first."""
        self._is_full = False
        probability_right, aside, chances = 1.0, 1.0, []
        for number, window_step in enumerate(tuple(self._window)):
            chances.append(probability_right)
            forecast = window_step.forecast_by(self._forecaster)
            if window_step.assumed is not None and forecast is not None and forecast.choice != window_step.assumed:
                self._drop_followers(number)
            if number + 1 >= len(self._window):
                break
            aside *= window_step.probability
            if not window_step.next_is_beside:
                probability_right, aside = probability_right * aside, 1.0
        self._state_probability = chances[-1]
        in_use = self._decisive + sum(len(window_step.question.step.replies) for window_step in self._window)
        self._wasted = self._frontier.run_state.samples - in_use
        refused = self._refusal() is not None
        for window_step, chance in zip(tuple(self._window), chances, strict=False):
            if not self._ask(window_step, chance) or (refused and not window_step.next_is_beside):
                break
        while (self._guesses is None or refused) and self._extend():
            pass
        self._has_room.set()

    def _ask(self, window_step: WindowStep, probability_right: float) -> bool:
        """Ask a step for samples that it lacks and that are worth the risk; False where to ask nothing beyond it."""
        lacking = window_step.lacking()
        if not lacking or window_step.failure is not None:
            return True
        if window_step is not self._window[0]:
            run_state, risk = self._frontier.run_state, 1.0 - probability_right
            votes = run_state.policy.rule.lacking(0, 0)
            if risk > worth_risking(self._limits.waste, self._wasted, run_state.samples, votes):
                self._is_full = True
                return False
            if risk > self._limits.waste and not window_step.is_doubtful:
                if window_step.samples:
                    return True
                lacking = lacking[:1]
        room = self._limits.in_flight - self._calls.samples
        if self._calls.samples and room < len(lacking) and self._sampling.together:
            self._is_full = True  # samples that one call could bring are not split over two
            return False
        lacking = lacking[:room]
        if lacking:
            self._calls.send(window_step, lacking)
        self._is_full = self._calls.samples >= self._limits.in_flight
        return not self._is_full

    def _extend(self) -> bool:
        """Add the step after the window's last one, where its state can be forecast, and ask it."""
        last, left = self._window[-1], self._frontier.left
        most = WINDOW_STEPS_PER_SAMPLE * self._limits.in_flight
        if self._is_full or len(self._window) >= (most if left is None else min(most, left)):
            return False
        if self._frontier.config.stop.reason is not None:
            return False
        if last.assumed is not None or last.next_is_beside:
            return False
        if last.is_stuck and not isinstance(last.failure, StepRefused):
            return False
        if self._refusal() is not None:  # only steps that do not depend on the refused one are asked
            before = islice(self._window, len(self._window) - 1)
            if self._state_beside(last) is None or not all(window_step.next_is_beside for window_step in before):
                return False
        following = self._step_after(last)
        if following is None:
            return False
        if not last.next_is_beside:
            self._state_probability *= prod(window_step.probability for window_step in self._beside_last())
        self._window.append(following)
        return self._ask(following, self._state_probability)

    def _step_after(self, last: WindowStep) -> WindowStep | None:
        """The step after `last`; None at the chain's end, without a forecast, or where the user's code fails."""
        chain, question = self._frontier.chain, last.question
        try:
            beside = self._state_beside(last)
            forecast = last.forecast_by(self._forecaster)
            if forecast is not None and (last.has_full_state or (beside is None and self._fill_states(last))):
                state, at = last.assumed_next = state_after(chain, question.state, forecast.choice, question.step.step)
                has_full_state = True
            elif beside is not None:
                state, at, has_full_state = beside, chain.digest(beside, question.step.step + 1, "beside"), False
            else:
                return None
            next_question = question_of(chain, self._frontier.run_state, question.step.step + 1, state, at)
        except Exception:  # the state may be guessed wrongly; if it is right, the error comes again and is raised
            last.assumed_next = None
            return None
        last.assumed = forecast.choice if has_full_state and forecast is not None else None
        if next_question is None:  # the end, or a side effect: the state is kept, and nothing is asked beyond it
            if last.assumed is None:
                last.assumed_next = None
            return None
        last.next_is_beside = beside is not None
        following = self._window_step(next_question)
        following.has_full_state = has_full_state
        return following

    def _fill_states(self, last: WindowStep) -> bool:
        """Fill in the states of the window's steps, up to that of `last`, from the forecast choices.

        False where a forecast is missing or the user's code fails.
        """
        for window_step, following in pairwise(self._window):
            if window_step is last:
                break
            forecast = window_step.forecast_by(self._forecaster)
            if forecast is None:
                return False
            if window_step.assumed is None or window_step.assumed_next is None:
                try:
                    asked = window_step.question
                    window_step.assumed_next = state_after(
                        self._frontier.chain, asked.state, forecast.choice, asked.step.step
                    )
                except Exception:  # the user's own code, on a state that may be guessed wrongly
                    return False
                window_step.assumed = forecast.choice
            following.set_state(window_step.assumed_next[0])
        return True

    async def _guess_ahead(self) -> None:
        """Guess the choices of the window's last steps and add the next step, again and again while there is room."""
        while self._guesses is not None:
            unguessed = None if self._is_full else self._step_to_guess()
            if unguessed is not None:
                has_full_state = unguessed.has_full_state or self._fill_states(unguessed)
                try:
                    unguessed.guess = await self._guesses.guess(unguessed.question)
                except Exception as error:  # the user's own code failed, on a state that may be guessed wrongly
                    if has_full_state:  # an incomplete state never comes
                        unguessed.failure = error
                unguessed.was_guessed = True
                if self._step_to_guess() is not None:
                    continue
            if not self._window or not self._extend():
                self._has_room.clear()
                await self._has_room.wait()
            await asyncio.sleep(0)

    def _step_to_guess(self) -> WindowStep | None:
        """The step whose guess lets the window grow: the first open one independent of the last, or the last."""
        if not self._window or self._state_beside(self._window[-1]) is not None:
            return None
        open_step = None
        for window_step in self._beside_last():
            if not window_step.was_guessed and not window_step.is_decided:
                open_step = window_step
        return open_step

    def _state_beside(self, last: WindowStep) -> Json:
        """The chain's `beside` for a step: a substitute for the next state, or None."""
        try:
            return self._beside_of(last.question.state)
        except OWN_ERRORS as error:  # the user's own code failed, on a state that may be guessed wrongly
            last.failure = ordinary_error(error)
            return None

    def _beside_last(self) -> Iterator[WindowStep]:
        """The window's last step, then the steps before it that it does not depend on, backwards."""
        last = self._window[-1]
        yield last
        for window_step in islice(reversed(self._window), 1, None):
            if not window_step.next_is_beside:
                return
            yield window_step
