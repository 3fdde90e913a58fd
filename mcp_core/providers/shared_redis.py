"""Circuits and rates on a Redis or Valkey server. Its clock counts, so hosts need not agree on theirs."""

from typing import Any

from mcp_core.cache.redis_state import RedisState
from mcp_core.errors import CacheError
from mcp_core.providers.shared import CircuitView, SharedBucket, SharedCircuit

__all__ = ["PROBE_SECONDS", "RedisShared"]

PROBE_SECONDS = 120.0
"""How long a probe may take before another call is let through: the process that sent it may be dead."""

# All amounts travel as text: Redis cuts the fraction off a number that a script returns.
_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
"""

_TAKE = (
    _NOW
    + """
local rate, most, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'level', 'seen')
local level, seen = tonumber(kept[1]) or most, tonumber(kept[2]) or now
level = math.min(most, level + math.max(0, now - seen) * rate)
local wait = math.max(0, (math.min(amount, most) - level) / rate)
level = math.min(most, level - amount)
redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'seen', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((most - level) / rate * 1000) + 1000)
return {string.format('%.6f', wait), string.format('%.6f', level)}
"""
)

_CIRCUIT = (
    _NOW
    + """
local question, term = ARGV[1], tonumber(ARGV[2])
local limit, first, longest, lease = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local kept = redis.call('HMGET', KEYS[1], 'state', 'failures', 'pause', 'until', 'term', 'probe')
local state, failures, pause = kept[1] or 'closed', tonumber(kept[2]) or 0, tonumber(kept[3]) or first
local till, held, probe = tonumber(kept[4]) or 0, tonumber(kept[5]) or 0, tonumber(kept[6]) or 0
if state == 'half-open' and now >= probe then
  -- Whoever probed has died, or takes so long that another may try.
  state, till, held = 'open', 0, held + 1
end
local effective, changed = 0, false
if question == 'admit' then
  if state == 'closed' then
    effective = 1
  elseif state == 'open' and now >= till then
    state, held, probe, effective, changed = 'half-open', held + 1, now + lease, 1, true
  end
elseif term == held and state ~= 'open' then
  if question == 'release' then
    if state == 'half-open' then
      state, held, effective, changed = 'open', held + 1, 1, true
    end
  elseif question == 'worked' then
    if state == 'half-open' then
      state, held, effective = 'closed', held + 1, 1
    end
    failures, pause, changed = 0, first, true
  elseif question == 'failed' then
    failures, changed = failures + 1, true
    if state == 'half-open' then
      pause = math.min(pause * 2, longest)
    end
    if state == 'half-open' or failures >= limit then
      state, held, till, effective = 'open', held + 1, now + pause, 1
    end
  end
end
if changed then
  redis.call('HSET', KEYS[1], 'state', state, 'failures', failures, 'pause', string.format('%.6f', pause),
    'until', string.format('%.6f', till), 'term', held, 'probe', string.format('%.6f', probe))
  redis.call('PEXPIRE', KEYS[1], 86400000)
end
return {effective, state, failures, string.format('%.6f', pause), string.format('%.6f', math.max(0, till - now)), held}
"""
)


class RedisShared:
    """A `SharedState` on a Redis server, named by `url` as `RedisState` takes it."""

    def __init__(self, url: str) -> None:
        self._state = RedisState(url)

    def circuit(self, name: str, *, failures: int, pause_seconds: float, longest_pause_seconds: float) -> SharedCircuit:
        """The circuit of that name."""
        return _Circuit(self._state, name, (failures, pause_seconds, longest_pause_seconds, PROBE_SECONDS))

    def bucket(self, name: str, *, per_second: float, most: float) -> SharedBucket:
        """The bucket of that name."""
        return _Bucket(self._state, name, per_second, most)

    def trouble(self) -> CacheError | None:
        """Why the server cannot be used; None where it can."""
        return self._state.trouble()

    def close(self) -> None:
        """Close its connections."""
        self._state.close()


class _Bucket:
    def __init__(self, state: RedisState, name: str, per_second: float, most: float) -> None:
        self._state = state
        self._key = f"rate:{name}"
        self._figures = (per_second, most)

    def take(self, amount: float) -> tuple[float, float] | None:
        found = self._state.run(_TAKE, self._key, *self._figures, amount)
        return None if found is None else (float(found[0]), float(found[1]))


class _Circuit:
    def __init__(self, state: RedisState, name: str, figures: tuple[float, ...]) -> None:
        self._state = state
        self._key = f"circuit:{name}"
        self._figures = figures

    def look(self) -> CircuitView | None:
        return self._ask("look", 0)

    def admit(self) -> CircuitView | None:
        return self._ask("admit", 0)

    def report(self, term: int, *, failed: bool) -> CircuitView | None:
        return self._ask("failed" if failed else "worked", term)

    def release(self, term: int) -> CircuitView | None:
        return self._ask("release", term)

    def _ask(self, question: str, term: int) -> CircuitView | None:
        found: list[Any] | None = self._state.run(_CIRCUIT, self._key, question, term, *self._figures)
        if found is None:
            return None
        effective, state, failures, pause, left, held = found
        return CircuitView(bool(effective), state.decode(), int(failures), float(pause), float(left), int(held))
