// The picture in the middle: the photograph, a draft, what is being painted, the result; before and after.

import * as api from "./api.js";
import { byId } from "./elements.js";
import * as film from "./film.js";
import { stateOf } from "./states.js";
import { _, time } from "./texts.js";

const SECONDS_BETWEEN_PREVIEWS = 0.5;
const MILLISECONDS_OF_FADING = 400;
const BETTER_THAN_A_DRAFT = 0.12; // progress: earlier pictures are small and blurred
let shown = null; // the frame
let address; // of the photograph
let wanted = null; // the next preview: {frame, path}
let refining = false;

export function start() {
  byId("cut").addEventListener("input", cut);
  byId("zoom").addEventListener("click", () => zoom(byId("zoom").ariaPressed !== "true"));
  byId("share").addEventListener("click", share);
  const sides = byId("sides");
  const follow = (event) => {
    if (byId("cut-part").hidden || (!event.buttons && event.type === "pointermove")) return;
    const { left, width } = sides.getBoundingClientRect();
    byId("cut").value = (100 * (event.clientX - left)) / width;
    cut();
  };
  sides.addEventListener("pointerdown", follow);
  sides.addEventListener("pointermove", follow);
  // See the brush: a fast drag is no flick. Where every pixel is shown, or nothing is painted yet, fingers move the page.
  const still = (event) => byId("zoom").ariaPressed === "true" || byId("cut-part").hidden || event.preventDefault();
  sides.addEventListener("touchstart", still, { passive: false });
  sides.addEventListener("dragstart", (event) => event.preventDefault());
}

/** Put `frame` on the easel, or take everything off it (null). */
export async function show(frame) {
  shown = frame;
  byId("drop").hidden = Boolean(frame);
  byId("painting").hidden = !frame;
  if (address) URL.revokeObjectURL(address);
  address = null;
  if (!frame) return;
  byId("cut").value = 0;
  cut();
  zoom(false);
  said("");
  const blob = await film.photograph(frame);
  if (frame !== shown) return;
  address = blob ? URL.createObjectURL(blob) : null;
  await Promise.all([swap("before", address ?? frame.small), swap("after", address ?? frame.small)]);
  if (frame.draft && frame === shown) await swap("after", frame.draft);
  news(frame);
}

/** Show a draft of `frame` until something better comes. */
export async function draft(frame, source) {
  frame.draft = source;
  if (frame === shown && !frame.refined && !film.isOver(frame)) await swap("after", source);
  if (frame === shown) news(frame);
}

/** Show how far `frame` is. */
export function news(frame) {
  if (frame !== shown) return;
  const { job } = frame;
  byId("easel-title").textContent = [frame.name, frame.styles.join(" + ")].filter(Boolean).join(" – ");
  byId("easel-title").title = byId("easel-title").textContent;
  byId("easel-state").textContent = stateOf(frame);
  const painting = Boolean(frame.id) && !film.isOver(frame);
  byId("progress").hidden = !painting;
  byId("progress").value = job?.progress ?? 0;
  byId("progress").ariaLabel = frame.name;
  const done = job?.state === "succeeded";
  for (const id of ["download", "share", "zoom"]) byId(id).hidden = !done;
  byId("cancel").hidden = !painting;
  byId("retry").hidden = !["failed", "canceled"].includes(job?.state);
  byId("remove").hidden = painting;
  byId("cut-part").hidden = !(done || frame.draft || frame.refined);
  if (done) finished(frame);
  else if (job?.preview && job.state === "running" && (!frame.draft || job.progress > BETTER_THAN_A_DRAFT)) refine(frame, job.preview);
}

async function finished(frame) {
  byId("download").href = frame.job.result;
  if (frame.hung === frame.id) return; // it hangs there already
  frame.hung = frame.id;
  await swap("after", frame.job.result, frame.done ?? frame.draft ?? frame.small); // TIFF, perhaps
}

/** Replace the picture by previews, at most two a second. */
async function refine(frame, path) {
  wanted = { frame, path };
  if (refining) return;
  refining = true;
  while (wanted) {
    const next = wanted;
    wanted = null;
    const source = await api.picture(next.path).catch(() => null);
    if (source && next.frame === shown && !film.isOver(next.frame)) {
      next.frame.refined = true;
      await swap("after", source);
      byId("cut-part").hidden = false;
    }
    if (source) URL.revokeObjectURL(source);
    await api.pause(SECONDS_BETWEEN_PREVIEWS);
  }
  refining = false;
}

/** Exchange the picture of one side once it is decoded, so that nothing flickers. */
async function swap(side, source, otherwise = null) {
  const frame = shown;
  const next = new Image();
  next.src = source;
  try {
    await next.decode();
  } catch {
    if (otherwise) await swap(side, otherwise);
    return;
  }
  if (frame !== shown) return;
  const image = byId(side);
  next.id = side;
  next.alt = image.alt;
  image.id = image.alt = "";
  image.after(next); // which fades in over the one before
  setTimeout(() => image.remove(), MILLISECONDS_OF_FADING);
  if (side === "before") byId("stage").style.setProperty("--ratio", next.naturalWidth / next.naturalHeight);
  byId("sides").style.setProperty("--width", `${byId("after").naturalWidth / devicePixelRatio}px`);
}

function cut() {
  const share = `${byId("cut").value}%`;
  byId("sides").style.setProperty("--cut", share);
  byId("cut").setAttribute("aria-valuetext", share);
}

function zoom(pixels) {
  byId("zoom").ariaPressed = String(pixels);
  byId("stage").classList.toggle("pixels", pixels);
}

const said = (text) => (byId("easel-said").textContent = text);

async function share() {
  const link = new URL(shown.job.result, location.href).href;
  const date = time(shown.job.expires);
  try {
    await navigator.clipboard.writeText(link);
    said(_("The link is copied. Until {date}, it downloads the picture for anybody.", { date }));
  } catch {
    said(`${_("Link, good until {date}:", { date })} ${link}`);
  }
}
