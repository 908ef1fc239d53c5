// The jobs of this browser: they are listed, followed and remembered, so that leaving the page loses nothing.

import * as api from "./api.js";
import { byId, button, element } from "./elements.js";
import { kept, thumbnail } from "./pictures.js";
import { _, explained, number, state } from "./texts.js";
import { view } from "./viewer.js";

const STORE = "impasto.jobs";
const MOST = 100;
const rows = new Map();
let say;
let away = false;

function read() {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "[]");
  } catch {
    return []; // a browser that keeps nothing
  }
}

function write(jobs) {
  try {
    localStorage.setItem(STORE, JSON.stringify(jobs.slice(0, MOST)));
  } catch {
    // A browser that keeps nothing, or is full: the jobs are on this page all the same.
  }
}

export function start(tell) {
  say = tell;
  const all = read();
  for (const known of all.toReversed()) show(known);
  empty();
  kept.only(all.map(({ id }) => id)).catch(() => null);
}

/** Remember a job that was accepted, {id, name, styles, small}, and keep its photograph for the comparison. */
export async function add(known, blob) {
  write([known, ...read()]);
  show(known);
  empty();
  await kept.put(known.id, blob).catch(() => null); // only where the page may keep pictures
}

function empty() {
  byId("pictures-none").hidden = rows.size > 0;
}

function show(known) {
  const parts = {
    image: element("img", { src: known.small, alt: "" }),
    state: element("span", { className: "state" }),
    progress: element("progress", { max: 1, value: 0, ariaLabel: known.name }),
    actions: element("div", { className: "actions" }),
  };
  const title = element("div", {}, element("b", { textContent: known.name }), element("span", { className: "hint", textContent: known.styles.join(" + ") }));
  const row = element("li", { dataset: { id: known.id } }, parts.image, title, parts.state, parts.progress, parts.actions);
  rows.set(known.id, { known, row, parts });
  byId("jobs").prepend(row);
  watch(known.id);
}

function watch(id) {
  api.follow(id, (job) => rows.has(id) && update(id, job), offline);
}

function offline(now) {
  if (now !== away) say(now ? new api.Unreachable().message : "", "away");
  away = now;
}

function stateOf(job) {
  if (job.state === "queued") return job.position ? state("queued", { ahead: number(job.position) }) : state("queued_next");
  if (job.state === "failed") return state("failed", { reason: explained(job.error.code, job.error.text) });
  if (job.state !== "running") return state(job.state);
  const done = state("running", { percent: Math.round(100 * job.progress) });
  const left = job.seconds_left;
  if (left === null) return done;
  if (left < 90) return `${done} – ${_("about {seconds} s left", { seconds: Math.ceil(left) })}`;
  return `${done} – ${_("about {minutes} min left", { minutes: Math.round(left / 60) })}`;
}

async function update(id, job) {
  const { known, row, parts } = rows.get(id);
  const found = job ?? { state: "expired", finished: 0 };
  const before = row.dataset.state;
  parts.state.textContent = stateOf(found);
  if (before !== found.state) {
    const held = parts.actions.contains(document.activeElement);
    row.dataset.state = found.state;
    parts.actions.replaceChildren(...actions(known, found));
    if (held) parts.actions.firstChild.focus();
    if (before && found.finished !== null) say(`${known.name}: ${stateOf(found)}`, "ended");
  }
  parts.progress.hidden = found.finished !== null;
  parts.progress.value = found.progress ?? 0;
  if (found.state === "succeeded") await showResult(known, parts.image, found.result);
  else if (found.preview && found.state === "running") await showPreview(row, parts.image, found.preview);
}

/** A small picture of the result, made once: results are large, and this list is long. */
async function showResult(known, image, address) {
  if (!known.done) {
    const result = await fetch(address).catch(() => null);
    if (result?.ok) known.done = await thumbnail(await result.blob()).catch(() => null); // TIFF, perhaps
    write(read().map((each) => (each.id === known.id ? known : each)));
  }
  change(image, known.done ?? known.small);
}

async function showPreview(row, image, address) {
  const now = await api.picture(address).catch(() => null);
  if (now && row.dataset.state === "running") change(image, now);
}

function change(image, source) {
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.src = source;
}

function actions(known, job) {
  const ask = async (what) => {
    try {
      await update(known.id, await api.act(known.id, what));
      if (what === "retry") watch(known.id);
    } catch (error) {
      say(error.message, "error");
    }
  };
  const label = (text) => ({ ariaLabel: `${text}: ${known.name}` });
  if (job.finished === null) return [button(_("Cancel"), () => ask("cancel"), label(_("Cancel")))];
  const made = [button(_("Delete"), () => remove(known), label(_("Delete")))];
  if (job.state === "failed" || job.state === "canceled") {
    made.unshift(button(_("Try again"), () => ask("retry"), label(_("Try again"))));
  }
  if (job.state === "succeeded") {
    const link = element("a", { className: "button", href: job.result, download: "", textContent: _("Download"), ...label(_("Download")) });
    made.unshift(button(_("Open"), () => view(known, job), { className: "strong", ...label(_("Open")) }), link);
  }
  return made;
}

async function remove(known) {
  try {
    await api.erase(known.id);
  } catch (error) {
    if (error.status !== 404) return say(error.message, "error");
  }
  rows.get(known.id).row.remove();
  rows.delete(known.id);
  write(read().filter(({ id }) => id !== known.id));
  await kept.delete(known.id).catch(() => null);
  empty();
  say(_("{name} is deleted, here and on the server.", { name: known.name }));
  byId("pictures").focus();
}
