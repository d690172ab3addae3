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

const char *const rcd_scripts[RCD_SCRIPT_N] = {
    [RCD_SCRIPT_CLAIM] = ALLOW_OOM
        "local writer = redis.call('HGET', KEYS[1], 'writer') or ''\n"
        "if writer ~= ARGV[1] and writer ~= ARGV[2] then\n"
        "  return 0\n"
        "end\n"
        "redis.call('HSET', KEYS[1], 'writer', ARGV[1])\n"
        "return 1\n",

    [RCD_SCRIPT_RELIEF] = ALLOW_OOM FENCE
        "for i = 2, #ARGV, 2 do\n"
        "  local old, new = redis.call('HGET', KEYS[2], ARGV[i]), ARGV[i + 1]\n"
        "  if old and string.find(old, '^l%x%x%x%x o[01]') then\n"
        "    local lifted = bit.bor(tonumber(string.sub(old, 2, 5), 16),\n"
        "                           tonumber(string.sub(new, 2, 5), 16))\n"
        "    new = string.format('l%04x', lifted) .. string.sub(new, 6, 8) .. string.sub(old, 9)\n"
        "  end\n"
        "  if new ~= old then\n"
        "    redis.call('HSET', KEYS[2], ARGV[i], new)\n"
        "  end\n"
        "end\n"
        "return 1\n",

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
