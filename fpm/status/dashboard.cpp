#include "fpm/status/dashboard.hpp"

namespace fpm::status {

namespace {

// textContent only: a URI is never taken for HTML.
constexpr std::string_view kPage = R"page(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fpm</title>
<style>
:root { color-scheme: light dark; --line: #8884; --busy: #d70; --idle: #2a7; --bad: #c22; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; }
h1 { font-size: 1.2rem; margin: 0 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
td.uri { max-width: 30rem; overflow: hidden; text-overflow: ellipsis; text-align: left; }
tr.pool { cursor: pointer; }
tr.door td { text-align: left; padding-left: 1.8rem; opacity: .8; }
.serving { color: var(--idle); } .bad { color: var(--bad); font-weight: bold; }
.bar { display: inline-block; width: 8rem; height: .7rem; background: var(--line); }
.bar i { display: inline-block; height: 100%; vertical-align: top; }
svg { width: 8rem; height: 1.4rem; vertical-align: middle; }
polyline { fill: none; stroke: var(--busy); stroke-width: 1.5; }
#note { margin: .5rem 0; min-height: 1.4em; }
</style>
</head>
<body>
<h1>fpm <small id="time"></small></h1>
<div id="note"><noscript>This page needs JavaScript; its data is at /status.</noscript></div>
<table>
<thead><tr><th>pool</th><th class="text">state</th><th class="text">workers</th><th>active</th>
<th>idle</th><th>limit</th><th>queue</th><th>requests/s</th><th class="text">last minutes</th>
<th>p50</th><th>p99</th><th>wait p99</th><th>slow</th><th>timed out</th><th>memory</th></tr></thead>
<tbody id="pools"></tbody>
</table>
<div id="workers"></div>
<script>
"use strict";
const history = new Map(), keep = 120;
let open = null, last = null, next = 0;
const el = (tag, text, cls) => {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (cls) e.className = cls;
  return e;
};
const ms = us => us >= 1e6 ? (us / 1e6).toFixed(2) + " s" : (us / 1e3).toFixed(us < 1e4 ? 1 : 0) + " ms";
const size = b => b >= 1 << 30 ? (b / (1 << 30)).toFixed(1) + " GB" : (b / (1 << 20)).toFixed(1) + " MB";
const plot = values => {
  const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg");
  const most = Math.max(1, ...values);
  svg.setAttribute("viewBox", "0 0 " + (keep - 1) + " 20");
  svg.setAttribute("preserveAspectRatio", "none");
  const line = document.createElementNS(ns, "polyline");
  line.setAttribute("points", values.map((v, i) => i + "," + (19 - 18 * v / most)).join(" "));
  svg.append(line);
  return svg;
};
const bar = (active, idle, limit) => {
  const box = el("span", undefined, "bar"), full = Math.max(1, limit, active + idle);
  for (const [n, color] of [[active, "--busy"], [idle, "--idle"]]) {
    const part = el("i");
    part.style.width = 100 * n / full + "%";
    part.style.background = "var(" + color + ")";
    box.append(part);
  }
  return box;
};
const row = p => {
  const seen = history.get(p.pool) || [];
  const tr = el("tr", undefined, "pool");
  const cells = [p.pool, null, null, p["active processes"], p["idle processes"], p["max children"],
    p["listen queue"] === null ? "?" : p["listen queue"],
    seen.length ? seen[seen.length - 1].toFixed(1) : "", null, ms(p["duration p50"]),
    ms(p["duration p99"]), p["queue wait count"] ? ms(p["queue wait p99"]) : "-",
    p["slow requests"], p["timed out requests"], size(p.memory)];
  for (const text of cells) tr.append(el("td", text === null ? undefined : text));
  const [, state, workers] = tr.children;
  state.textContent = p.state;
  state.className = "text " + (p.state === "serving" ? "serving" : "bad");
  workers.className = tr.children[8].className = "text";
  workers.append(bar(p["active processes"], p["idle processes"], p["max children"]));
  tr.children[8].append(plot(seen));
  tr.onclick = () => { open = open === p.pool ? null : p.pool; refresh(); };
  return tr;
};
const doorStates = ["reading", "body", "queued", "waiting", "writing", "keepalive", "closing"];
const doorRow = p => {
  if (p["door accepted conn"] === undefined) return [];
  const n = name => p["door " + name], tr = el("tr", undefined, "door");
  const all = doorStates.reduce((sum, s) => sum + n(s), 0);
  const now = doorStates.filter(s => n(s)).map(s => n(s) + " " + s).join(", ");
  const text = ["door: " + all + " connections" + (now ? " (" + now + ")" : ""),
    n("accepted conn") + " accepted", n("requests") + " requests, " + n("passed") + " to the pool",
    n("aborted") + " aborted", n("queue full") + " found the queue full, " + n("queue timeout") +
    " waited too long", size(n("bytes in")) + " in, " + size(n("bytes out")) + " out"].join(" · ");
  const td = el("td", text);
  td.colSpan = 15;
  tr.append(td);
  return [tr];
};
const listWorkers = p => {
  const box = document.getElementById("workers");
  box.replaceChildren();
  if (!p) return;
  const states = {}, busy = [];
  for (const w of p.processes) {
    states[w.state] = (states[w.state] || 0) + 1;
    if (w.state !== "Idle") busy.push(w);
  }
  busy.sort((a, b) => b["request duration"] - a["request duration"]);
  box.append(el("h1", p.pool + ": " + Object.entries(states).map(([s, n]) => n + " " + s).join(", ")));
  const table = el("table"), head = el("tr");
  for (const name of ["pid", "state", "for", "requests", "request"]) head.append(el("th", name));
  table.append(head);
  for (const w of busy.slice(0, 50)) {
    const tr = el("tr");
    tr.append(el("td", w.pid), el("td", w.state), el("td", ms(w["request duration"])),
      el("td", w.requests), el("td", w["request method"] + " " + w["request uri"], "uri"));
    table.append(tr);
  }
  box.append(table);
  if (busy.length > 50) box.append(el("p", "and " + (busy.length - 50) + " more that are busy"));
};
async function refresh() {
  const note = document.getElementById("note");
  try {
    const pools = (await (await fetch("status", {cache: "no-store"})).json()).pools;
    const now = performance.now();
    for (const p of pools) {
      const seen = history.get(p.pool) || [];
      const before = last ? last.pools.get(p.pool) : undefined;
      if (before !== undefined && now > last.at + 500) {
        seen.push(Math.max(0, p["accepted conn"] - before) * 1000 / (now - last.at));
        if (seen.length > keep) seen.shift();
      }
      history.set(p.pool, seen);
    }
    if (!last || now > last.at + 500) {
      last = {at: now, pools: new Map(pools.map(p => [p.pool, p["accepted conn"]]))};
    }
    document.getElementById("pools").replaceChildren(...pools.flatMap(p => [row(p), ...doorRow(p)]));
    document.getElementById("time").textContent = new Date().toLocaleTimeString();
    listWorkers(open === null ? null : await (await fetch(
      "status/" + encodeURIComponent(open) + "?json&full", {cache: "no-store"})).json());
    note.textContent = "";
  } catch (error) {
    note.textContent = "no answer: " + error.message;
    note.className = "bad";
  }
  // Only now: answers that take long must not pile up.
  clearTimeout(next);
  next = setTimeout(refresh, 2000);
}
refresh();
</script>
</body>
</html>
)page";

}  // namespace

std::string_view dashboard() { return kPage; }

}  // namespace fpm::status
