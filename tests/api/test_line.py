"""The line: priorities, turns between actors, lanes, limits; each as a property of any history of it."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mcp_core.api.line import SHARE, Line, Ticket
from mcp_core.models import PRIORITIES

pytestmark = pytest.mark.unit

ACTORS = ("ann", "ben", "cleo")
LANES = {"": 0, "x": 1, "y": 2}
tickets = st.builds(
    lambda priority, actor, lane: Ticket(priority, actor, lane, LANES[lane]),
    st.sampled_from(PRIORITIES),
    st.sampled_from(ACTORS),
    st.sampled_from(sorted(LANES)),
)


def filled(*jobs: tuple[str, Ticket], **options: Any) -> Line[str]:
    line: Line[str] = Line(**options)
    for job, ticket in jobs:
        line.put(job, ticket)
    return line


def taken(line: Line[str], count: int) -> list[str | None]:
    return [line.take() for _ in range(count)]


def test_one_actors_thousand_do_not_hold_up_anothers_one() -> None:
    line = filled(*((f"a{n}", Ticket(actor="ann")) for n in range(1000)))
    assert taken(line, 3) == ["a0", "a1", "a2"]
    line.put("b", Ticket(actor="ben"))
    assert taken(line, 3) == ["a3", "b", "a4"]


def test_higher_priorities_go_first_and_lower_ones_get_a_share() -> None:
    line = filled(*((f"n{n}", Ticket("normal")) for n in range(30)), ("low", Ticket("low")))
    for n in range(30):
        line.put(f"h{n}", Ticket("high"))
    begun = taken(line, 3 * SHARE)
    assert begun[:SHARE] == [f"h{n}" for n in range(SHARE)]
    assert begun.index("low") <= SHARE + 2
    assert begun.index("n0") <= SHARE + 2


def test_a_full_lane_is_passed_by_and_goes_on_when_it_has_room() -> None:
    slow = Ticket(actor="ann", lane="slow", lane_limit=1)
    line = filled(("s1", slow), ("s2", slow), ("other", Ticket(actor="ann", lane="quick", lane_limit=1)))
    assert taken(line, 3) == ["s1", "other", None]
    line.over("other")
    assert line.take() is None
    line.over("s1")
    assert line.take() == "s2"


def test_an_actor_at_his_limit_waits_and_others_do_not() -> None:
    line = filled(("a1", Ticket(actor="ann")), ("a2", Ticket(actor="ann")), ("b", Ticket(actor="ben")), actor_limit=1)
    assert taken(line, 3) == ["a1", "b", None]
    line.over("b")
    assert line.take() is None
    line.over("a1")
    assert line.take() == "a2"
    assert not line.may_begin(Ticket(actor="ann"))
    assert line.may_begin(Ticket(actor="ben"))


@given(st.lists(st.sampled_from(ACTORS), min_size=1, max_size=60))
def test_whoever_waits_is_overtaken_by_each_other_once_at_most(actors: list[str]) -> None:
    line = filled(*((f"{actor} {n}", Ticket(actor=actor)) for n, actor in enumerate(actors)))
    left = Counter(actors)
    since: dict[str, Counter[str]] = {actor: Counter() for actor in ACTORS}
    while (job := line.take()) is not None:
        mine = job.split()[0]
        left[mine] -= 1
        since[mine].clear()
        for actor in ACTORS:
            if actor != mine and left[actor]:
                since[actor][mine] += 1
                assert since[actor][mine] <= 1
    assert not +left


@given(st.lists(tickets, max_size=40), st.integers(0, 20))
def test_the_order_told_is_the_order_taken(waiting: list[Ticket], before: int) -> None:
    line: Line[int] = Line()
    for job, ticket in enumerate(waiting):
        line.put(job, ticket)
    for _ in range(before):
        if (begun := line.take()) is not None:
            line.over(begun)
    told = line.order()
    assert line.order() == told
    assert len(told) == len(line)
    assert line.drained() == told
    assert len(line) == 0


class LineMachine(RuleBasedStateMachine):
    """Jobs come, go, end and are taken out; whatever could begin does."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[int] = Line(actor_limit=2)
        self.waiting: dict[int, Ticket] = {}
        self.under_way: dict[int, Ticket] = {}
        self.serial = 0
        self.passed = dict.fromkeys(PRIORITIES, 0)

    @rule(ticket=tickets)
    def put(self, ticket: Ticket) -> None:
        self.serial += 1
        self.waiting[self.serial] = ticket
        self.line.put(self.serial, ticket)

    def may_begin(self, ticket: Ticket) -> bool:
        of_actor = sum(other.actor == ticket.actor for other in self.under_way.values())
        in_lane = sum(other.lane == ticket.lane for other in self.under_way.values())
        return of_actor < 2 and (not ticket.lane_limit or in_lane < ticket.lane_limit)

    @rule()
    def take(self) -> None:
        able = {job for job, ticket in self.waiting.items() if self.may_begin(ticket)}
        ranks = {self.waiting[job].priority for job in able}
        job = self.line.take()
        if job is None:
            assert not able
            return
        assert job in able
        ticket = self.waiting.pop(job)
        earlier = [other for other, another in self.waiting.items() if another == ticket and other < job]
        assert not earlier, "first come, first served"
        self.under_way[job] = ticket
        for priority in ranks:
            self.passed[priority] = 0 if priority == ticket.priority else self.passed[priority] + 1
            assert self.passed[priority] <= SHARE + 2 or priority == "high"

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.under_way)))
        del self.under_way[job]
        self.line.over(job)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[job]
        assert self.line.remove(job)
        assert not self.line.remove(job)

    @invariant()
    def it_knows_who_waits(self) -> None:
        assert len(self.line) == len(self.waiting)
        assert sorted(self.line.order()) == sorted(self.waiting)
        for actor in ACTORS:
            assert self.line.waiting_of(actor) == sum(ticket.actor == actor for ticket in self.waiting.values())


TestLineMachine = LineMachine.TestCase
