"""What the Redis cache does in one step on the server, so that entries and their indexes never disagree.

All scripts get the names KEYS = used, made, sizes, bytes, drops, heads, hits, pins (one set of indexes) and the prefix
of entries as ARGV[1]. `used` and `made` order the ids by last use and creation, `drops` by when the server lets them
go; `sizes` has the size of each, `bytes` their sum, `heads` what a list shows of it, `hits` how often it has answered.
Those in `pins` are neither in `used` nor in `drops`, so that nothing pushes them out.
"""

__all__ = ["CLEAR", "DELETE", "PIN", "STORE", "SWEEP", "TOUCH"]

_COMMON = """
local used, made, sizes, bytes, drops = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local heads, hits, pins = KEYS[6], KEYS[7], KEYS[8]
local prefix = ARGV[1]
local function drop(id)
  local there = redis.call('UNLINK', prefix .. id)
  local size = tonumber(redis.call('HGET', sizes, id) or 0)
  redis.call('HDEL', sizes, id)
  redis.call('ZREM', used, id)
  redis.call('ZREM', made, id)
  redis.call('ZREM', drops, id)
  redis.call('HDEL', heads, id)
  redis.call('HDEL', hits, id)
  redis.call('SREM', pins, id)
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
local pinned = redis.call('SISMEMBER', pins, id) == 1
if keep_ms > 0 and not pinned then
  redis.call('SET', prefix .. id, data, 'PX', keep_ms)
  redis.call('ZADD', drops, drop_at, id)
else
  redis.call('SET', prefix .. id, data)
  redis.call('ZREM', drops, id)
end
if not pinned then redis.call('ZADD', used, now, id) end
redis.call('ZADD', made, made_at, id)
redis.call('HSET', sizes, id, size)
redis.call('HSET', heads, id, ARGV[12])
redis.call('HDEL', hits, id)
local held = redis.call('INCRBY', bytes, size - tonumber(old or 0))
local evicted = {}
while held > cap do
  local oldest = redis.call('ZRANGE', used, 0, 1)
  local victim = oldest[1] == id and oldest[2] or oldest[1]
  if not victim then
    if not pinned then drop(id) end
    break
  end
  evicted[#evicted + 1] = redis.call('HGET', heads, victim) or ''
  evicted[#evicted + 1] = redis.call('HGET', sizes, victim) or '0'
  drop(victim)
  held = tonumber(redis.call('GET', bytes))
end
if old then redis.call('PUBLISH', channel, me .. ' ' .. id) end
return evicted
"""
)
"""ARGV: prefix, id, data, size, now, made_at, keep_ms (0: for ever), drop_at, cap, channel, own id, head.

Returns head and size of each entry that had to go, one after the other."""

TOUCH = """
local used, sizes, hits = KEYS[1], KEYS[3], KEYS[7]
for i = 1, #ARGV, 3 do
  if redis.call('HEXISTS', sizes, ARGV[i]) == 1 then
    redis.call('ZADD', used, 'XX', ARGV[i + 1], ARGV[i])
    redis.call('HINCRBY', hits, ARGV[i], ARGV[i + 2])
  end
end
"""
"""ARGV: id, time of its last use and number of new hits, for each."""

PIN = """
local used, sizes, drops, pins = KEYS[1], KEYS[3], KEYS[5], KEYS[8]
local prefix, id, pinned, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', prefix .. id) == 0 or redis.call('HEXISTS', sizes, id) == 0 then return 0 end
if pinned == '1' then
  redis.call('SADD', pins, id)
  redis.call('PERSIST', prefix .. id)
  redis.call('ZREM', used, id)
  redis.call('ZREM', drops, id)
elseif redis.call('SREM', pins, id) == 1 then
  redis.call('ZADD', used, now, id)
end
return 1
"""
"""ARGV: prefix, id, 1 to pin it or 0 to let go of it, now. Returns 1 if it is there, else 0."""

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
