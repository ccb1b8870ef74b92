// The page's script in a document that is just enough for it, two refreshes a second apart, then a click on
// a pool. Prints what a person would read.
//
//   node browser.js PAGE URL POOL        its data from URL
//   node browser.js PAGE made-up POOL    1,000 pools, and 5,000 workers in each
"use strict";
const [page, url, pool] = process.argv.slice(2);
const script = require("fs").readFileSync(page, "utf8").split("<script>")[1].split("</script>")[0];

class Element {
  constructor(tag) { Object.assign(this, {tag, children: [], style: {}, attributes: {}}); }
  append(...more) { this.children.push(...more); }
  replaceChildren(...all) { this.children = all; }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  set textContent(text) { this.text = String(text); }
  get textContent() { return this.text; }
  all(tag) {
    return this.children.flatMap(child => [...(child.tag === tag ? [child] : []), ...child.all(tag)]);
  }
}

const byId = new Map();
const page_document = {
  createElement: tag => new Element(tag),
  createElementNS: (space, tag) => new Element(tag),
  getElementById: id => byId.get(id) || byId.set(id, new Element("div")).get(id),
};
let clock = 1000, again = null;
// What the script sees of its surroundings; node itself keeps its own.
const seen = {
  document: page_document,
  performance: {now: () => clock},
  clearTimeout: () => { again = null; },
  setTimeout: work => { again = work; return 1; },
  fetch: async path => url === "made-up" ? {json: async () => madeUp(path)}
                                         : fetch(new URL(path, url)),
};

const states = ["Idle", "Running", "Reading headers"];
function madeUp(path) {
  const pools = [...Array(1000)].map((_, i) => ({
    "pool": "p" + i, "state": "serving", "active processes": 3333, "idle processes": 1667,
    "max children": 5000, "listen queue": i, "accepted conn": clock * i, "duration p50": 900,
    "duration p99": 2500000, "queue wait count": 0, "queue wait p99": 0, "slow requests": 1,
    "timed out requests": 2, "memory": 1 << 30}));
  if (path === "status") return {pools};
  return {...pools[999], processes: [...Array(5000)].map((_, i) => ({
    "pid": i, "state": states[i % 3], "request duration": i * 1000, "requests": i,
    "request method": "GET", "request uri": "/<script>" + i}))};
}
const texts = (element, tag) => element.all(tag).map(one => one.text);
async function refreshed() {
  for (let i = 0; again === null; ++i) {
    if (i > 100000) throw new Error("it does not refresh");
    await new Promise(resolve => setImmediate(resolve));
  }
}
async function look() {
  new Function(...Object.keys(seen), script)(...Object.values(seen));
  await refreshed();
  clock += 1000;
  const refresh = again;
  again = null;
  refresh();
  await refreshed();
  const rows = page_document.getElementById("pools").children;
  const row = rows.find(one => one.children[0].text === pool);
  const plot = row.all("polyline")[0].attributes.points;
  again = null;
  row.onclick();
  await refreshed();
  const workers = page_document.getElementById("workers");
  const text = JSON.stringify({
    note: page_document.getElementById("note").text, pools: rows.map(one => texts(one, "td")), plot,
    title: texts(workers, "h1"), head: texts(workers, "th"), more: texts(workers, "p"),
    workers: workers.all("tr").map(one => texts(one, "td")).filter(one => one.length > 0)});
  process.stdout.write(text, () => process.exit(0));
}
look().catch(error => { console.error(error, page_document.getElementById("note").text); process.exit(1); });
