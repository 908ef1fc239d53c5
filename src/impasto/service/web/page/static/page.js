// The page: from photographs and styles to jobs.

import * as api from "./api.js";
import { white } from "./brush.js";
import { byId, element } from "./elements.js";
import * as expert from "./expert.js";
import * as jobs from "./jobs.js";
import * as photos from "./photos.js";
import * as styles from "./styles.js";
import { t } from "./texts.js";
import * as viewer from "./viewer.js";

/** Say something: news follow each other, and one of the `kind` "away" is replaced by the next of its kind. */
function say(text, kind = "news") {
  const said = byId("said");
  if (kind === "away") said.querySelector(".away")?.remove();
  if (text) said.prepend(element("p", { className: kind, textContent: text }));
  while (said.children.length > 3) said.lastChild.remove();
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
  if (mix.some(({ mask }) => mask)) for (const { mask } of mix) form.append("mask", mask ?? (await white()), "mask.png");
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

const OWN_STYLE = ["transformer", "texture-net"];

async function paint(event) {
  event.preventDefault();
  const waiting = [...photos.photos()];
  if (!waiting.length) return say(t("need_photo"), "error");
  if (!styles.styles().length && !OWN_STYLE.includes(expert.engine())) return say(t("need_style"), "error");
  byId("paint").disabled = true;
  const named = styles.styles().map(({ title }) => title);
  let count = 0;
  for (const photo of waiting) {
    say(t("sending", { name: photo.name }));
    try {
      const job = await api.submit(await formOf(photo), crypto.randomUUID());
      await jobs.add({ id: job.id, name: photo.name, styles: named, small: photo.small }, photo.blob);
      count += 1;
    } catch (error) {
      const away = !(error instanceof api.Refused);
      say(t("not_sent", { name: photo.name, reason: away ? t("offline") : error.message }), "error");
    }
  }
  byId("paint").disabled = false;
  if (count) {
    say(t("sent", { count }));
    photos.clear();
    byId("pictures").scrollIntoView();
  }
}

async function again(known, blob) {
  photos.clear();
  await photos.add([new File([blob], known.name, { type: blob.type })]);
  byId("search").focus();
}

async function start() {
  document.documentElement.classList.replace("no-script", "script");
  document.querySelector("select[name=style]").disabled = true;
  showValues();
  mixChanged([]);
  photos.start(say);
  viewer.start(again);
  byId("form").addEventListener("submit", paint);
  byId("key")?.addEventListener("change", async (event) => {
    api.key.set(event.target.value);
    await loaded(styles.load, expert.load);
  });
  jobs.start(say);
  await loaded(() => styles.start(say, mixChanged), expert.start);
  if ("serviceWorker" in navigator) await navigator.serviceWorker.register("/sw.js");
}

async function loaded(...parts) {
  try {
    for (const part of parts) await part();
  } catch (error) {
    say(error instanceof api.Refused ? error.message : t("offline"), "error");
  }
}

await start();
