"""The line runs wait in: by priority, fair between actors, past lanes that are full."""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Hashable
from copy import copy
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mcp_core.models import PRIORITIES, Priority

__all__ = ["SHARE", "Line", "Ticket"]

SHARE = 8
"""Of so many jobs plus one, a lower priority that waits gets one: it is overtaken, and never forgotten."""

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Ticket:
    """How a job stands in the line.

    Attributes:
        actor: on whose behalf; actors of one priority take turns.
        lane: what it needs that only so many may use at once, such as a provider; empty for nothing of the kind.
        lane_limit: how many jobs of the lane may be under way at once; 0 for any number.
    """

    priority: Priority = "normal"
    actor: str = ""
    lane: str = ""
    lane_limit: int = 0


@dataclass(eq=False, slots=True)
class _Strand(Generic[T]):
    """The waiting jobs of one actor in one lane and priority, first come first served.

    Attributes:
        listed: whether the heap of its lane has an entry for it.
    """

    rank: int
    actor: str
    lane: str
    jobs: "OrderedDict[T, None]" = field(default_factory=OrderedDict)
    listed: bool = False


_Heap = list[tuple[int, int, _Strand[T]]]
"""Strands by turn, and those of one turn in the order they were listed."""


class Line(Generic[T]):
    """Gives out jobs one by one; not thread-safe. Each step takes time by the number of lanes, not of jobs.

    Actors of one priority go round: each has one job taken, then it is the next one's turn, so that a thousand jobs of
    one person do not hold up another's one. A job that was taken is under way until `over`.

    Args:
        actor_limit: jobs of one actor under way at once; 0 for any number.
    """

    def __init__(self, *, actor_limit: int = 0) -> None:
        self.actor_limit = actor_limit
        self._tickets: dict[T, Ticket] = {}
        self._strands: dict[tuple[int, str, str], _Strand[T]] = {}
        self._heaps: tuple[dict[str, _Heap[T]], ...] = tuple({} for _ in PRIORITIES)
        # A strand listed now comes in the round after the present one; an actor has one turn in a round.
        self._rounds = [0] * len(PRIORITIES)
        self._last_turn: dict[tuple[int, str], int] = {}
        self._overtaken = [0] * len(PRIORITIES)
        self._serial = 0
        self._waiting_of: Counter[str] = Counter()
        self._under_way: dict[T, Ticket] = {}
        self._actors: Counter[str] = Counter()
        self._lanes: Counter[str] = Counter()
        self._lane_limits: dict[str, int] = {}
        self._held_back: dict[str, dict[_Strand[T], None]] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def waiting_of(self, actor: str) -> int:
        """How many jobs of an actor wait."""
        return self._waiting_of[actor]

    def put(self, job: T, ticket: Ticket) -> None:
        """Let a job wait."""
        rank = PRIORITIES.index(ticket.priority)
        key = (rank, ticket.actor, ticket.lane)
        strand = self._strands.get(key)
        if strand is None:
            strand = self._strands[key] = _Strand(rank, ticket.actor, ticket.lane)
        strand.jobs[job] = None
        self._tickets[job] = ticket
        self._waiting_of[ticket.actor] += 1
        self._list(strand)

    def may_begin(self, ticket: Ticket) -> bool:
        """Whether a job may be under way that does not wait: nobody waits, and its actor has room."""
        return not self._tickets and not self._is_at_limit(ticket.actor)

    def begin(self, job: T, ticket: Ticket) -> None:
        """Count a job as under way."""
        self._under_way[job] = ticket
        self._actors[ticket.actor] += 1
        if ticket.lane:
            self._lanes[ticket.lane] += 1
            self._lane_limits[ticket.lane] = ticket.lane_limit

    def take(self) -> T | None:
        """The next job, which is under way from now on; None where none may begin now."""
        heads = [self._head(rank) for rank in range(len(PRIORITIES))]
        rank = self._choose([head is not None for head in heads])
        if rank is None:
            return None
        strand = heads[rank]
        assert strand is not None  # noqa: S101  (`_choose` chose one that is there)
        heap = self._heaps[rank][strand.lane]
        turn, _, _ = heapq.heappop(heap)
        strand.listed = False
        self._rounds[rank] = max(self._rounds[rank], turn)
        self._last_turn[rank, strand.actor] = turn
        job, _ = strand.jobs.popitem(last=False)
        ticket = self._tickets.pop(job)
        self._left(strand)
        self.begin(job, ticket)
        return job

    def is_under_way(self, job: T) -> bool:
        """Whether a job was taken or begun and is not over."""
        return job in self._under_way

    def over(self, job: T) -> None:
        """A job that was under way is not any more; does nothing for any other."""
        ticket = self._under_way.pop(job, None)
        if ticket is None:
            return
        _decrease(self._actors, ticket.actor)
        if ticket.lane:
            _decrease(self._lanes, ticket.lane)
        for strand in self._held_back.pop(ticket.actor, ()):
            self._list(strand)

    def remove(self, job: T) -> bool:
        """Take a waiting job out; returns whether it was there."""
        ticket = self._tickets.pop(job, None)
        if ticket is None:
            return False
        strand = self._strands[PRIORITIES.index(ticket.priority), ticket.actor, ticket.lane]
        del strand.jobs[job]
        self._left(strand)
        return True

    def order(self) -> list[T]:
        """The waiting jobs as they are taken if nobody else comes and every lane is free, next first."""
        return self.twin().drained()

    def drained(self) -> list[T]:
        """Take all jobs at once, whatever their lanes and actors have room for; next first."""
        found: list[T] = []
        while (job := self.take()) is not None:
            found.append(job)
            self.over(job)
        return found

    def twin(self) -> "Line[T]":
        """A line of its own with the same jobs waiting and none under way."""
        line: Line[T] = Line()
        line._tickets = dict(self._tickets)
        line._rounds = list(self._rounds)
        line._last_turn = dict(self._last_turn)
        line._overtaken = list(self._overtaken)
        line._serial = self._serial
        line._waiting_of = self._waiting_of.copy()
        copies = {strand: copy(strand) for strand in self._strands.values()}
        for strand in copies.values():
            strand.jobs = strand.jobs.copy()
            strand.listed = False
            line._strands[strand.rank, strand.actor, strand.lane] = strand
        for ours, heaps in zip(line._heaps, self._heaps, strict=True):
            for lane, heap in heaps.items():
                ours[lane] = [(turn, serial, copies[strand]) for turn, serial, strand in heap if strand.jobs]
                for _, _, strand in ours[lane]:
                    strand.listed = True
                heapq.heapify(ours[lane])
        for strand in list(copies.values()):
            line._list(strand)
        return line

    def _is_at_limit(self, actor: str) -> bool:
        return 0 < self.actor_limit <= self._actors[actor]

    def _is_full(self, lane: str) -> bool:
        return 0 < self._lane_limits.get(lane, 0) <= self._lanes[lane]

    def _list(self, strand: _Strand[T]) -> None:
        if strand.jobs and not strand.listed:
            strand.listed = True
            self._serial += 1
            heap = self._heaps[strand.rank].setdefault(strand.lane, [])
            heapq.heappush(heap, (self._rounds[strand.rank] + 1, self._serial, strand))

    def _left(self, strand: _Strand[T]) -> None:
        """See to a strand that has lost a job."""
        _decrease(self._waiting_of, strand.actor)
        if not self._waiting_of[strand.actor]:
            for rank in range(len(PRIORITIES)):
                self._last_turn.pop((rank, strand.actor), None)
        if strand.jobs:
            self._list(strand)
        elif not strand.listed:
            self._strands.pop((strand.rank, strand.actor, strand.lane), None)

    def _head(self, rank: int) -> _Strand[T] | None:
        """The strand of this priority whose turn it is, of those whose lane and actor have room."""
        heaps = self._heaps[rank]
        best: tuple[int, int, _Strand[T]] | None = None
        for lane in list(heaps):
            if self._is_full(lane):
                continue
            heap = heaps[lane]
            self._tidy(heap)
            if not heap:
                del heaps[lane]
            elif best is None or heap[0][:2] < best[:2]:
                best = heap[0]
        return None if best is None else best[2]

    def _tidy(self, heap: _Heap[T]) -> None:
        """Bring to the top a strand that has a job which may begin, at its right turn."""
        while heap:
            turn, _, strand = heap[0]
            if not strand.jobs:
                strand.listed = False
                del self._strands[strand.rank, strand.actor, strand.lane]
            elif self._is_at_limit(strand.actor):
                strand.listed = False
                self._held_back.setdefault(strand.actor, {})[strand] = None
            elif turn <= self._last_turn.get((strand.rank, strand.actor), 0):
                # Its actor has had a turn in another lane meanwhile.
                self._serial += 1
                heapq.heapreplace(heap, (self._rounds[strand.rank] + 1, self._serial, strand))
                continue
            else:
                return
            heapq.heappop(heap)

    def _choose(self, waits: list[bool]) -> int | None:
        """The priority whose turn it is: the highest, or a lower one that has been overtaken often enough."""
        waiting = [rank for rank, there in enumerate(waits) if there]
        if not waiting:
            return None
        due = [rank for rank in waiting if self._overtaken[rank] >= SHARE]
        chosen = due[-1] if due else waiting[0]
        for rank in waiting:
            self._overtaken[rank] = 0 if rank == chosen else self._overtaken[rank] + (rank > chosen)
        return chosen


def _decrease(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
