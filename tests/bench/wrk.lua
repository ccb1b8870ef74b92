-- What wrk has seen, as one line of JSON: its own report rounds the bytes.
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests": %d, "bytes": %.0f, "us": %d, "failed": %d}\n', summary.requests,
    summary.bytes, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
