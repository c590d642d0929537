// The detailed view of a trajectory.

const detail = byId("detail");
let opened = -1;
const ENDINGS = {
  terminated: "ended by the environment",
  truncated: "stopped at the environment's step limit",
  "step-limit": "stopped at the run's step limit",
  "time-limit": "stopped at the time limit",
  "gave-up": "gave up",
  error: "lost to an error",
};

async function open(number) {
  opened = number;
  markOpen();
  detail.replaceChildren(el("p", { class: "lead" }, "Loading …"));
  const [found, linked] = await Promise.all([trajectory(number), links(number)]);
  const from = rows.origin[number] >= 0 ? await links(rows.origin[number]) : null;
  if (opened !== number) return; // another one was opened meanwhile
  const training = groupOf(number).label;
  const own = Math.max(rows.state[number], 0); // earlier steps repeat the expert's
  const given = from ? from.attributions.filter((a) => own && a.training === training) : linked.attributions;
  const judged = given.map((a) =>
    ({ ...a, segments: withoutGaps(a.segments, found.steps.length), probes: withStart(a, number) }));
  draw(number, found, linked, judged, tellingChoice(judged));
  byId("detail-title").focus({ preventScroll: true });
}

function close() {
  opened = -1;
  const tips = suggestions().map(([number, why]) => el("li", {}, el("a", { href: linkTo(number) }, why)));
  detail.replaceChildren(
    el("p", { class: "lead empty" }, "Choose a ", term("trajectory"), " to read it step by step. ", Object.keys(data.verdicts).length
      ? "Demonstrations show which of the expert's actions helped the agent and which did harm." : ""),
    tips.length ? el("div", {}, el("h3", {}, "Examples"), el("ul", {}, tips)) : "");
  markOpen();
}

// Which exploration's verdicts to show first: that of the filter, or the latest with a beneficial or harmful segment.
function tellingChoice(judged) {
  const asked = judged.findIndex((a) => a.training === filters.label);
  const found = judged.findLastIndex((a) => a.segments.some(([, , verdict]) => verdict === "beneficial" || verdict === "harmful"));
  return asked >= 0 ? asked : found >= 0 ? found : judged.length - 1;
}

// Add segments with the verdict unknown for actions that no segment covers.
function withoutGaps(segments, length) {
  const all = [];
  let at = 0;
  for (const segment of [...segments, [length, length, "", ""]]) {
    if (segment[0] > at) all.push([at, segment[0], "unknown", "The agent wasn't probed on both sides of them."]);
    if (segment[1] > segment[0]) all.push(segment);
    at = Math.max(at, segment[1]);
  }
  return all;
}

// Add probe 0: the agent's attempts from the start of the task.
function withStart(attribution, number) {
  if (attribution.probes.some(([state]) => state === 0)) return attribution.probes;
  const starts = [];
  for (let other = 0; other < total; other++) {
    const { phase, label } = groupOf(other);
    if (rows.task[other] === rows.task[number] && phase === "start" && label === attribution.training) starts.push(other);
  }
  const valid = starts.filter((other) => rows.outcome[other] !== 2);
  const successes = valid.filter((other) => rows.outcome[other] === 1).length;
  return starts.length ? [[0, successes, valid.length, starts], ...attribution.probes] : attribution.probes;
}

// Find trajectories that illustrate the method.
function suggestions() {
  const first = (fits) => rows.id.findIndex((_, number) => fits(number, groupOf(number).phase));
  const masks = (number) => Object.values(data.verdicts[number] || {});
  return [
    [first((n, phase) => phase === "demonstration" && rows.outcome[n] === 0 && masks(n).some((mask) => mask & 1)),
      "A failed demonstration with actions that help the agent"],
    [first((n, phase) => phase === "demonstration" && masks(n).some((mask) => mask & 2)),
      "Actions of the expert that lower the agent's chance of success"],
    [first((n, phase) => phase === "simulation" && rows.outcome[n] === 1 && rows.learned[n] && rows.outcome[rows.origin[n]] === 0),
      "A success from a state of a failed demonstration, used in training"],
    [first((n, phase) => phase === "test" && rows.outcome[n] === 0), "A failure in the evaluation"],
  ].filter(([number]) => number >= 0);
}

