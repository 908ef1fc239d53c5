// The gallery, one's own style pictures, and how much of each.

import { json, picture, v1 } from "./api.js";
import * as brush from "./brush.js";
import { byId, button, element } from "./elements.js";
import { taken } from "./photos.js";
import { STYLE, prepared, thumbnail } from "./pictures.js";
import { _, config } from "./texts.js";

const MOST = config.maxStyles;
const HOVER = 250; // milliseconds before a style is tried
const LOOKS = { bold: _("Bold"), drawn: _("Drawn"), soft: _("Soft"), dark: _("Dark"), pale: _("Pale") };
const staying = { title: _("What stays as in the photo"), stays: true, mask: null };
const mix = [];
const shown = new Map(); // image of a style that shows a draft -> its own source
let gallery = [];
let look = "";
let say;
let changed;
let tried;
let photo = null;

/** The chosen styles: [{name, title, weight, small, blob, mask}]; those of the gallery have no blob and nothing small. */
export const styles = () => mix;

const paintedOn = ({ mask }, blob) => (mask?.photo === blob ? mask.blob : null);

/** The mask of `style` on the photograph `blob`, its own or what stays for all, if one was painted on this photograph. */
export const maskOn = (style, blob) => paintedOn(style, blob) ?? paintedOn(staying, blob);

/** Whether a mask was painted on any photograph. */
export const isMasked = () => [staying, ...mix].some(({ mask }) => mask);

/** `onChange` is called when something else is to be painted; `onTry` with a name, to have a draft's address or null. */
export function start(tell, onChange, onTry) {
  say = tell;
  changed = onChange;
  tried = onTry;
  brush.start((style, mask) => {
    const before = style.mask;
    style.mask = mask;
    show();
    const row = byId("mix").children[mix.indexOf(style)];
    (row?.querySelector("button:not(.remove)") ?? byId("stays")).focus();
    if (before !== mask) changed();
  });
  byId("stays").addEventListener("click", () => paintWhere(staying));
  byId("own-style").addEventListener("change", (event) => addOwn(taken(event)));
  byId("search").addEventListener("input", search);
  byId("search").addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
}

/** The photograph `blob` is on the easel, or none (null): brushes paint on it, and it was not tried in other styles. */
export function on(blob) {
  if (blob === photo) return;
  for (const [image, source] of shown) image.src = source;
  shown.clear();
  photo = blob;
  show();
}

/** The mask of what stays in all styles: {photo, blob}, or null. */
export const stays = () => staying.mask;

/** Choose these styles and what stays, as `styles` and `stays` have them, instead of those that are chosen. */
export function choose(others, mask) {
  staying.mask = mask;
  mix.splice(0, mix.length, ...others.map((style) => ({ ...style })));
  show();
}

/** Get the gallery; with the wrong key there is none. */
export async function load() {
  gallery = (await json(v1("styles"))).styles;
  byId("gallery").replaceChildren(...gallery.map(card));
  const looks = Object.keys(LOOKS).filter((each) => gallery.some((style) => style.look === each));
  byId("looks").replaceChildren(...["", ...looks].map(chip));
  byId("looks").hidden = looks.length < 2;
  show();
}

function chip(name) {
  const choose = () => {
    look = name;
    for (const each of byId("looks").children) each.ariaPressed = String(each.value === look);
    search();
  };
  return button(LOOKS[name] ?? _("All"), choose, { value: name, ariaPressed: String(name === look) });
}

function card(style) {
  const source = config.auth ? "" : style.thumbnail;
  // An image that gets its source before it is lazy is sometimes loaded at once.
  const image = element("img", { loading: "lazy", src: source, alt: "", width: 160, height: 120 });
  if (config.auth) picture(style.thumbnail).then((url) => (image.src = url)).catch(() => null);
  const label = element("span", {}, element("b", { textContent: _(style.title) }), ` ${_(style.artist)} ${style.year}`);
  const made = button("", () => toggle(style), { aria: { pressed: "false" }, dataset: { name: style.name }, title: _(style.title) });
  made.append(image, label);
  let waiting;
  made.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") waiting = setTimeout(() => tryOn(style, image), HOVER);
  });
  made.addEventListener("pointerleave", () => clearTimeout(waiting));
  return element("li", {}, made);
}

