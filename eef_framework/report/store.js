"use strict";
// The page's data: an index, and compressed chunks that are unpacked on demand.
// All text goes into the page as text nodes; nothing is parsed as HTML.

const byId = (id) => document.getElementById(id);

function el(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

const term = (key, text) =>
  data.glossary[key] ? el("button", { type: "button", class: "term", "data-term": key }, text || data.glossary[key][0]) : text || key;

const data = JSON.parse(byId("data").textContent);
const rows = data.rows;
const total = rows.id.length;
const numberOf = new Map();
for (let number = total - 1; number >= 0; number--) numberOf.set(rows.id[number], number);

const OUTCOMES = [
  { key: "failure", icon: "✗", word: "failure" },
  { key: "success", icon: "✓", word: "success" },
  { key: "lost", icon: "!", word: "lost" },
  { key: "lost", icon: "?", word: "unknown outcome" },
];
const VERDICTS = [
  { key: "beneficial", icon: "▲", bit: 1 },
  { key: "harmful", icon: "▼", bit: 2 },
  { key: "neutral", icon: "=", bit: 4 },
  { key: "unknown", icon: "?", bit: 8 },
];
const verdictOf = (key) => VERDICTS.find((verdict) => verdict.key === key) || { key: "unknown", icon: "?" };

const groupOf = (number) => data.groups[rows.group[number]];
const titleOf = (number) => data.tasks.title[rows.task[number]];
const kindOf = (number) => data.tasks.kind[rows.task[number]];
const linkTo = (number) => "#trajectory/" + encodeURIComponent(rows.id[number]);
const rewardOf = (number) => (rows.reward[number] == null ? "?" : String(+rows.reward[number].toFixed(3)));
const article = (word) => (/^[aeiou]/i.test(word) ? "an" : "a");
const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

const loaded = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve);
  else resolve();
});

const cache = new Map(); // of the chunks used last
async function chunk(name) {
  if (!cache.has(name)) cache.set(name, unpack(name));
  const found = cache.get(name);
  cache.delete(name);
  cache.set(name, found);
  if (cache.size > 12) cache.delete(cache.keys().next().value);
  return found;
}

async function unpack(name) {
  await loaded; // chunks come last in the file, and may not have been parsed yet
  const bytes = Uint8Array.from(atob(byId(name).textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

function chunkNumber(number) {
  let low = 0;
  let high = data.chunks.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (data.chunks[middle] <= number) low = middle;
    else high = middle - 1;
  }
  return low;
}

// Return a trajectory with its texts: {initial, steps: [{action, seen, thought, said, invalid}], ...}.
async function trajectory(number) {
  const at = chunkNumber(number);
  const { texts, rows: packed } = await chunk(`chunk-${at}`);
  const row = packed[number - data.chunks[at]];
  const steps = row.steps.map((step) => ({
    action: texts[step.action],
    seen: texts[step.seen],
    thought: texts[step.thought],
    said: texts[step.said],
    invalid: step.invalid,
    reward: step.reward,
  }));
  if (!row.shared) return { ...row, initial: texts[row.initial], steps };
  const origin = await trajectory(rows.origin[number]);
  return { ...row, initial: origin.initial, steps: [...origin.steps.slice(0, row.shared), ...steps] };
}

// Return {attributions, learned} of a trajectory.
async function links(number) {
  const found = await chunk(`links-${chunkNumber(number)}`);
  const none = { attributions: [], learned: [], weights: [], selected: [], advice: [], alternatives: [], reflections: [] };
  return found[number] || none;
}
