// The jobs of this browser: they are listed, followed and remembered, so that leaving the page loses nothing.

import * as api from "./api.js";
import { byId, button, element } from "./elements.js";
import { kept } from "./pictures.js";
import { number, t } from "./texts.js";
import { view } from "./viewer.js";

const STORE = "impasto.jobs";
const MOST = 100;
const rows = new Map();
let say;

const read = () => JSON.parse(localStorage.getItem(STORE) ?? "[]");
const write = (jobs) => localStorage.setItem(STORE, JSON.stringify(jobs.slice(0, MOST)));

export function start(tell) {
  say = tell;
  for (const known of read().reverse()) show(known);
  empty();
}

/** Remember a job that was accepted: {id, name, styles, small}; and keep its photograph for the comparison. */
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
  api.follow(id, (job) => rows.has(id) && update(id, job), (away) => say(away ? t("offline") : "", "away"));
}

function stateOf(job) {
  if (job.state === "queued") return job.position ? t("queued", { ahead: number(job.position) }) : t("queued_next");
  if (job.state === "failed") return t("failed", { reason: job.error.text });
  if (job.state !== "running") return t(job.state);
  const done = t("running", { percent: Math.round(100 * job.progress) });
  const left = job.seconds_left;
  if (left === null) return done;
  return `${done} – ${left < 90 ? t("left_seconds", { seconds: Math.ceil(left) }) : t("left_minutes", { minutes: Math.round(left / 60) })}`;
}

async function update(id, job) {
  const { known, row, parts } = rows.get(id);
  const found = job ?? { state: "expired", finished: 0 };
  if (row.dataset.state !== found.state) {
    row.dataset.state = found.state;
    parts.actions.replaceChildren(...actions(known, found));
  }
  parts.state.textContent = stateOf(found);
  parts.progress.hidden = found.finished !== null;
  parts.progress.value = found.progress ?? 0;
  if (found.state === "succeeded" && row.dataset.shown !== "result") {
    row.dataset.shown = "result";
    parts.image.src = found.result;
  } else if (found.preview && found.state === "running") {
    const before = parts.image.src;
    parts.image.src = await api.picture(found.preview).catch(() => before);
    if (before.startsWith("blob:") && before !== parts.image.src) URL.revokeObjectURL(before);
  }
}

function actions(known, job) {
  const change = async (what) => {
    try {
      await update(known.id, await api.act(known.id, what));
      if (what === "retry") watch(known.id);
    } catch (error) {
      say(error.message, "error");
    }
  };
  const label = (text) => ({ ariaLabel: `${text}: ${known.name}` });
  if (job.finished === null) return [button(t("cancel"), () => change("cancel"), label(t("cancel")))];
  const made = [button(t("delete"), () => remove(known), label(t("delete")))];
  if (job.state === "failed" || job.state === "canceled") made.unshift(button(t("retry"), () => change("retry"), label(t("retry"))));
  if (job.state === "succeeded") {
    const link = element("a", { className: "button", href: job.result, download: "", textContent: t("download"), ...label(t("download")) });
    made.unshift(button(t("open"), () => view(known, job), { className: "strong", ...label(t("open")) }), link);
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
  say(t("deleted", { name: known.name }));
  byId("pictures").focus();
}
