// The page: from photographs and styles to jobs.

import * as api from "./api.js";
import { white } from "./brush.js";
import { byId, element } from "./elements.js";
import * as expert from "./expert.js";
import * as jobs from "./jobs.js";
import * as photos from "./photos.js";
import * as styles from "./styles.js";
import { _, config } from "./texts.js";
import * as viewer from "./viewer.js";

const ONE_AT_A_TIME = ["news", "ended", "away"];
const MOST_SAID = 6;

/** Say something: of news, ends and absences only the last is left; notes and errors stay until more is sent. */
function say(text, kind = "news") {
  const said = byId("said");
  if (ONE_AT_A_TIME.includes(kind)) said.querySelector(`.${kind}`)?.remove();
  if (text) said.prepend(element("p", { className: kind, textContent: text }));
  while (said.children.length > MOST_SAID) said.lastChild.remove();
}

function showValues() {
  for (const name of ["strength", "stroke_size"]) {
    byId(`${name}-out`).textContent = byId(name).value;
    byId(name).addEventListener("input", () => (byId(`${name}-out`).textContent = byId(name).value));
  }
}

function mixChanged(mix) {
  const own = mix.length > 0 && mix.every(({ blob }) => blob);
  byId("stroke_size").disabled = !own;
  byId("stroke-note").hidden = own;
}

async function formOf(photo) {
  const form = new FormData();
  form.append("content", photo.blob, photo.name);
  // Names first: that is the order of the weights, too.
  const mix = [...styles.styles()].sort((one, other) => Boolean(one.blob) - Boolean(other.blob));
  for (const { name, blob } of mix) {
    if (blob) form.append("style_image", blob, name);
    else form.append("style", name);
  }
  if (mix.length > 1) for (const { weight } of mix) form.append("weight", weight);
  const masks = mix.map((style) => styles.maskOn(style, photo));
  if (masks.some(Boolean)) for (const mask of masks) form.append("mask", mask ?? (await white()), "mask.png");
  form.append("engine", expert.engine());
  for (const name of ["strength", "keep_colors", "size", "stroke_size"]) {
    const field = byId(name);
    if (expert.has(name) && !field.disabled && field.value !== "") form.append(name, field.value);
  }
  const email = byId("email")?.value;
  if (email) form.append("email", email);
  expert.fill(form);
  return form;
}

/** Send a photograph; where the answer was lost, the same again does not make another job. */
async function send(photo) {
  photo.once ??= api.once();
  const form = await formOf(photo);
  try {
    return await api.submit(form, photo.once);
  } catch (error) {
    if (error.code !== "conflict") throw error;
    photo.once = api.once(); // it was accepted, but now something else is wanted
    return api.submit(form, photo.once);
  }
}

let sending = false;

async function paint(event) {
  event.preventDefault();
  if (sending) return;
  byId("said").replaceChildren();
  const waiting = [...photos.photos()];
  if (!waiting.length) return say(_("Choose a photo first."), "error");
  const [kinds, mix] = [expert.styleKinds(), styles.styles()];
  if (kinds === "own" && mix.length) {
    const text = _("The engine {engine} paints in its own style; remove the styles that you chose.", { engine: expert.engine() });
    return say(text, "error");
  }
  if (kinds !== "own" && !mix.length) return say(_("Choose a style first."), "error");
  sending = true;
  byId("paint").ariaDisabled = "true";
  const titles = mix.map(({ title }) => title);
  if (waiting.length > 1 && mix.some(({ mask }) => mask)) {
    say(_("Where a style applies was painted on one photo; on the others it applies everywhere."), "note");
  }
  let count = 0;
  for (const photo of waiting) {
    say(_("Sending {name} …", { name: photo.name }));
    try {
      const job = await send(photo);
      count += 1;
      photos.drop(photo);
      await jobs.add({ id: job.id, name: photo.name, styles: titles, small: photo.small }, photo.blob);
    } catch (error) {
      say(_("{name} was not accepted: {reason}", { name: photo.name, reason: error.message }), "error");
    }
  }
  sending = false;
  byId("paint").ariaDisabled = "false";
  say(count ? _("{count} accepted; you may leave this page, nothing is lost.", { count }) : "");
  if (count) byId("pictures").scrollIntoView();
}

async function again(known, blob) {
  await photos.add([new File([blob], known.name, { type: blob.type })]);
  byId("search").focus();
}

async function start() {
  document.documentElement.classList.replace("no-script", "script");
  document.querySelector("select[name=style]").disabled = true;
  showValues();
  mixChanged([]);
  photos.start(say, styles.show);
  styles.start(say, mixChanged);
  expert.start();
  viewer.start(again);
  byId("form").addEventListener("submit", paint);
  byId("key")?.addEventListener("change", (event) => {
    api.key.set(event.target.value);
    load();
  });
  for (const link of document.querySelectorAll("nav a")) link.addEventListener("click", leave);
  jobs.start(say);
  await load();
  if ("serviceWorker" in navigator) await navigator.serviceWorker.register(`${config.root}/sw.js`);
}

/** Another language is another page, without what was chosen on this one. */
function leave(event) {
  const question = _("Another language begins anew: the photos and styles that you chose are not kept. Change it?");
  if (photos.photos().length + styles.styles().length && !confirm(question)) event.preventDefault();
}

/** Get the gallery and the engines: as soon as the server is there, or the right key. */
async function load() {
  for (;;) {
    try {
      await styles.load();
      await expert.load();
      return say("", "away");
    } catch (error) {
      say(error.message, "away");
      if (error instanceof api.Refused) return undefined;
    }
    await api.pause(3);
  }
}

await start();