function draw(number, found, linked, judged, choice) {
  const own = Math.max(rows.state[number], 0);
  const attribution = judged[choice] || null;
  const redraw = (other) => draw(number, found, linked, judged, other);
  detail.replaceChildren(
    toolbar(number),
    el("h2", { id: "detail-title", tabindex: -1 }, titleOf(number)),
    facts(number, found),
    el("p", { class: "story" }, story(number, found)),
    found.error ? el("p", { class: "remarks" }, found.error) : "",
    own ? "" : verdictHead(judged, choice, redraw),
    attribution && !own ? strip(found, attribution) : "",
    !linked.learned.length ? "" : groupOf(number).phase === "file" ? fileLegend() : learnedLegend(linked.learned),
    ...linked.selected.map(selectionNote),
    steps(found, attribution, linked, own),
    others(number),
  );
}

function toolbar(number) {
  const place = matching.indexOf(number);
  const go = (to, text) => {
    const there = place >= 0 && matching[to] !== undefined;
    return el("button", { type: "button", disabled: !there, onclick: () => { location.hash = linkTo(matching[to]); } }, text);
  };
  return el("div", { class: "toolbar" },
    el("a", { href: filtersAsLink(), id: "close", class: "button" }, "✕ Close"), el("small", {}, " Esc"),
    el("span", { class: "gap" }), go(place - 1, "↑ Previous"), go(place + 1, "↓ Next"));
}

function facts(number, found) {
  const outcome = OUTCOMES[rows.outcome[number]];
  const entries = [
    [el("span", { class: `outcome ${outcome.key}` }, outcome.icon), ` ${outcome.word}`],
    [term("reward"), ` ${rewardOf(number)}`],
    [plural(rows.steps[number], "step")],
    [ENDINGS[found.ending] || found.ending],
    kindOf(number) ? [term("kind"), ` ${kindOf(number)}`] : null,
    found.actor ? ["actor ", found.actor] : null,
    found.tokens ? [`${plural(found.tokens, "token")} read and written`] : null,
    found.usd ? [`$${+found.usd.toFixed(4)}`] : null,
  ];
  return el("ul", { class: "pills" }, entries.filter(Boolean).map((entry) => el("li", {}, entry)));
}

function story(number, found) {
  const { phase, label, title } = groupOf(number);
  if (phase === "file") return [`From ${title}.`];
  if (phase === "demonstration") return ["A ", term("demonstration"), " of the ", term("expert"), " on a training task."];
  if (phase === "test") return [`Evaluation of ${label} on a `, data.heldOut ? term("held-out", "held-out task") : "training task", "."];
  if (phase === "start") return [`Exploration for ${label}: an attempt of the `, term("agent"), " at a training task from the start."];
  const origin = rows.origin[number];
  const demonstration = origin >= 0 ? el("a", { href: linkTo(origin) }, "this demonstration") : `“${found.origin}”`;
  const repeated = rows.state[number] === 1 ? "the first action repeats " : `the first ${rows.state[number]} actions repeat `;
  return ["A ", term("simulation"), ` for ${label}: ${repeated}`, demonstration, " of the ", term("expert"),
    "; the ", term("agent"), " chose all later actions."];
}

function verdictHead(judged, choice, redraw) {
  if (!judged.length) return "";
  const buttons = judged.map((a, index) =>
    el("button", { type: "button", "aria-pressed": String(index === choice), onclick: () => redraw(index) }, a.training));
  const { method, error, others } = judged[choice];
  const [tokens, usd] = judged[choice].cost;
  return el("div", { class: "verdicts" },
    el("h3", {}, "Effect of the expert's actions on the agent's success"),
    el("p", {}, term("verdict", "Verdicts"), " before training: ", buttons, method ? ` (attributor ${method})` : ""),
    error ? el("p", { class: "remarks" }, `Attribution failed: ${error}`) : "",
    tokens || usd ? el("p", {}, `Scores and answers of a judge cost ${plural(tokens, "token")}${usd ? ` and $${+usd.toFixed(4)}` : ""}. `,
      "Simulations have their own costs.") : "",
    others.length ? el("details", {}, el("summary", {}, `Simulated from ${plural(others.length, "state")} of other episodes`),
      el("ul", {}, others.map(otherProbe))) : "",
    el("ul", { class: "legend" }, VERDICTS.map(({ key, icon }) =>
      el("li", {}, el("span", { class: `swatch v-${key}` }, icon), term(key))),
    el("li", {}, el("span", { class: "probe-dot" }, "1/2"), el("span", {}, term("probe"), ": 1 of 2 attempts succeeded"))));
}

