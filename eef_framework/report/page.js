// Routing between the views, tooltips of terms, global keys.

const VIEWS = ["results", "trajectories", "glossary"];

function route() {
  const hash = location.hash.slice(1);
  const [head] = hash.split(/[/?]/);
  const view = head === "trajectories" || head === "trajectory" ? "trajectories" : head === "glossary" ? "glossary" : "results";
  for (const name of VIEWS) byId(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) {
    const current = { "#found": "results", "#trajectories": "trajectories", "#glossary": "glossary" }[link.getAttribute("href")] === view;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  hideTip();
  if (view === "trajectories") showTrajectories(head, hash);
  else if (head && byId(head)) byId(head).scrollIntoView();
}

function showTrajectories(head, hash) {
  if (head === "trajectory") {
    const number = numberOf.get(decoded(hash.slice("trajectory/".length)));
    byId("browser").classList.toggle("reading", true);
    if (number !== undefined) open(number);
    else {
      close();
      detail.replaceChildren(el("p", { class: "remarks" }, "This page has no such trajectory."), el("a", { href: "#trajectories" }, "All trajectories"));
    }
    scrollTo(0, 0);
    return;
  }
  const last = opened;
  byId("browser").classList.remove("reading");
  close();
  const query = Object.fromEntries(new URLSearchParams(hash.split("?")[1] || ""));
  if (Object.keys(filters).some((name) => (query[name] || "") !== filters[name])) setFilters(query);
  if (last >= 0) focusRow(matching.indexOf(last));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const tip = byId("tip");
let explained = null;

function showTip(target) {
  const found = data.glossary[target.dataset.term];
  if (!found) return;
  explained = target;
  tip.replaceChildren(el("b", {}, found[0]), el("p", {}, found[1]));
  tip.hidden = false;
  target.setAttribute("aria-describedby", "tip");
  const place = target.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.max(8, Math.min(place.left, document.documentElement.clientWidth - width - 8));
  const below = place.bottom + 8 + height <= innerHeight || place.top < height + 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${below ? place.bottom + 6 : place.top - height - 6}px`;
}

function hideTip() {
  if (explained) explained.removeAttribute("aria-describedby");
  explained = null;
  tip.hidden = true;
}

const termAt = (event) => (event.target.closest ? event.target.closest(".term") : null);
for (const kind of ["pointerover", "focusin", "click"]) {
  document.addEventListener(kind, (event) => {
    const target = termAt(event);
    if (target) showTip(target);
    else if (kind !== "focusin" || explained) hideTip();
  });
}
document.addEventListener("scroll", hideTip, { passive: true, capture: true });

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (!tip.hidden) hideTip();
  else if (opened >= 0) location.hash = filtersAsLink();
});

setUpList();
refresh();
close();
addEventListener("hashchange", route);
route();
