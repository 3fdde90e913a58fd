"""What the Redis cache does in one step on the server, so that entries and their indexes never disagree.

All scripts get the names KEYS = used, made, sizes, bytes, drops (one set of indexes) and the prefix of entries as
ARGV[1]. `used` and `made` order the ids by last use and creation, `drops` by when the server lets them go; `sizes`
has the size of each, `bytes` their sum.
"""

__all__ = ["CLEAR", "DELETE", "STORE", "SWEEP"]

_COMMON = """
local used, made, sizes, bytes, drops = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix = ARGV[1]
local function drop(id)
  local there = redis.call('UNLINK', prefix .. id)
  local size = tonumber(redis.call('HGET', sizes, id) or 0)
  redis.call('HDEL', sizes, id)
  redis.call('ZREM', used, id)
  redis.call('ZREM', made, id)
  redis.call('ZREM', drops, id)
  redis.call('DECRBY', bytes, size)
  return there
end
local function sweep(now, limit)
  local gone = redis.call('ZRANGEBYSCORE', drops, '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(gone) do drop(id) end
  return #gone
end
"""

STORE = (
    _COMMON
    + """
local id, data, size, now, made_at = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local keep_ms, drop_at, cap, channel, me = tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9]), ARGV[10], ARGV[11]
sweep(now, 100)
local old = redis.call('HGET', sizes, id)
if keep_ms > 0 then
  redis.call('SET', prefix .. id, data, 'PX', keep_ms)
  redis.call('ZADD', drops, drop_at, id)
else
  redis.call('SET', prefix .. id, data)
  redis.call('ZREM', drops, id)
end
redis.call('ZADD', used, now, id)
redis.call('ZADD', made, made_at, id)
redis.call('HSET', sizes, id, size)
local held = redis.call('INCRBY', bytes, size - tonumber(old or 0))
local evicted = 0
while held > cap do
  local oldest = redis.call('ZRANGE', used, 0, 1)
  local victim = oldest[1] == id and oldest[2] or oldest[1]
  if not victim then break end
  drop(victim)
  held = tonumber(redis.call('GET', bytes))
  evicted = evicted + 1
end
if old then redis.call('PUBLISH', channel, me .. ' ' .. id) end
return evicted
"""
)
"""ARGV: prefix, id, data, size, now, made_at, keep_ms (0: for ever), drop_at, cap, channel, own id.

Returns how many entries had to go."""

DELETE = (
    _COMMON
    + """
local there = drop(ARGV[2])
if there == 1 then redis.call('PUBLISH', ARGV[3], ARGV[4] .. ' ' .. ARGV[2]) end
return there
"""
)
"""ARGV: prefix, id, channel, own id. Returns 1 if it was there, else 0."""

SWEEP = (
    _COMMON
    + """
local gone = sweep(ARGV[2], 1000)
return {gone, redis.call('HLEN', sizes), tonumber(redis.call('GET', bytes) or 0)}
"""
)
"""ARGV: prefix, now. Forgets what the server has let go; returns how many (at most 1000), entries and bytes left."""

CLEAR = (
    _COMMON
    + """
local ids = redis.call('ZRANGE', made, 0, 999)
for _, id in ipairs(ids) do drop(id) end
return #ids
"""
)
"""ARGV: prefix. Forgets up to 1000 entries; returns how many."""
