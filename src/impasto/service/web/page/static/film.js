// The film strip: one frame for each photograph and for each painting of it. Those that were sent are followed and
// remembered, so that leaving the page loses nothing.

import * as api from "./api.js";
import { byId, element } from "./elements.js";
import { kept, thumbnail } from "./pictures.js";
import { _ } from "./texts.js";
import { stateOf } from "./states.js";

const STORE = "impasto.jobs";
const MOST = 100;
const frames = []; // the newest first: {name, small, styles, blob, id, job, done, settings}
let chosen = null;
let say;
let changed;
let away = false;

function read() {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "[]");
  } catch {
    return []; // a browser that keeps nothing
  }
}

function write() {
  const sent = frames.filter(({ id }) => id).slice(0, MOST);
  try {
    localStorage.setItem(STORE, JSON.stringify(sent.map(storable)));
  } catch {
    // A browser that keeps nothing, or is full: the frames are on this page all the same.
  }
}

/** What is remembered of a frame. Styles of one's own are not, and so neither are settings with them. */
function storable({ id, name, styles, small, done, settings }) {
  const known = { id, name, styles, small, done };
  if (!settings || settings.mix.some(({ blob }) => blob)) return known;
  const mix = settings.mix.map(({ name: style, title, weight }) => ({ name: style, title, weight }));
  return { ...known, settings: { ...settings, mix, stays: null } };
}

/** `onChange` is called with the chosen frame, or null, when another is chosen, and with true when it has news. */
export function start(tell, onChange) {
  say = tell;
  changed = onChange;
  for (const known of read()) {
    frames.push(made(known));
    watch(frames.at(-1));
  }
  show();
  if (frames.length) choose(frames[0]);
  kept.only(frames.map(({ id }) => id)).catch(() => null);
}

/** The frame on the easel, or null. */
export const current = () => chosen;

/** Frames whose photograph was not sent yet. */
export const waiting = () => frames.filter(({ id }) => !id);

export const isOver = (frame) => Boolean(frame.job) && frame.job.finished !== null;

/** Add a photograph, {name, blob, small}, or another painting of one. */
export function add({ name, blob, small }) {
  const frame = made({ name, blob, small, styles: [] });
  frames.unshift(frame);
  show();
  return frame;
}

/** The photograph of `frame`; undefined if this browser did not keep it. */
export async function photograph(frame) {
  frame.blob ??= await kept.get(frame.id).catch(() => undefined);
  return frame.blob;
}

/** Remember that `frame` was accepted as the job `id`, with these settings: {mix, stays, controls}. */
export async function sent(frame, id, settings) {
  Object.assign(frame, { id, styles: settings.mix.map(({ title }) => title), settings, job: undefined, done: undefined });
  write();
  update(frame);
  watch(frame);
  await kept.put(id, frame.blob).catch(() => null); // only where the page may keep pictures
}

/** Give up what is being painted of `frame`, because something else is wanted. */
export async function giveUp(frame) {
  const { id } = frame;
  Object.assign(frame, { id: undefined, job: undefined, refined: false });
  if (!id) return;
  frame.watching.abort();
  write();
  update(frame);
  await Promise.allSettled([api.erase(id), kept.delete(id)]);
}

/** Take `frame` away, here and on the server. */
export async function remove(frame) {
  const { id } = frame;
  if (!frames.includes(frame)) return;
  if (id && !confirm(_("Delete {name}, here and on the server?", { name: frame.name }))) return;
  try {
    if (id) await api.erase(id);
  } catch (error) {
    if (error.status !== 404) return say(error.message, "error");
  }
  const at = frames.indexOf(frame);
  if (at < 0) return; // it was removed meanwhile
  frames.splice(at, 1);
  frame.watching?.abort();
  write();
  if (id) {
    await kept.delete(id).catch(() => null);
    say(_("{name} is deleted, here and on the server.", { name: frame.name }));
  }
  choose(frames[Math.min(at, frames.length - 1)] ?? null);
  (chosen?.button ?? byId("choose")).focus();
}

export function choose(frame) {
  chosen = frame;
  show();
  changed(frame, false);
}

function made(known) {
  const frame = { ...known };
  frame.image = element("img", { src: known.done ?? known.small, alt: "" });
  frame.state = element("span", { className: "state" });
  frame.button = element("button", { type: "button", title: known.name, onclick: () => choose(frame) }, frame.image, frame.state);
  frame.item = element("li", {}, frame.button);
  update(frame);
  return frame;
}

function show() {
  byId("film").replaceChildren(...frames.map(({ item }) => item));
  for (const { button } of frames) button.removeAttribute("aria-current");
  chosen?.button.setAttribute("aria-current", "true");
  byId("film-none").hidden = frames.length > 0;
}

function update(frame) {
  const { item, button, job } = frame;
  item.dataset.state = job?.state ?? (frame.id ? "sent" : "photo");
  item.dataset.id = frame.id ?? "";
  frame.state.textContent = job?.state === "running" ? `${Math.round(100 * job.progress)} %` : "";
  button.ariaLabel = [frame.name, frame.styles.join(" + "), stateOf(frame)].filter(Boolean).join(" – ");
  if (frame === chosen) changed(frame, true);
}

function watch(frame) {
  frame.watching?.abort();
  frame.watching = new AbortController();
  const { signal } = frame.watching;
  const tell = (job) => signal.aborted || heard(frame, job ?? { state: "expired", finished: 0 });
  api.follow(frame.id, tell, offline, signal);
}

/** Follow `frame` again, which was finished. */
export function resumed(frame, job) {
  frame.done = undefined;
  heard(frame, job);
  watch(frame);
}

export function heard(frame, job) {
  const before = frame.job?.state;
  frame.job = job;
  update(frame);
  if (before && before !== job.state && job.finished !== null) say(`${frame.name}: ${stateOf(frame)}`, "ended");
  if (job.state === "succeeded") small(frame);
}

/** A small picture of the result, made once: results are large, and the strip is long. */
async function small(frame) {
  if (!frame.done) {
    const result = await fetch(frame.job.result).catch(() => null);
    if (result?.ok) frame.done = await thumbnail(await result.blob()).catch(() => undefined); // TIFF, perhaps
    write();
  }
  frame.image.src = frame.done ?? frame.small;
}

function offline(now) {
  if (now !== away) say(now ? new api.Unreachable().message : "", "away");
  away = now;
}
