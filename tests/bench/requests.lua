-- requests.lua - for wrk: 200,000 different clean cards in turn, so that each lookup meets another
-- line of the table; prints "requests microseconds failed".

local request_of = {}
local at = 0

function init(args)
    for i = 1, 200000 do
        request_of[i] = wrk.format("GET", nil, { ["Host"] = "gate", ["X-Card-No"] = string.format("9%015d", i) })
    end
end

function request()
    at = at % #request_of + 1
    return request_of[at]
end

function done(summary)
    local e = summary.errors
    io.write(string.format("RESULT %d %d %d\n", summary.requests, summary.duration,
                           e.connect + e.read + e.write + e.status + e.timeout))
end
