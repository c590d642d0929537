// The list of trajectories: filters, paging, keyboard navigation.

const PAGE = 50;
const list = byId("list");
const filters = { text: "", outcome: "", label: "", phase: "", kind: "", verdict: "", learned: "" };
const PHASES = {
  demonstration: "expert's demonstration",
  start: "attempt from the start",
  simulation: "simulation from a probe",
  test: "evaluation",
  file: "from the file",
};
const searched = data.tasks.title.map((title, task) => `${title}\n${data.tasks.id[task]}`.toLowerCase());
let matching = [];
let first = 0;

function choices(id, all, entries) {
  const select = byId(`f-${id}`);
  select.append(el("option", { value: "" }, all), ...entries.map(([value, text]) => el("option", { value }, text)));
  select.addEventListener("change", () => change(id, select.value));
  if (entries.length < 2) select.parentElement.hidden = true;
}

function setUpFilters() {
  const labels = [...new Set(data.groups.map((group) => group.label))];
  const phases = Object.keys(PHASES).filter((phase) => data.groups.some((group) => group.phase === phase));
  const kinds = [...new Set(data.tasks.kind)].filter(Boolean).sort();
  const judged = VERDICTS.filter(({ bit }) => Object.values(data.verdicts).some((by) => Object.values(by).some((mask) => mask & bit)));
  choices("outcome", "any", [["1", "✓ success"], ["0", "✗ failure"], ["2", "! lost to an error"], ...(rows.outcome.includes(3) ? [["3", "? unknown"]] : [])]);
  choices("label", "any", labels.map((label) => [label, label]));
  choices("phase", "any", phases.map((phase) => [phase, PHASES[phase]]));
  choices("kind", "any", kinds.map((kind) => [kind, kind]));
  choices("verdict", "any", judged.map(({ key, icon }) => [key, `${icon} some ${key}`]));
  choices("learned", "any", [["1", "learned from"], ["0", "not learned from"]].filter(([value]) => rows.learned.includes(+value)));
  let pause;
  byId("f-text").addEventListener("input", (event) => {
    clearTimeout(pause);
    pause = setTimeout(() => change("text", event.target.value.trim()), 120);
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", (event) => {
    event.preventDefault();
    setFilters({});
    remember();
  });
}

function change(name, value) {
  filters[name] = value;
  refresh();
  remember();
}

// Set filters, for example from a link. Filters that aren't given are cleared.
function setFilters(values) {
  for (const name of Object.keys(filters)) {
    filters[name] = values[name] || "";
    byId(`f-${name}`).value = filters[name];
  }
  refresh();
}

const filtersAsLink = () =>
  "#trajectories" + (Object.values(filters).some(Boolean) ? "?" + new URLSearchParams(Object.entries(filters).filter(([, value]) => value)) : "");
const remember = () => history.replaceState(null, "", filtersAsLink());

function refresh() {
  const words = filters.text.toLowerCase().split(/\s+/).filter(Boolean);
  const tasks = searched.map((text) => words.every((word) => text.includes(word)));
  const ids = words.length === 1 ? words[0] : null;
  matching = [];
  for (let number = 0; number < total; number++) {
    if (!tasks[rows.task[number]] && !(ids && rows.id[number].toLowerCase().includes(ids))) continue;
    if (fits(number)) matching.push(number);
  }
  first = 0;
  show();
}

function fits(number) {
  const group = groupOf(number);
  if (filters.outcome && rows.outcome[number] !== +filters.outcome) return false;
  if (filters.phase && group.phase !== filters.phase) return false;
  if (filters.kind && kindOf(number) !== filters.kind) return false;
  if (filters.learned && rows.learned[number] !== +filters.learned) return false;
  if (!filters.verdict) return !filters.label || group.label === filters.label;
  // Verdicts belong to a demonstration and the iteration that made them.
  const given = data.verdicts[number] || {};
  const { bit } = verdictOf(filters.verdict);
  return Object.entries(given).some(
    ([label, mask]) => mask & bit && (!filters.label || filters.label === label || filters.label === group.label),
  );
}

