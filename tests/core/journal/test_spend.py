"""The account of a run: what calls cost, what they may cost, and what is left."""

from hypothesis import given
from hypothesis import strategies as st

from unerring.core.journal.spend import (
    PICODOLLARS_PER_DOLLAR,
    WORDING_SEPARATOR,
    Account,
    Charge,
    Overbilling,
    SpendLimits,
    Tariff,
    dollars_text,
)
from unerring.core.planning.costs import Price
from unerring.core.voting.sample import Usage

KEYS = st.tuples(st.integers(0, 3), st.integers(-2, 3), st.sampled_from("ab"))
CHARGES = st.builds(Charge, st.integers(0, 999), st.integers(0, 999), st.integers(0, PICODOLLARS_PER_DOLLAR))
ACTS = st.lists(st.tuples(st.sampled_from(["begin", "settle", "release", "lose", "lose_all"]), KEYS, CHARGES))


@given(ACTS)
def test_spend_is_settled_lost_and_in_flight(acts):
    """After any history the three parts are the sums over their own calls, and no call is in two of them."""
    account, settled, lost, open_ = Account(), [], [], {}
    for act, key, charge in acts:
        if act == "begin":
            account.begin(key, charge)
            open_[key] = charge
        elif act == "settle":
            account.settle(key, charge)
            settled.append(charge)
            open_.pop(key, None)
        elif act == "release":
            account.release(key)
            open_.pop(key, None)
        elif act == "lose":
            account.lose(key)
            lost += [open_.pop(key)] if key in open_ else []
        else:
            account.lose_all()
            lost += open_.values()
            open_.clear()
    parts = (settled, account.settled), (lost, account.unknown), (list(open_.values()), account.reserved)
    for charges, total in parts:
        assert total == sum(charges, Charge())
    assert account.spent == sum([*settled, *lost, *open_.values()], Charge())
    assert account.has_calls_in_flight == bool(open_)


@given(st.lists(CHARGES), CHARGES, st.integers(0, 20 * PICODOLLARS_PER_DOLLAR))
def test_a_call_that_might_exceed_a_limit_is_named(charges, more, money):
    """`lacks` names the limit exactly if settled, lost, reserved and the next call's worst case exceed it."""
    account = Account(SpendLimits(money=money))
    for number, charge in enumerate(charges):
        account.begin((number, 0, ""), charge)
    total = sum(charge.money for charge in charges) + more.money
    assert account.lacks(more) == ("dollars" if total > money else None)


def test_each_limit_has_its_name():
    """Calls, tokens and dollars are separate limits."""
    spent = Account()
    for number in range(3):
        spent.begin((number, 0, ""), None)
    spent.settle((0, 0, ""), Charge(10, 5, 7))
    for limits, name in [
        (SpendLimits(calls=3), "calls"),
        (SpendLimits(tokens=15), "tokens"),
        (SpendLimits(money=7), "dollars"),
        (SpendLimits(money=8, tokens=16, calls=4), None),
    ]:
        spent.limits = limits
        assert spent.lacks(Charge(1, 0, 1)) == name


def test_a_call_of_unknown_price_does_not_pass_a_limit_in_dollars():
    """A call without a price cannot be held to a limit in dollars, so it is refused."""
    assert Account(SpendLimits(money=10**18)).lacks(Charge(1, 1, None)) == "dollars"


def test_a_bill_is_as_many_times_another_as_its_largest_part():
    """The ratio is the largest of input tokens, output tokens and money; money only if both are priced."""
    worst = Charge(100, 10, 1000)
    for billed, ratio in [
        (Charge(50, 5, 3000), 3.0),
        (Charge(200, 5, 500), 2.0),
        (Charge(50, 40, 500), 4.0),
        (Charge(50, 5, None), 0.5),
    ]:
        assert billed.ratio_to(worst) == ratio
    assert Charge(50, 5, 3000).ratio_to(Charge(100, 10, None)) == 0.5


def test_a_call_billed_more_dollars_than_it_can_cost_raises_what_is_reserved():
    """After a bill of three times the price for the same tokens, each call reserves three times its worst case."""
    account = Account(tariffs={"m": Tariff(1, 2, 1)})
    account.begin((0, 0, ""), Charge(100, 10, 120))
    account.settle((0, 0, ""), Charge(100, 10, 360), "m")
    assert account.multiple("m") == 3
    assert [(call.model, call.billed.money) for call in account.overbilled] == [("m", 360)]


def test_a_price_counts_tokens_from_the_prompt_cache_apart():
    """Tokens from the provider's prompt cache have their own price, and are never more than the input."""
    tariff = Tariff(input=400_000, output=1_600_000, cached=100_000)
    assert tariff.money(Usage(1000, 10, 600)) == 400 * 400_000 + 600 * 100_000 + 10 * 1_600_000
    assert tariff.money(Usage(1000, 0, 5000)) == 1000 * 100_000


def test_prices_become_whole_picodollars():
    """List prices are exact, also cents and tenths of cents a million tokens."""
    assert Price(0.4, 1.6, cached=0.1).tariff() == Tariff(400_000, 1_600_000, 100_000)
    assert Price(0.0375, 0.15).tariff() == Tariff(37_500, 150_000, 37_500)


def test_a_wording_and_a_member_have_the_price_of_their_model():
    """The wording or member in a voter's name does not change its model's price."""
    account = Account(tariffs={"openai/m": Tariff(1, 2, 1), "embedded": Tariff(0, 0, 0)})
    assert account.price(f"openai/m{WORDING_SEPARATOR}2", Usage(3, 4)) == Charge(3, 4, 11)
    assert account.price("embedded/a", Usage(3, 4)) == Charge(3, 4, 0)
    assert account.price("openai/other", Usage(3, 4)) == Charge(3, 4, None)


def test_time_is_that_of_the_sessions():
    """Sessions add up, and the current one counts up to now."""
    account = Account()
    account.session_began(100.0)
    account.session_ended(160.0)
    account.session_began(1000.0)
    assert account.ran(1030.0) == 90.0


def test_dollars_have_cents_or_three_digits():
    """From a dollar up amounts have cents, below it three digits."""
    assert [dollars_text(one) for one in (0, 3452.838, 1.0, 0.0123456)] == ["$0.00", "$3,452.84", "$1.00", "$0.0123"]


def test_a_large_bill_of_input_tokens_is_reported_in_numbers():
    """It has the billed tokens and the maximum, and blames no limit that the call kept."""
    said = Overbilling("openai/m", Charge(100, 750, None), Charge(369_000, 20, None), 3690).sentence
    assert said.startswith("openai/m billed a call 3,690 times what it can cost at most (369,000 tokens read and 20 w")
    assert "e+" not in said
    assert "limit" not in said