// A state that isn't of this trajectory: of another episode, or after an action that wasn't taken there.
function otherProbe([state, successes, n, simulations, episode, inserted]) {
  const before = plural(state - inserted.length, "action");
  const where = !episode ? "the start" : numberOf.has(episode) ? el("a", { href: linkTo(numberOf.get(episode)) }, "this episode") : `“${episode}”`;
  return el("li", {}, episode ? `After ${before} of ` : "From ", where,
    inserted.length ? [", then ", el("code", {}, inserted.join(", "))] : "", `: ${successes} of ${plural(n, "attempt")} succeeded. `,
    simulations.map(attemptChip));
}

const percent = (share) => `${+(100 * share).toFixed(1)} %`;
const signed = (points) => `${points > 0 ? "+" : ""}${+points.toFixed(2)}`;

const segmentAt = (attribution, step) =>
  attribution && attribution.segments.find(([start, end]) => start <= step && step < end);
const verdictAt = (attribution, step) => verdictOf((segmentAt(attribution, step) || [0, 0, "unknown"])[2]);

// Overview of a demonstration on one line: actions coloured by verdict, probes between them.
function strip(found, attribution) {
  const parts = [];
  for (let state = 0; state <= found.steps.length; state++) {
    const probe = attribution.probes.find(([at]) => at === state);
    if (probe) {
      const go = () => byId(`state-${state}`).scrollIntoView({ behavior: "smooth", block: "center" });
      const label = `Probe after ${plural(state, "action")}: ${probe[1]} of ${probe[2]} attempts succeeded. Go to this state.`;
      parts.push(el("button", { type: "button", class: `probe-dot ${probe[1] ? "some" : "none"}`, title: label, "aria-label": label, onclick: go }, `${probe[1]}/${probe[2]}`));
    }
    const value = probe ? null : valueAt(attribution, state);
    if (value) parts.push(el("span", { class: `probe-dot ${value[1] ? "some" : "none"}`, title: valueText(value) }, percent(value[1])));
    if (state === found.steps.length) break;
    const { key, icon } = verdictAt(attribution, state);
    parts.push(el("span", { class: `cell v-${key}`, title: `${state + 1}. ${found.steps[state].action} (${key})` }, icon));
  }
  return el("div", { class: "strip", role: "group", "aria-label": "Overview of the demonstration" }, el("span", { class: "end" }, "start"), parts, el("span", { class: "end" }, "end"));
}

function fileLegend() {
  return el("p", { class: "learned-legend" }, "Training on this file learns the steps marked ",
    el("span", { class: "chip learned" }, "● learned"), ".");
}

function learnedLegend(learned) {
  const sources = [...new Set(learned.map(([, source]) => source))];
  const called = (source) => (data.glossary[`source-${source}`] || [source || "example"])[0];
  const parts = sources.map((source) => el("li", {}, `as ${article(called(source))} `, term(`source-${source}`, called(source)),
    " by ", el("b", {}, learned.filter(([, other]) => other === source).map(([training]) => training).join(", "))));
  return el("div", { class: "learned-legend" }, el("p", {}, "This trajectory was used in training. Steps marked ",
    el("span", { class: "chip learned" }, "● learned"), " below were ", term("learned"), ":"), el("ul", {}, parts));
}

// Show why a training didn't use a success, or which of its actions it left out.
function selectionNote([training, outcome, reason, leftOut]) {
  const numbers = leftOut.map((action) => action + 1).join(", ");
  return el("p", {}, el("b", {}, training), outcome === "learned"
    ? ` left out ${leftOut.length === 1 ? "action" : "actions"} ${numbers}, which made no difference to the episode.`
    : `: not learned from, ${outcome === "filtered" ? `dropped by the filter ${reason}` : `because ${reason}`}.`);
}

