/*
 * rcd_script - the daemon's write scripts. -FENCED: another instance is the writer. -CHANGED: meta
 * is not what we wrote.
 */
#include "rcd_script.h"

#define ALLOW_OOM "#!lua flags=allow-oom\n"

#define FENCE \
    "if redis.call('HGET', KEYS[1], 'writer') ~= ARGV[1] then\n" \
    "  return redis.error_reply('FENCED another instance writes this list')\n" \
    "end\n"

/*
 * Relief as it was (false: none) and as it is to be: lifted masks are OR-ed; of stays the longest
 * counts, and an objection of the operator (word h) stays, but for what `gone` names (" h 1795475986 ");
 * the office's objection is the new one; words of a later schema are kept. Returns the text, and the
 * lifted masks after and before.
 */
#define MERGE \
    "local function merge(old, new, gone)\n" \
    "  local before, lifted = 0, tonumber(string.sub(new, 2, 5), 16)\n" \
    "  local objection, held, rest = string.sub(new, 8, 8), '', ''\n" \
    "  local stay = string.match(new, ' s(%d+)')\n" \
    "  if string.find(new, ' h$') then\n" \
    "    held = ' h'\n" \
    "  end\n" \
    "  if old and string.find(old, '^l%x%x%x%x o[01]') then\n" \
    "    before = tonumber(string.sub(old, 2, 5), 16)\n" \
    "    for word in string.gmatch(string.sub(old, 9), '%S+') do\n" \
    "      local until_sec = string.match(word, '^s(%d+)$')\n" \
    "      local over = string.find(gone, ' ' .. (until_sec or word) .. ' ', 1, true)\n" \
    "      if word == 'h' then\n" \
    "        held = over and held or ' h'\n" \
    "      elseif not until_sec then\n" \
    "        rest = rest .. ' ' .. word\n" \
    "      elseif not over and tonumber(until_sec) > tonumber(stay or 0) then\n" \
    "        stay = until_sec\n" \
    "      end\n" \
    "    end\n" \
    "  end\n" \
    "  lifted = bit.bor(lifted, before)\n" \
    "  return string.format('l%04x o', lifted) .. (held ~= '' and '1' or objection) ..\n" \
    "         (stay and ' s' .. stay or '') .. held .. rest, lifted, before\n" \
    "end\n"

