// The page. All text from the server is put in as text, never as markup. What a person likes is kept on the server under
// a random id that this browser remembers; "Forget me" erases it there and draws a new one.

const $ = (id) => document.getElementById(id);
const ASK_SECONDS = 10; // for the language model; the CF answer is on the page long before
const state = { user: remembered(), likes: [], dislikes: [], round: 0, apiKey: "", found: [], foundFor: "", active: -1 };

function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function remembered(fresh = false) {
  const fallback = `page-${randomId()}`;
  try {
    const kept = fresh ? null : localStorage.getItem("ccf-llm-user");
    if (kept) return kept;
    localStorage.setItem("ccf-llm-user", fallback);
  } catch { /* private windows may refuse: the id then lasts as long as the page */ }
  return fallback;
}

// ---- the server -------------------------------------------------------------------------------------------------

async function call(method, path, body) {
  for (let attempt = 0; ; attempt++) {
    const headers = { ...(body && { "Content-Type": "application/json" }), ...(state.apiKey && { "X-API-Key": state.apiKey }) };
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    if (response.ok) return response.json();
    if (response.status === 401) {
      await askForKey();
    } else if (response.status === 503 && attempt < 5) {
      await new Promise((resume) => setTimeout(resume, 1000 * Number(response.headers.get("Retry-After") ?? 1)));
    } else {
      throw new Error((await response.json().catch(() => ({}))).detail ?? `the server answers ${response.status}`);
    }
  }
}

function askForKey() {
  const dialog = $("key-dialog");
  if (!dialog.open) dialog.showModal();
  return new Promise((resume) => dialog.addEventListener("close", () => { state.apiKey = $("key").value; resume(); }, { once: true }));
}

async function tell(item, kind) {
  // The same key if it has to be sent again: it counts once.
  await call("POST", "/v1/events", { key: randomId(), user_id: state.user, item_id: item.item_id, kind });
  const others = (items) => items.filter((other) => other.item_id !== item.item_id);
  state.likes = [...(kind === "like" ? [item] : []), ...others(state.likes)];
  state.dislikes = [...(kind === "dislike" ? [item] : []), ...others(state.dislikes)];
  showLikes();
  await refresh();
}

// ---- what is liked ----------------------------------------------------------------------------------------------

function showLikes() {
  $("likes").replaceChildren(...state.likes.map((item) => {
    const remove = make("button", { type: "button", ariaLabel: `Remove ${item.title}` }, "×");
    remove.addEventListener("click", () => attempt(async () => { await tell(item, "withdraw"); $("search").focus(); }));
    return make("li", {}, make("span", {}, item.title), remove);
  }));
  $("likes-note").hidden = state.likes.length > 0;
  $("forget").hidden = state.likes.length + state.dislikes.length === 0;
}

async function forget() {
  await call("DELETE", `/v1/users/${encodeURIComponent(state.user)}`);
  Object.assign(state, { user: remembered(true), likes: [], dislikes: [] });
  showLikes();
  $("search").focus();
  await refresh();
}

// ---- search (the combobox pattern of the ARIA practices guide) --------------------------------------------------

let typing = 0;

async function search() {
  const words = $("search").value.trim();
  const mine = ++typing;
  if (!words) return showFound("", [], "");
  const { items } = await call("GET", `/v1/items?limit=12&query=${encodeURIComponent(words)}`);
  if (mine === typing) showFound(words, items, items.length ? "" : "No item has these words; try fewer of them.");
}

function showFound(words, items, note) {
  Object.assign(state, { found: items, foundFor: words, active: items.length ? 0 : -1 });
  $("found").replaceChildren(...items.map((item, i) => {
    const option = make("li", { id: `found-${i}`, role: "option" }, item.title, make("small", {}, item.details));
    option.addEventListener("mousedown", (event) => { event.preventDefault(); attempt(() => pick(i)); });
    return option;
  }));
  $("found-note").textContent = note;
  mark();
}

function mark() {
  const open = state.found.length > 0;
  $("found").hidden = !open;
  $("search").setAttribute("aria-expanded", String(open));
  [...$("found").children].forEach((option, i) => option.setAttribute("aria-selected", String(i === state.active)));
  if (open) {
    $("search").setAttribute("aria-activedescendant", `found-${state.active}`);
    $("found").children[state.active].scrollIntoView({ block: "nearest" });
  } else {
    $("search").removeAttribute("aria-activedescendant");
  }
}

async function pick(i) {
  const item = state.found[i];
  typing++;
  $("search").value = "";
  showFound("", [], "");
  await tell(item, "like");
}

async function pickActive() {
  if (state.foundFor !== $("search").value.trim()) await search(); // Enter may be quicker than the server
  if (state.active >= 0) await pick(state.active);
}

function onKey(event) {
  const n = state.found.length;
  const steps = { ArrowDown: 1, ArrowUp: -1 };
  if (event.key === "Enter") attempt(pickActive);
  else if (event.key === "Escape") return showFound("", [], "");
  else if (event.key in steps && n) {
    state.active = (state.active + steps[event.key] + n) % n;
    mark();
  } else return;
  event.preventDefault();
}

// ---- recommendations: CF first, the language model's order when it is there -------------------------------------

const QUICK = { cf: "Collaborative model", text: "Closeness of titles", next: "What people like you chose next" };

