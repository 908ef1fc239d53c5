// The page: what is chosen is painted, on the photograph on the easel at once, on others when asked.

import * as api from "./api.js";
import { white } from "./brush.js";
import * as drafts from "./drafts.js";
import * as easel from "./easel.js";
import { byId, element } from "./elements.js";
import * as expert from "./expert.js";
import * as film from "./film.js";
import * as photos from "./photos.js";
import * as styles from "./styles.js";
import { _, config } from "./texts.js";

const ONE_AT_A_TIME = ["news", "ended", "away"];
const MOST_SAID = 6;
const SOON = 100; // milliseconds: what is changed together is painted together
const SLIDERS = ["strength", "stroke_size"];
const CONTROLS = [...SLIDERS, "keep_colors"];

/** Say something: of news, ends and absences only the last is left; notes and errors stay until more is sent. */
function say(text, kind = "news") {
  const said = byId("said");
  if (ONE_AT_A_TIME.includes(kind)) said.querySelector(`.${kind}`)?.remove();
  if (text) said.prepend(element("p", { className: kind, textContent: text }));
  while (said.children.length > MOST_SAID) said.lastChild.remove();
}

/** The form of a job: `content` in the `mix` of styles by `engine`. */
async function formOf(content, name, mix, engine, masks = []) {
  const form = new FormData();
  form.append("content", content, name);
  for (const { name: style, blob } of mix) {
    if (blob) form.append("style_image", blob, style);
    else form.append("style", style);
  }
  if (mix.length > 1) for (const { weight } of mix) form.append("weight", weight);
  if (masks.some(Boolean)) for (const mask of masks) form.append("mask", mask ?? (await white()), "mask.png");
  form.append("engine", engine);
  for (const control of CONTROLS) if (expert.has(control, engine)) form.append(control, byId(control).value);
  return form;
}

/** The chosen styles, names first: that is the order of the weights, too. */
const mixOf = () => [...styles.styles()].sort((one, other) => Boolean(one.blob) - Boolean(other.blob));

let lastNumber = 0;
const numbers = new WeakMap(); // picture -> a number that stands for it
function numberOf(picture) {
  if (picture && !numbers.has(picture)) numbers.set(picture, (lastNumber += 1));
  return picture ? numbers.get(picture) : 0;
}

/** What a form asks for, as a text: its fields, and numbers that stand for the pictures of which it was made. */
function wishOf(form, frame, mix, masks) {
  const pictures = [frame.blob, ...mix.map(({ blob }) => blob), ...masks].map(numberOf);
  return JSON.stringify([pictures, ...[...form].filter(([, value]) => typeof value === "string")]);
}

/** The form of the final painting of `frame`, and what it asks for. */
async function finalForm(frame) {
  const mix = mixOf();
  const masks = mix.map((style) => styles.maskOn(style, frame.blob));
  const form = await formOf(frame.blob, frame.name, mix, expert.engine(), masks);
  if (expert.has("size") && byId("size").value) form.append("size", byId("size").value);
  expert.fill(form);
  return { form, wish: wishOf(form, frame, mix, masks) };
}

/** A draft of `frame` in `mix`: see `drafts.begin`; null where the server has no engine for it. */
async function draftOf(frame, mix, masks) {
  if (!expert.isAvailable(drafts.ENGINE)) return null;
  const copy = await drafts.copy(frame.blob);
  const form = await formOf(copy, frame.name, mix, drafts.ENGINE, masks);
  // Smaller strokes of a style of the gallery need more than its code.
  if (form.has("stroke_size")) form.set("stroke_size", Math.max(1, Number(byId("stroke_size").value)));
  return drafts.begin(wishOf(form, frame, mix, masks), form);
}

/** Send `frame`; where the answer was lost, the same again does not make another job. */
async function send(frame, form) {
  frame.once ??= api.once();
  try {
    return await api.submit(form, frame.once);
  } catch (error) {
    if (error.code !== "conflict") throw error;
    frame.once = api.once(); // it was accepted, but now something else is wanted
    return api.submit(form, frame.once);
  }
}

