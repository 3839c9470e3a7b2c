-- What wrk asks, and how it tells what it found.
--
-- Without COMPARE_PATHS it asks for the URL alone. With it, for the paths of that file, one a line: again and
-- again, or with COMPARE_ONCE each of them once; then the time that took, in microseconds, is written to
-- standard error as soon as the last one was answered, and wrk waits for the signal that ends it.

local file = os.getenv("COMPARE_PATHS")

if file then
  local requests, at, verified = {}, 0, false

  function init()
    for path in io.lines(file) do
      requests[#requests + 1] = wrk.format("GET", path)
    end
  end

  function request()
    -- The first one is only looked at, and never sent.
    if not verified then
      verified = true
      return requests[1]
    end
    at = at % #requests + 1
    return requests[at]
  end

  if os.getenv("COMPARE_ONCE") then
    local ffi = require("ffi")
    ffi.cdef [[
      struct moment { long seconds, nanoseconds; };
      int clock_gettime(int clock, struct moment *now);
    ]]
    local moment = ffi.new("struct moment")
    local granted, answered, began = 0, 0, nil

    local function now()
      ffi.C.clock_gettime(1, moment)
      return tonumber(moment.seconds) * 1e6 + tonumber(moment.nanoseconds) / 1e3
    end

    -- Milliseconds that a connection waits before it asks: an hour, when there is nothing left to ask.
    function delay()
      began = began or now()
      granted = granted + 1
      return granted > #requests and 3600000 or 0
    end

    function response()
      answered = answered + 1
      if answered == #requests then
        io.stderr:write(string.format("took %d\n", now() - began))
        io.stderr:flush()
        wrk.thread:stop()
      end
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "bytes": %.0f, "p50": %d, "p99": %d, "failed": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