function steps(found, attribution, linked, own) {
  const shown = el("ol", { class: "timeline" });
  const replayed = own ? el("ol", { class: "timeline" }) : shown;
  let before = null;
  let into = replayed;
  for (let state = 0; state <= found.steps.length; state++) {
    if (state === own) into = shown;
    const step = found.steps[state];
    into.append(stateItem(found, state, before, attribution, own));
    into.append(...segmentHead(attribution, state, own));
    before = state ? found.steps[state - 1].seen : found.initial;
    if (step) into.append(actionItem(step, state, attribution, linked, own));
  }
  if (!own) return shown;
  const summary = own === 1 ? "The expert's first action, repeated" : `The expert's first ${own} actions, repeated`;
  return el("div", {}, el("details", { class: "replayed" }, el("summary", {}, summary), replayed),
    el("p", { class: "takeover" }, "The agent acts from here on"), shown);
}

function segmentHead(attribution, state, own) {
  const segment = attribution && (!own || state < own) && attribution.segments.find(([start]) => start === state);
  if (!segment) return [];
  const [start, end, key, reason, credit, low, high, episodes, tokens] = segment;
  const { icon } = verdictOf(key);
  const span = end - start === 1 ? `action ${start + 1}` : `actions ${start + 1} to ${end}`;
  return [el("li", { class: `segment v-${key}` }, el("span", { class: `swatch v-${key}` }, icon), " ", term(key), `: ${span}. ${reason}`,
    credit == null ? "" : el("small", {}, el("br"), term("credit"), ` ${signed(credit)}`,
      episodes ? `, 95 % interval ${signed(low)} to ${signed(high)}, ${plural(episodes, "episode")}` : "",
      tokens ? `, ${plural(tokens, "token")}` : ""))];
}

function stateItem(found, state, before, attribution, own) {
  const text = state ? found.steps[state - 1].seen : found.initial;
  const known = new Set((before || "").split("\n"));
  const lines = text.split("\n").map((line) => el("span", { class: before != null && known.has(line) ? "same" : "" }, line + "\n"));
  const box = el("pre", { class: "seen" }, lines);
  const probe = attribution && !own && attribution.probes.find(([at]) => at === state);
  const item = el("li", { class: `state ${around(attribution, state, own)}`, id: `state-${state}` },
    el("small", {}, state ? `State ${state}: observation` : "State 0: first observation"), box);
  if (lines.length > 14 || text.length > 900) {
    box.classList.add("long");
    item.append(el("button", { type: "button", class: "more", onclick: (event) => {
      const whole = box.classList.toggle("whole");
      event.target.textContent = whole ? "Show less" : "Show all";
    } }, "Show all"));
  }
  if (probe) item.append(probeCard(probe, state));
  const value = attribution && !own && valueAt(attribution, state);
  if (value) item.append(el("p", { class: "value" }, term("value", "Value"), ` of this state: ${valueText(value)}`));
  return item;
}

// A state within a segment continues its coloured edge; a state between two segments has none.
function around(attribution, state, own) {
  if (!attribution || state === 0 || (own && state >= own)) return "";
  const [left, right] = [segmentAt(attribution, state - 1), segmentAt(attribution, state)];
  return left && left === right ? `edge v-${left[2]}` : "";
}

const valueAt = (attribution, state) => attribution.values.find(([at]) => at === state);
const valueText = ([, mean, low, high, n]) => `${percent(mean)}, 95 % interval ${percent(low)} to ${percent(high)}, from ${plural(n, "episode")}`;

function attemptChip(number, index) {
  if (number < 0) return el("span", { class: "chip" }, `attempt ${index + 1}: not on this page`);
  const { icon, key, word } = OUTCOMES[rows.outcome[number]];
  return el("a", { class: "chip", href: linkTo(number) }, el("span", { class: `outcome ${key}` }, icon), ` attempt ${index + 1}: ${word}`);
}

function probeCard([state, successes, n, simulations]) {
  return el("div", { class: "probe" }, el("span", { class: `probe-dot ${successes ? "some" : "none"}` }, `${successes}/${n}`),
    " ", term("probe", "Probe"), `: the agent continued from here. ${successes} of ${plural(n, "attempt")} succeeded. `,
    simulations.map(attemptChip));
}