/** Paint `frame` as everything is set now; what was being painted of it is given up. False if it was not accepted. */
async function paint(frame, { mail = false } = {}) {
  const turn = (frame.turn = (frame.turn ?? 0) + 1);
  const isWanted = () => frame.turn === turn;
  await frame.sending;
  if (!isWanted()) return true;
  frame.sending = sendNow(frame, mail, isWanted);
  const isAccepted = await frame.sending;
  if (isWanted()) frame.sending = undefined;
  return isAccepted;
}

async function sendNow(frame, mail, isWanted) {
  const settings = settingsNow();
  try {
    const { form, wish } = await finalForm(frame);
    if (mail && byId("email")?.value) form.append("email", byId("email").value);
    frame.wish = wish;
    await film.giveUp(frame);
    say("", "ended");
    if (frame === film.current() && expert.isLive()) {
      const mix = mixOf();
      const draft = await draftOf(frame, mix, mix.map((style) => styles.maskOn(style, frame.blob)));
      draft?.picture.then((source) => source && isWanted() && easel.draft(frame, source));
      await draft?.accepted; // the worker takes it first
    }
    if (!isWanted()) return true;
    const job = await send(frame, form);
    frame.once = undefined;
    await film.sent(frame, job.id, settings);
    return true;
  } catch (error) {
    say(_("{name} was not accepted: {reason}", { name: frame.name, reason: error.message }), "error");
    return false;
  }
}

const settingsNow = () => ({
  mix: styles.styles().map((style) => ({ ...style })),
  stays: styles.stays(),
  controls: Object.fromEntries(CONTROLS.map((name) => [name, byId(name).value])),
});

/** Set everything as it was for a painting. */
function restore({ mix, stays, controls }) {
  styles.choose(mix, stays);
  for (const name of CONTROLS) byId(name).value = controls[name];
  SLIDERS.forEach(showValue);
}

function showValue(name) {
  const { value } = byId(name);
  byId(`${name}-out`).textContent = name === "strength" ? `${Math.round(100 * value)} %` : `× ${value}`;
}

let timer;

/** Something else is wanted of the photograph on the easel. */
function soon() {
  clearTimeout(timer);
  timer = setTimeout(now, SOON);
}

async function now() {
  const frame = film.current();
  if (!frame || !styles.styles().length || expert.styleKinds() === "own" || !expert.isLive()) return;
  if ((await film.photograph(frame)) && !(await isPainted(frame))) await paint(onNewFrame(frame));
}

/** Whether `frame` is being sent or painted, or is painted, as everything is set now. */
async function isPainted(frame) {
  const lost = ["failed", "canceled", "expired"].includes(frame.job?.state);
  return Boolean(frame.id || frame.sending) && !lost && frame.wish === (await finalForm(frame)).wish;
}

/** The frame itself, or another one of its photograph if it has a finished painting, which stays. */
function onNewFrame(frame) {
  if (frame.job?.state !== "succeeded") return frame;
  const next = film.add(frame);
  film.choose(next);
  return next;
}

/** Paint the photograph on the easel, and all that wait. */
async function paintAll(event) {
  event.preventDefault();
  if (byId("paint").ariaDisabled === "true") return;
  byId("paint").ariaDisabled = "true";
  try {
    await paintWaiting();
  } finally {
    byId("paint").ariaDisabled = "false";
  }
}