function show() {
  const last = Math.min(first + PAGE, matching.length);
  list.replaceChildren(...matching.slice(first, last).map(row));
  list.start = first + 1;
  const share = matching.length === total ? "" : ` of ${total.toLocaleString("en")}`;
  const won = matching.reduce((sum, number) => sum + (rows.outcome[number] === 1), 0);
  byId("list-status").textContent = matching.length
    ? `${matching.length.toLocaleString("en")}${share} trajectories, ${won.toLocaleString("en")} of them successes`
    : total
      ? "No trajectory matches these filters."
      : "This run has no trajectories yet.";
  byId("list-place").textContent = matching.length ? `${(first + 1).toLocaleString("en")}–${last.toLocaleString("en")}` : "";
  byId("earlier").disabled = first === 0;
  byId("later").disabled = last >= matching.length;
  byId("pager").hidden = matching.length <= PAGE;
  markOpen();
}

function row(number) {
  const group = groupOf(number);
  const outcome = OUTCOMES[rows.outcome[number]];
  const named = { demonstration: PHASES.demonstration, file: group.label }[group.phase];
  const facts = [named === undefined ? `${group.label}: ${PHASES[group.phase]}` : named].filter(Boolean);
  if (kindOf(number)) facts.push(kindOf(number));
  facts.push(`reward ${rewardOf(number)}`, plural(rows.steps[number], "step"));
  const mask = Object.values(data.verdicts[number] || {}).reduce((all, bits) => all | bits, 0);
  const chips = VERDICTS.slice(0, 2)
    .filter(({ bit }) => mask & bit)
    .map(({ key, icon }) => el("span", { class: `chip v-${key}` }, `${icon} ${key}`));
  return el(
    "li",
    {},
    el(
      "a",
      { href: linkTo(number), "data-number": number, tabindex: -1 },
      el("span", { class: `outcome ${outcome.key}` }, outcome.icon, el("span", { class: "unseen" }, ` ${outcome.word} `)),
      el("span", { class: "what" }, titleOf(number)),
      el("small", {}, facts.map((fact) => fact.replaceAll(" ", "\u00a0")).join(" · "), " ", chips),
    ),
  );
}

// Tab enters the list at the open trajectory, or at the first row.
function markOpen() {
  const anchors = [...list.querySelectorAll("a")];
  const current = anchors.find((anchor) => +anchor.dataset.number === opened) || null;
  for (const anchor of anchors) {
    anchor.toggleAttribute("aria-current", anchor === current);
    if (anchor === current) anchor.setAttribute("aria-current", "true");
    anchor.tabIndex = -1;
  }
  const entry = current || anchors[0];
  if (entry) entry.tabIndex = 0;
}

function turn(by) {
  first = Math.max(0, Math.min(first + by * PAGE, Math.floor((matching.length - 1) / PAGE) * PAGE));
  show();
  byId("list-pane").scrollTop = 0;
}

function focusRow(place) {
  if (place < 0 || place >= matching.length) return;
  if (place < first || place >= first + PAGE) {
    first = Math.floor(place / PAGE) * PAGE;
    show();
  }
  const anchors = list.querySelectorAll("a");
  for (const anchor of anchors) anchor.tabIndex = -1;
  const anchor = anchors[place - first];
  anchor.tabIndex = 0;
  anchor.focus();
}

function setUpList() {
  setUpFilters();
  byId("earlier").addEventListener("click", () => turn(-1));
  byId("later").addEventListener("click", () => turn(1));
  list.addEventListener("keydown", (event) => {
    const place = matching.indexOf(+event.target.dataset.number);
    const to = {
      ArrowDown: place + 1,
      ArrowUp: place - 1,
      PageDown: Math.min(place + 10, matching.length - 1),
      PageUp: Math.max(place - 10, 0),
      Home: 0,
      End: matching.length - 1,
    }[event.key];
    if (to === undefined || place < 0) return;
    event.preventDefault();
    focusRow(to);
  });
}