async function refresh() {
  const round = ++state.round;
  const order = document.querySelector('input[name="order"]:checked').value;
  const ask = { user_id: state.user, category: $("category").value || null };
  if (order !== "fused") {
    const [answer, ms] = await timed({ ...ask, order });
    return round === state.round && showList(answer, `${QUICK[order]}: ${ms} ms`);
  }
  if (!state.reads) {
    const [answer, ms] = await timed({ ...ask, order });
    return round === state.round && showList(answer, `${ms} ms; the language model added nothing in validation, so likes decide`);
  }
  const [first, ms] = await timed({ ...ask, order: "cf" });
  if (round !== state.round) return;
  showList(first, `Collaborative model: ${ms} ms. The language model is reading…`, true);
  const [answer, later] = await timed({ ...ask, order, deadline_ms: 1000 * ASK_SECONDS });
  if (round !== state.round) return;
  const note = answer.degraded ? "the server is busy, so this is the collaborative model's order" : `language model: ${later} ms`;
  showList(answer, `Collaborative model: ${ms} ms, ${note}`);
}

async function timed(ask) {
  const start = performance.now();
  return [await call("POST", "/v1/recommend", ask), Math.round(performance.now() - start)];
}

function showList(answer, note, waiting = false) {
  const focused = document.activeElement?.dataset?.focus; // keep the place of those who use the keyboard
  $("list").replaceChildren(...answer.items.map((item) => card(item, answer.order)));
  $("list").classList.toggle("waiting", waiting);
  $("list").setAttribute("aria-busy", String(waiting));
  $("list").dataset.order = answer.order;
  $("status").textContent = answer.items.length ? note : "Nothing is left to recommend here; choose another category.";
  $("model").textContent = answer.model;
  if (focused) document.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}

function card(item, order) {
  const taste = Math.round(100 * item.collaborative_share);
  const part = make("div", {});
  part.style.width = `${taste}%`;
  const share = make("div", { className: "share", role: "img", ariaLabel: `${100 - taste} % text, ${taste} % likes` }, part);
  const score = item.probability === null
    ? `${order === "text" ? "closeness" : "score"} ${item.score.toFixed(2)}`
    : `${Math.round(100 * item.probability)} % likely a like`;
  const facts = make("div", { className: "facts soft" }, item.details, share,
    `${score} · ${100 - taste} % text, ${taste} % likes · no. ${item.cf_rank ?? "1000+"} by likes, no. ${item.text_rank ?? "1000+"} by text`);
  const like = button("Like", item, () => tell(item, "like"));
  const dislike = button("Not for me", item, () => tell(item, "dislike"));
  const why = button("Why?", item, () => explain(item, why, facts));
  why.setAttribute("aria-expanded", "false");
  return make("li", {}, make("span", { className: "rank" }, String(item.rank)), make("span", { className: "title" }, item.title),
    facts, make("div", { className: "actions" }, like, dislike, why));
}

function button(word, item, action) {
  const element = make("button", { type: "button", ariaLabel: `${word} ${item.title}` }, word);
  element.dataset.focus = `${word} ${item.item_id}`;
  element.addEventListener("click", () => attempt(action));
  return element;
}

async function explain(item, why, facts) {
  const open = facts.querySelector(".why");
  why.setAttribute("aria-expanded", String(!open));
  if (open) return open.remove();
  const box = make("div", { className: "why", role: "status" }, "Scoring it without each of your likes…");
  facts.append(box);
  const answer = await call("POST", "/v1/explain", { user_id: state.user, item_ids: [item.item_id], deadline_ms: 1000 * ASK_SECONDS });
  const reasons = answer.items[0].reasons.slice(0, 5);
  if (!answer.history) return box.replaceChildren("You have not picked anything yet: it is what most people like.");
  if (!reasons.length) return box.replaceChildren("None of your newest likes raises its score: it would stand here without them too.");
  const lines = reasons.map(({ title, effect }) => make("li", {}, make("bdi", {}, title), ` (+${effect.toFixed(2)})`));
  const by = answer.degraded ? "Because of, by the collaborative model alone (the server is busy)" : "Because of (what each like adds to its score, in log-odds)";
  box.replaceChildren(`${by}:`, make("ul", {}, ...lines));
}

// ---- helpers ----------------------------------------------------------------------------------------------------

function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "role") element.setAttribute("role", value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    $("status").textContent = `That did not work: ${error.message}`;
  }
}

$("search").addEventListener("input", () => attempt(search));
$("search").addEventListener("keydown", onKey);
$("search").addEventListener("blur", () => showFound("", [], ""));
$("forget").addEventListener("click", () => attempt(forget));
$("category").addEventListener("change", () => attempt(refresh));
for (const radio of document.querySelectorAll('input[name="order"]')) radio.addEventListener("change", () => attempt(refresh));

await attempt(async () => {
  const { task, language_model: reads } = await call("GET", "/readyz");
  state.reads = reads;
  // What people choose next: of a model that has learned it, its own order.
  document.querySelector(`input[name="order"][value="${task === "ranking" ? "fused" : "next"}"]`).checked = true;
  const known = await call("GET", `/v1/users/${encodeURIComponent(state.user)}`);
  Object.assign(state, known);
  showLikes();
  const { categories } = await call("GET", "/v1/categories");
  $("category").append(...categories.map((name) => new Option(name)));
  $("category-label").hidden = categories.length === 0;
  await refresh();
});
