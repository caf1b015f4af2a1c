-- wrk [options] URL -- SECONDS CONNECTIONS FILE_OF_BODY KEY...
-- Asks for SECONDS and then lets what is on its way come back, so that no request is cut off: an empty request is
-- nothing to send, and that connection rests. Each answer let one more request go, except those that were first.

local ffi = require("ffi")
ffi.cdef [[
typedef struct { long s; long ns; } bench_time;
int clock_gettime(int clock, bench_time *time);
]]
local MONOTONIC = 1
local time = ffi.new("bench_time")
local threads = {}

local function now()
  ffi.C.clock_gettime(MONOTONIC, time)
  return tonumber(time.s) + tonumber(time.ns) / 1e9
end

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  seconds, connections, asked = tonumber(args[1]), tonumber(args[2]), -1
  local file = io.open(args[3], "rb")
  local body = file:read("*a")
  file:close()
  requests = {}
  for number = 4, #args do
    local headers = { ["content-type"] = "application/json", ["authorization"] = "Bearer " .. args[number] }
    requests[number - 3] = wrk.format("POST", "/v1/chat/completions", headers, body)
  end
end

function request()
  -- The first call is wrk's own look at what a request is.
  if asked >= 0 and not finish then finish = now() + seconds end
  if finish and now() >= finish then return "" end
  asked = asked + 1
  return requests[asked % #requests + 1]
end

function done(summary)
  local thread, errors = threads[1], summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local asked, seconds, connections = thread:get("asked"), thread:get("seconds"), thread:get("connections")
  io.write(string.format('\n{"requests": %d, "asked": %d, "failed": %d, "per_s": %.3f}',
    summary.requests, asked, failed, (asked - connections) / seconds))
end
