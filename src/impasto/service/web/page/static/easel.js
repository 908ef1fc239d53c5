// The picture in the middle: the photograph, a draft, what is being painted, the result; before and after.

import * as api from "./api.js";
import { byId } from "./elements.js";
import * as film from "./film.js";
import { stateOf } from "./states.js";
import { _, time } from "./texts.js";

const SECONDS_BETWEEN_PREVIEWS = 0.5;
const MILLISECONDS_OF_FADING = 400;
const BETTER_THAN_A_DRAFT = 0.3; // progress: earlier pictures are small and blurred
let shown = null; // the frame
let photo; // its blob
let address; // of the photograph
let hung; // the job whose result is on the easel
let wanted = null; // the next preview: {frame, path, id}, of the job with this id
const turns = { before: 0, after: 0 }; // how often the picture of a side was exchanged
let refining = false;

export function start() {
  byId("cut").addEventListener("input", cut);
  byId("zoom").addEventListener("click", () => zoom(byId("zoom").ariaPressed !== "true"));
  byId("share").addEventListener("click", share);
  const sides = byId("sides");
  const follow = (event) => {
    // A finger that comes down may be about to scroll.
    const moves = event.type === "pointermove" ? event.buttons : event.pointerType !== "touch";
    if (byId("cut-part").hidden || !moves) return;
    const { left, width } = sides.getBoundingClientRect();
    byId("cut").value = (100 * (event.clientX - left)) / width;
    cut();
  };
  sides.addEventListener("pointerdown", follow);
  sides.addEventListener("pointermove", follow);
  sides.addEventListener("dragstart", (event) => event.preventDefault());
}

/** Put `frame` on the easel, or take everything off it (null). */
export async function show(frame) {
  shown = frame;
  hung = undefined;
  byId("drop").hidden = Boolean(frame);
  if (!frame) {
    photo = undefined;
    byId("painting").hidden = true;
    return;
  }
  byId("cut").value = 0;
  cut();
  zoom(false);
  said("");
  const blob = await film.photograph(frame);
  if (frame !== shown) return;
  // What is new of the same photograph begins with the picture that hangs there.
  if (frame.id || frame.draft || !blob || blob !== photo) {
    if (address) URL.revokeObjectURL(address);
    address = blob ? URL.createObjectURL(blob) : null;
    const before = address ?? frame.small;
    const isDone = frame.job?.state === "succeeded";
    if (isDone) hung = frame.id;
    const after = isDone ? frame.job.result : frame.draft ?? before;
    await Promise.all([swap("before", before), swap("after", after, frame.done ?? before)]);
  }
  if (frame !== shown) return;
  photo = blob;
  byId("painting").hidden = false;
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
  byId("easel-title").textContent = frame.styles.join(" + ") || frame.name;
  byId("easel-title").title = byId("easel-title").textContent;
  byId("easel-state").textContent = [frame.styles.length ? frame.name : "", stateOf(frame)].filter(Boolean).join(" – ");
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
  if (hung === frame.id) return; // it hangs there already
  hung = frame.id;
  await swap("after", frame.job.result, frame.done ?? frame.draft ?? frame.small); // TIFF, perhaps
}

/** Replace the picture by previews, at most two a second. */
async function refine(frame, path) {
  wanted = { frame, path, id: frame.id };
  if (refining) return;
  refining = true;
  while (wanted) {
    const next = wanted;
    wanted = null;
    const source = await api.picture(next.path).catch(() => null);
    if (source && next.frame === shown && next.frame.id === next.id && !film.isOver(next.frame)) {
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
  const turn = (turns[side] += 1);
  const next = new Image();
  next.src = source;
  const isShown = await next.decode().then(() => true, () => false);
  if (turn !== turns[side]) return; // something newer hangs, or is coming
  if (!isShown) return otherwise && swap(side, otherwise);
  const image = byId(side);
  next.id = side;
  next.alt = image.alt;
  if (side === "before") {
    image.replaceWith(next);
    byId("stage").style.setProperty("--ratio", next.naturalWidth / next.naturalHeight);
  } else {
    image.id = image.alt = "";
    image.after(next); // which fades in over the one before
    setTimeout(() => image.remove(), MILLISECONDS_OF_FADING);
  }
  byId("sides").style.setProperty("--width", `${byId("after").naturalWidth / devicePixelRatio}px`);
}

function cut() {
  byId("sides").classList.toggle("uncut", byId("cut").value === "0");
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