const char *const rcd_scripts[RCD_SCRIPT_N] = {
    [RCD_SCRIPT_CLAIM] = ALLOW_OOM
        "local writer = redis.call('HGET', KEYS[1], 'writer') or ''\n"
        "if writer ~= ARGV[1] and writer ~= ARGV[2] then\n"
        "  return 0\n"
        "end\n"
        "redis.call('HSET', KEYS[1], 'writer', ARGV[1])\n"
        "return 1\n",

    [RCD_SCRIPT_RELIEF] = ALLOW_OOM FENCE MERGE
        "local ids = {}\n"
        "for i = 2, #ARGV, 4 do\n"
        "  local number, lift = ARGV[i], ARGV[i + 3]\n"
        "  local old = redis.call('HGET', KEYS[2], number)\n"
        "  local new, lifted, before = merge(old, ARGV[i + 1], ' ' .. ARGV[i + 2] .. ' ')\n"
        "  if new ~= old then\n"
        "    redis.call('HSET', KEYS[2], number, new)\n"
        "  end\n"
        "  local id = ''\n"
        "  if lift ~= '' and lifted ~= before then\n"
        "    local t, s, a = string.match(lift, '^(%d+) (%d+) (%d+)$')\n"
        "    id = redis.call('XADD', KEYS[3], 'MAXLEN', '~', '10000', '*', 't', t, 'i', s, 'a', a)\n"
        "  elseif lift ~= '' then\n"
        "    local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', '1')[1]\n"
        "    id = newest and newest[1] or '0-0'\n"
        "  end\n"
        "  ids[#ids + 1] = id\n"
        "end\n"
        "return ids\n",

    [RCD_SCRIPT_STAY] = ALLOW_OOM FENCE
        "for i = 2, #ARGV, 3 do\n"
        "  local field, new, gone = ARGV[i], ARGV[i + 1], ' ' .. ARGV[i + 2] .. ' '\n"
        "  local old = string.match(redis.call('HGET', KEYS[2], field) or '', '^s(%d+)$')\n"
        "  local stay = tonumber(string.sub(new, 2)) or 0\n"
        "  if old and not string.find(gone, ' ' .. old .. ' ', 1, true) and tonumber(old) > stay then\n"
        "    new = 's' .. old\n"
        "  end\n"
        "  if new == '' then\n"
        "    redis.call('HDEL', KEYS[2], field)\n"
        "  else\n"
        "    redis.call('HSET', KEYS[2], field, new)\n"
        "  end\n"
        "end\n"
        "return 1\n",

    [RCD_SCRIPT_DIRECT] = ALLOW_OOM MERGE
        "local old, new = redis.call('HGET', KEYS[1], ARGV[1]), ARGV[2]\n"
        "if string.sub(new, 1, 1) == 'l' then\n"
        "  new = merge(old, new, '')\n"
        "else\n"
        "  local stay = string.match(old or '', '^s(%d+)$')\n"
        "  if stay and tonumber(stay) > tonumber(string.sub(new, 2)) then\n"
        "    new = old\n"
        "  end\n"
        "end\n"
        "redis.call('HSET', KEYS[1], ARGV[1], new)\n"
        "return new\n",

    [RCD_SCRIPT_GROUNDS] = FENCE
        "for i = 2, #ARGV, 2 do\n"
        "  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])\n"
        "end\n"
        "return 1\n",

    [RCD_SCRIPT_CHANGE] = FENCE
        "local meta = redis.call('HMGET', KEYS[1], 'era', 'last_id', 'count')\n"
        "local last, count = tonumber(meta[2]), tonumber(meta[3])\n"
        "if meta[1] ~= ARGV[2] or not last or not count or last < tonumber(ARGV[4]) then\n"
        "  return redis.error_reply('CHANGED meta is not what we wrote')\n"
        "end\n"
        "for i = 5, #ARGV, 3 do\n"
        "  local bucket, digest, record = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]\n"
        "  local old = redis.call('HGET', bucket, digest)\n"
        "  if (old or '') ~= record then\n"
        "    local id = string.format('%s-%.0f', ARGV[2], last + 1)\n"
        "    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], id, 'd', digest, 'r', record)\n"
        "    last = last + 1\n"
        "    if record == '' then\n"
        "      count = count - redis.call('HDEL', bucket, digest)\n"
        "    else\n"
        "      count = count + redis.call('HSET', bucket, digest, record)\n"
        "    end\n"
        "    redis.call('HSET', KEYS[1], 'last_id', string.format('%.0f', last),\n"
        "               'count', string.format('%.0f', count))\n"
        "  end\n"
        "end\n"
        "return {last, count}\n",

    [RCD_SCRIPT_FILL] = FENCE
        "local delta = 0\n"
        "for i = 2, #ARGV, 3 do\n"
        "  local bucket, digest, record = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]\n"
        "  if record == '' then\n"
        "    delta = delta - redis.call('HDEL', bucket, digest)\n"
        "  else\n"
        "    delta = delta + redis.call('HSET', bucket, digest, record)\n"
        "  end\n"
        "end\n"
        "return delta\n",

    [RCD_SCRIPT_SWITCH] = FENCE
        "redis.call('XADD', KEYS[2], 'MAXLEN', '1', ARGV[2] .. '-0', 's', '1')\n"
        "redis.call('HSET', KEYS[1], unpack(ARGV, 3))\n"
        "return 1\n",

    [RCD_SCRIPT_META] = ALLOW_OOM FENCE
        "redis.call('HSET', KEYS[1], unpack(ARGV, 2))\n"
        "return 1\n",

    [RCD_SCRIPT_UNLINK] = FENCE
        "return redis.call('UNLINK', unpack(KEYS, 2))\n",

    [RCD_SCRIPT_TOP] =
        "local info = redis.pcall('XINFO', 'STREAM', KEYS[1])\n"
        "if info.err then\n"
        "  return '0-0'\n"
        "end\n"
        "for i = 1, #info, 2 do\n"
        "  if info[i] == 'last-generated-id' then\n"
        "    return info[i + 1]\n"
        "  end\n"
        "end\n"
        "return '0-0'\n",

    [RCD_SCRIPT_LEDGER_DONE] = ALLOW_OOM FENCE
        "if (redis.call('HGET', KEYS[2], '.closed') or '') ~= ARGV[4] then\n"
        "  return 0\n"
        "end\n"
        "redis.call('DEL', KEYS[2])\n"
        "redis.call('SREM', KEYS[3], KEYS[2])\n"
        "if ARGV[2] ~= '' then\n"
        "  redis.call('HSET', KEYS[4], ARGV[2], ARGV[3])\n"
        "end\n"
        "return 1\n",
};
