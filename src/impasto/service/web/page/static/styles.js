// The gallery, one's own style pictures, and how much of each.

import { json, picture, v1 } from "./api.js";
import * as brush from "./brush.js";
import { byId, button, element } from "./elements.js";
import { photos } from "./photos.js";
import { STYLE, prepared, thumbnail } from "./pictures.js";
import { _, config } from "./texts.js";

const MOST = config.maxStyles;
const mix = [];
let gallery = [];
let say;
let changed;

/** The chosen styles: [{name, title, weight, small, blob, mask}]; those of the gallery have no blob. */
export const styles = () => mix;

/** The mask of `style` on `photo`, if one was painted: it is of no use on another photograph. */
export const maskOn = (style, photo) => (style.mask?.photo === photo ? style.mask.blob : null);

export function start(tell, onChange) {
  say = tell;
  changed = onChange;
  brush.start((style, mask) => {
    style.mask = mask;
    show();
    byId("mix").children[mix.indexOf(style)].querySelector("button").focus();
  });
  byId("own-style").addEventListener("change", async (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    for (const file of files) await addOwn(file);
  });
  byId("search").addEventListener("input", search);
  byId("search").addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
}

/** Get the gallery; with the wrong key there is none. */
export async function load() {
  gallery = (await json(v1("styles"))).styles;
  byId("gallery").replaceChildren(...gallery.map(card));
}

function card(style) {
  const source = config.auth ? "" : style.thumbnail;
  const image = element("img", { src: source, alt: "", loading: "lazy", width: 160, height: 120 });
  if (config.auth) picture(style.thumbnail).then((url) => (image.src = url)).catch(() => null);
  const label = element("span", {}, element("b", { textContent: _(style.title) }), ` ${_(style.artist)} ${style.year}`);
  const made = button("", () => toggle(style, image.src), { aria: { pressed: "false" }, dataset: { name: style.name } });
  made.append(image, label);
  return element("li", {}, made);
}

function toggle(style, small) {
  const at = mix.findIndex((each) => each.name === style.name && !each.blob);
  if (at >= 0) mix.splice(at, 1);
  else put({ name: style.name, title: _(style.title), small });
  show();
}

async function addOwn(file) {
  try {
    const { blob } = await prepared(file, STYLE);
    put({ name: file.name, title: file.name, small: await thumbnail(blob), blob });
    show();
  } catch {
    say(_("{name} is not a picture that this browser can read.", { name: file.name }), "error");
  }
}

function put(style) {
  if (mix.length === MOST) say(_("At most {most} styles can be mixed; remove one first.", { most: MOST }), "error");
  else mix.push({ weight: 1, ...style });
}

export function show() {
  for (const made of byId("gallery").querySelectorAll("button")) {
    made.ariaPressed = String(mix.some((style) => !style.blob && style.name === made.dataset.name));
  }
  byId("mix-part").hidden = mix.length === 0;
  byId("mix").replaceChildren(...mix.map(row));
  changed(mix);
}

function row(style) {
  const slider = element("input", {
    type: "range", min: 0.05, max: 1, step: 0.05, value: style.weight,
    ariaLabel: _("How much of {name}", { name: style.title }), hidden: mix.length === 1,
    oninput: (event) => (style.weight = Number(event.target.value)),
  });
  const remove = () => {
    mix.splice(mix.indexOf(style), 1);
    show();
    byId("search").focus();
  };
  const title = _("Where {name} applies", { name: style.title });
  const masked = photos().some((photo) => maskOn(style, photo));
  const where = button(masked ? _("Where it applies (painted)") : _("Where it applies"), () => paintWhere(style), { ariaLabel: title });
  const label = _("Remove {name}", { name: style.title });
  const close = button("×", remove, { ariaLabel: label, className: "remove" });
  return element("li", {}, element("img", { src: style.small, alt: "" }), element("span", { textContent: style.title }), slider, where, close);
}

function paintWhere(style) {
  const [photo] = photos();
  if (photo) brush.open(style, photo, maskOn(style, photo));
  else say(_("Choose a photo first: the brush paints on it."), "error");
}

function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const [index, item] of [...byId("gallery").children].entries()) {
    const { name, title, artist, year } = gallery[index];
    const text = `${name} ${title} ${artist} ${year} ${_(title)} ${_(artist)}`.toLowerCase();
    item.hidden = !words.every((word) => text.includes(word));
    found += !item.hidden;
  }
  if (!found) say(_("No style of this name, artist or year."));
}