/** Show the style on one's own photograph. */
async function tryOn(style, image) {
  const on = photo;
  const draft = await tried(style.name);
  if (!draft || on !== photo) return;
  if (!shown.has(image)) shown.set(image, image.src);
  image.src = draft;
}

function toggle(style) {
  const at = mix.findIndex((each) => each.name === style.name && !each.blob);
  if (at >= 0) mix.splice(at, 1);
  else if (!put({ name: style.name, title: _(style.title) })) return;
  show();
  changed();
}

/** Add pictures of one's own as styles. */
export async function addOwn(files) {
  for (const file of files) {
    try {
      const { blob } = await prepared(file, STYLE);
      put({ name: file.name, title: file.name, small: await thumbnail(blob), blob });
    } catch {
      say(_("{name} is not a picture that this browser can read.", { name: file.name }), "error");
    }
  }
  show();
  changed();
}

function put(style) {
  const fits = mix.length < MOST;
  if (fits) mix.push({ weight: 1, ...style });
  else say(_("At most {most} styles can be mixed; remove one first.", { most: MOST }), "error");
  return fits;
}

function show() {
  for (const made of byId("gallery").querySelectorAll("button")) {
    made.ariaPressed = String(mix.some((style) => !style.blob && style.name === made.dataset.name));
  }
  byId("mix-part").hidden = mix.length === 0;
  byId("mix-hint").hidden = mix.length < 2;
  byId("mix").replaceChildren(...mix.map(row));
  byId("stays").textContent = paintedOn(staying, photo) ? _("Keep a part as in the photo (painted)") : _("Keep a part as in the photo");
  showShares();
}

function showShares() {
  const whole = mix.reduce((sum, { weight }) => sum + weight, 0);
  for (const [at, { weight }] of mix.entries()) {
    byId("mix").children[at].querySelector(".share").textContent = `${Math.round((100 * weight) / whole)} %`;
  }
}

function row(style) {
  const share = element("output", { className: "share", hidden: mix.length === 1 });
  const slider = element("input", {
    type: "range", min: 0.05, max: 1, step: 0.05, value: style.weight,
    ariaLabel: _("How much of {name}", { name: style.title }), hidden: mix.length === 1,
    oninput: (event) => {
      style.weight = Number(event.target.value);
      showShares();
    },
    onchange: () => changed(),
  });
  const remove = () => {
    mix.splice(mix.indexOf(style), 1);
    show();
    const cards = [...byId("gallery").querySelectorAll("button")];
    (cards.find(({ dataset }) => dataset.name === style.name) ?? cards[0]).focus({ preventScroll: true });
    changed();
  };
  const title = _("Where {name} applies", { name: style.title });
  const text = paintedOn(style, photo) ? _("Where it applies (in part)") : _("Where it applies");
  const where = button(text, () => paintWhere(style), { ariaLabel: title });
  const label = _("Remove {name}", { name: style.title });
  const close = button("×", remove, { ariaLabel: label, className: "remove" });
  return element("li", {}, element("img", { src: style.small ?? swatchOf(style), alt: "" }), element("span", { textContent: style.title }), share, close, slider, where);
}

const swatchOf = ({ name }) => byId("gallery").querySelector(`[data-name="${CSS.escape(name)}"] img`)?.src ?? "";

function paintWhere(style) {
  if (photo) brush.open(style, photo, paintedOn(style, photo));
  else say(_("Choose a photo first: the brush paints on it."), "error");
}

function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const [index, item] of [...byId("gallery").children].entries()) {
    const style = gallery[index];
    const { name, title, artist, year } = style;
    const text = `${name} ${title} ${artist} ${year} ${_(title)} ${_(artist)}`.toLowerCase();
    item.hidden = !words.every((word) => text.includes(word)) || !(look === "" || style.look === look);
    found += !item.hidden;
  }
  if (!found) say(_("No style of this name, artist or year."));
}