async function paintWaiting() {
  clearTimeout(timer);
  byId("said").replaceChildren();
  const current = film.current();
  const [kinds, mix] = [expert.styleKinds(), styles.styles()];
  if (!current) return say(_("Choose a photo first."), "error");
  if (kinds === "own" && mix.length) {
    const text = _("The engine {engine} paints in its own style; remove the styles that you chose.", { engine: expert.engine() });
    return say(text, "error");
  }
  if (kinds !== "own" && !mix.length) return say(_("Choose a style first."), "error");
  const others = film.waiting().filter((frame) => frame !== current);
  if (others.length && styles.isMasked()) {
    say(_("Where a style applies was painted on one photo; on the others it applies everywhere."), "note");
  }
  if (!(await film.photograph(current))) return say(_("This browser did not keep the photo; choose it again."), "error");
  const isWanted = Boolean(byId("email")?.value) || !(await isPainted(current));
  if (!isWanted && !others.length) return say(_("It is painted like this already."));
  let count = isWanted ? 0 : 1; // what is being painted already was accepted, too
  for (const frame of isWanted ? [onNewFrame(current), ...others] : others) {
    say(_("Sending {name} …", { name: frame.name }));
    count += await paint(frame, { mail: true });
  }
  say(count ? _("{count} accepted; you may leave this page, nothing is lost.", { count }) : "");
}

/** Another frame is on the easel, or it has news. */
async function frameChanged(frame, isNews) {
  if (isNews) {
    showCount();
    return easel.news(frame);
  }
  easel.show(frame);
  if (frame?.settings) restore(frame.settings);
  byId("choose").required = !frame;
  showCount();
  const blob = frame && (await film.photograph(frame));
  if (frame !== film.current()) return;
  styles.on(blob ?? null);
  if (blob) drafts.copy(blob).catch(() => null); // it will be wanted soon
  if (frame && !frame.id) soon();
}

function showCount() {
  const count = film.waiting().length;
  byId("paint").textContent = count > 1 ? _("Paint all {count}", { count }) : _("Paint");
}

function photosCame(chosen) {
  const frames = chosen.toReversed().map(film.add);
  film.choose(frames.at(-1));
}

/** A draft of the photograph on the easel in one style of the gallery, while nothing is painted of it. */
async function tried(name) {
  const frame = film.current();
  if (!frame?.blob || frame.sending || (frame.id && !film.isOver(frame))) return null;
  return (await draftOf(frame, [{ name }], [styles.maskOn({}, frame.blob)]))?.picture;
}

const actions = {
  cancel: async (frame) => film.heard(frame, await api.act(frame.id, "cancel")),
  retry: async (frame) => film.resumed(frame, await api.act(frame.id, "retry")),
  remove: async (frame) => {
    frame.turn = (frame.turn ?? 0) + 1; // what is being sent is not wanted any more
    await frame.sending;
    await film.remove(frame);
  },
};

function act(event) {
  actions[event.target.id](film.current()).catch((error) => say(error.message, "error"));
}

/** Another language is another page, without what was chosen on this one. */
function leave(event) {
  const question = _("Another language begins anew: the photos and styles that you chose are not kept. Change it?");
  if (film.waiting().length + styles.styles().length && !confirm(question)) event.preventDefault();
}

/** Get the gallery and the engines: as soon as the server is there, or the right key. */
async function load() {
  for (;;) {
    try {
      await Promise.all([expert.load(), styles.load()]);
      if (film.current() && !film.current().id) soon(); // it was dropped before
      return say("", "away");
    } catch (error) {
      say(error.message, "away");
      if (error instanceof api.Refused) return undefined;
    }
    await api.pause(3);
  }
}

async function start() {
  document.querySelector("select[name=style]").disabled = true;
  for (const name of SLIDERS) {
    byId(name).addEventListener("input", () => showValue(name));
    showValue(name);
  }
  for (const name of CONTROLS) byId(name).addEventListener("change", soon);
  for (const name of Object.keys(actions)) byId(name).addEventListener("click", act);
  photos.start(say, photosCame, styles.addOwn);
  styles.start(say, soon, tried);
  expert.start();
  easel.start();
  byId("form").addEventListener("submit", paintAll);
  byId("key")?.addEventListener("change", (event) => {
    api.key.set(event.target.value);
    load();
  });
  for (const link of document.querySelectorAll("nav a")) link.addEventListener("click", leave);
  film.start(say, frameChanged);
  await load();
  if ("serviceWorker" in navigator) await navigator.serviceWorker.register(`${config.root}/sw.js`);
}

await start();
