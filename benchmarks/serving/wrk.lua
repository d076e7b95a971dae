-- Sends the requests of a file in turn; prints what was measured as one line of JSON.
-- What stands before a tab is the request's routing key.
local requests = {}
local at = 0

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for line in io.lines(arguments[1]) do
    local key, body = line:match("^([^\t{]*)\t(.*)$")
    wrk.headers["X-Routing-Key"] = key
    requests[#requests + 1] = wrk.format(nil, nil, nil, body or line)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "refused": %d, "broken": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)
  ))
end