function actionItem(step, state, attribution, linked, own) {
  const mine = state >= own;
  const key = attribution && (!own || !mine) ? verdictAt(attribution, state).key : "";
  return el("li", { class: `action ${key ? `edge v-${key}` : ""}` },
    step.thought ? el("p", { class: "thought" }, el("span", { class: "unseen" }, "Thought: "), step.thought) : "",
    el("p", {}, el("span", { class: "number" }, `${state + 1}. `), el("code", {}, step.action), " ",
      key ? el("span", { class: `chip v-${key}` }, `${verdictOf(key).icon} ${key}`) : "", " ",
      step.reward ? el("span", { class: "chip" }, `reward ${+step.reward.toFixed(3)}`) : "", " ",
      step.invalid ? el("span", { class: "chip bad" }, "✗ ", "invalid action") : "", " ", learnedChip(linked, state)),
    step.said ? el("p", { class: "remarks" }, term("unparsed", "Unparsed answer"), `: ${step.said}`) : "",
    linked.advice.filter(([at]) => at === state).map(([, action, trainings]) => adviceLine(step, action, trainings)),
    linked.reflections.filter(([at]) => at === state).map(reflectionItem),
    linked.alternatives.filter(([at]) => at === state).map(alternativeItem));
}

// Show what a language model wrote on an action of the expert, and whether it was learned, or why not or why there is none.
function reflectionItem([, text, writer, training, status, reason, trainings]) {
  if (status === "absent") {
    return el("p", { class: "advice reflection", title: training }, "No ", term("reflection", "reflection"), `: ${reason}`);
  }
  const used = trainings.length ? el("span", { class: "chip learned", title: `learned in ${trainings.join(", ")}` }, "● learned")
    : el("span", { class: "chip" }, "○ not learned: ",
      status === "lost" ? `the answer was lost: ${reason}` : status === "usable" ? "left out by a filter, or not trained yet" : reason);
  return el("div", { class: "advice reflection", title: training },
    el("p", {}, term("reflection", "Reflection"), ` by ${writer} `, used), text ? el("div", { class: "seen" }, text) : "");
}

// Show what the expert would have done in the state before an action, and which trainings learned it.
function adviceLine(step, action, trainings) {
  return el("p", { class: "advice" }, term("advice", "Expert's advice"), ": ",
    action === step.action ? "the same action" : el("code", {}, action), " ",
    trainings.length ? el("span", { class: "chip learned", title: `learned in ${trainings.join(", ")}` }, "● learned") : "");
}

// Show another action of the agent in the state before an action, and what it led to.
function alternativeItem([, action, seen, trainings]) {
  return el("details", { class: "advice", title: trainings.join(", ") },
    el("summary", {}, "Alternative of the agent: ", el("code", {}, action)), el("div", { class: "seen" }, seen));
}

// Show whether a step was learned, and in which trainings if they differ.
function learnedChip({ learned, weights }, state) {
  if (!learned.length) return "";
  const by = [...new Set(learned.filter(([, , states]) => states.includes(state)).map(([training]) => training))];
  if (!by.length) return el("span", { class: "chip" }, "○ context only");
  const all = new Set(learned.map(([training]) => training)).size === by.length;
  const names = by.length > 2 ? `${by[0]} and ${by.length - 1} more` : by.join(", ");
  const weighted = weights.filter(([, at]) => at === state).map(([training, , weight]) => `${weight} in ${training}`);
  return el("span", { class: "chip learned", title: `learned in ${by.join(", ")}` }, all ? "● learned" : `● learned in ${names}`,
    weighted.length ? `, weight ${weighted.join(", ")}` : "");
}

function others(number) {
  const byGroup = new Map();
  for (let other = 0; other < total; other++) {
    if (rows.task[other] !== rows.task[number] || other === number) continue;
    const group = rows.group[other];
    byGroup.set(group, [...(byGroup.get(group) || []), other]);
  }
  if (!byGroup.size) return "";
  const most = 12;
  const lines = [...byGroup].map(([group, numbers]) => el("li", {}, `${data.groups[group].title}: `,
    numbers.slice(0, most).map((other) => {
      const { icon, key, word } = OUTCOMES[rows.outcome[other]];
      return el("a", { class: "chip", href: linkTo(other) }, el("span", { class: `outcome ${key}` }, icon), ` ${word}`);
    }),
    numbers.length > most ? ` and ${numbers.length - most} more` : ""));
  return el("section", { class: "others" }, el("h3", {}, "Other episodes of this task"), el("ul", {}, lines));
}
