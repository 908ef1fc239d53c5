// Where a style applies: painted over the photograph.

import { byId } from "./elements.js";
import { _ } from "./texts.js";

const SIDE = 1024;
const TINT = "rgb(224 90 30 / 55%)";
let mask; // a canvas that is opaque where the style applies
let touched;
let photo;
let image;
let style;
let done;
let cursor;

/** `onDone` is called with the style and its mask: {photo, blob}, or null for everywhere. */
export function start(onDone) {
  done = onDone;
  const canvas = byId("canvas");
  canvas.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary) return;
    canvas.setPointerCapture(event.pointerId);
    cursor = at(event, canvas.getBoundingClientRect());
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => event.isPrimary && event.buttons && stroke(event));
  // A stroke that ends fast is no flick, after which browsers take the next tap as its end.
  canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  canvas.addEventListener("keydown", byKey);
  byId("erase").addEventListener("click", (event) => {
    event.target.ariaPressed = String(event.target.ariaPressed !== "true");
  });
  byId("opaque").addEventListener("click", fromTransparency);
  byId("invert").addEventListener("click", invert);
  byId("everywhere").addEventListener("click", () => close(null));
  byId("brush-cancel").addEventListener("click", () => byId("brush").close());
  byId("brush-done").addEventListener("click", async () => close(touched ? { photo, blob: await saved() } : style.mask));
}

/** Paint where `chosen` applies to a photograph, beginning with the mask `before` or null. */
export async function open(chosen, on, before) {
  [style, photo, touched] = [chosen, on, Boolean(before)];
  image = await createImageBitmap(photo, { imageOrientation: "from-image" });
  const factor = SIDE / Math.max(image.width, image.height); // small ones are enlarged: there is room to paint
  const size = [Math.max(16, Math.round(image.width * factor)), Math.max(16, Math.round(image.height * factor))];
  mask = new OffscreenCanvas(...size);
  if (before) restore(await createImageBitmap(before));
  const canvas = byId("canvas");
  [canvas.width, canvas.height] = size;
  cursor = { x: size[0] / 2, y: size[1] / 2 };
  byId("erase").ariaPressed = "false";
  byId("opaque").hidden = photo.type === "image/jpeg" || Boolean(chosen.stays); // which has no transparency
  byId("brush-title").textContent = chosen.stays ? chosen.title : _("Where {name} applies", { name: chosen.title });
  byId("brush-where").hidden = Boolean(chosen.stays);
  byId("brush-stays").hidden = !chosen.stays;
  draw();
  byId("brush").showModal();
  canvas.focus();
}

function close(result) {
  byId("brush").close();
  done(style, result);
}

/** Fill a canvas with one colour, by a way to combine it with what is there. */
function fill(context, colour, how) {
  context.globalCompositeOperation = how;
  context.fillStyle = colour;
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
  context.globalCompositeOperation = "source-over";
}

/** The mask as a file: white where the style applies, black elsewhere. What stays is painted where no style applies. */
function saved() {
  const made = new OffscreenCanvas(mask.width, mask.height);
  const context = made.getContext("2d");
  context.drawImage(mask, 0, 0);
  const [painted, rest] = style.stays ? ["#000", "#fff"] : ["#fff", "#000"];
  fill(context, painted, "source-in");
  fill(context, rest, "destination-over");
  return made.convertToBlob({ type: "image/png" });
}

function restore(before) {
  const context = mask.getContext("2d");
  context.drawImage(before, 0, 0, mask.width, mask.height);
  const pixels = context.getImageData(0, 0, mask.width, mask.height);
  for (let index = 0; index < pixels.data.length; index += 4) {
    pixels.data[index + 3] = style.stays ? 255 - pixels.data[index] : pixels.data[index];
  }
  context.putImageData(pixels, 0, 0);
}

/** Let the style apply where the photograph is not transparent. */
function fromTransparency() {
  const context = mask.getContext("2d");
  context.clearRect(0, 0, mask.width, mask.height);
  context.drawImage(image, 0, 0, mask.width, mask.height);
  change();
}

function invert() {
  fill(mask.getContext("2d"), "#fff", "source-out");
  change();
}

function change() {
  touched = true;
  draw();
}

const radius = () => (Number(byId("brush-size").value) / 100) * Math.min(mask.width, mask.height);

function dab({ x, y }) {
  const context = mask.getContext("2d");
  const hard = 0.99 * (1 - Number(byId("brush-soft").value)); // of the radius; a gradient of no width paints nothing
  const soft = context.createRadialGradient(x, y, radius() * hard, x, y, radius());
  soft.addColorStop(0, "rgb(255 255 255 / 100%)");
  soft.addColorStop(1, "rgb(255 255 255 / 0%)");
  context.globalCompositeOperation = byId("erase").ariaPressed === "true" ? "destination-out" : "source-over";
  context.fillStyle = soft;
  context.beginPath();
  context.arc(x, y, radius(), 0, 2 * Math.PI);
  context.fill();
  context.globalCompositeOperation = "source-over";
}

const at = (event, box) => ({
  x: ((event.clientX - box.x) * mask.width) / box.width,
  y: ((event.clientY - box.y) * mask.height) / box.height,
});

function stroke(event) {
  const box = byId("canvas").getBoundingClientRect();
  const events = event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) {
    const to = at(each, box);
    const dabs = Math.ceil(Math.hypot(to.x - cursor.x, to.y - cursor.y) / (radius() / 4)) || 1;
    for (let index = 1; index <= dabs; index += 1) {
      const share = index / dabs;
      dab({ x: cursor.x + share * (to.x - cursor.x), y: cursor.y + share * (to.y - cursor.y) });
    }
    cursor = to;
  }
  change();
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function byKey(event) {
  const step = STEPS[event.key];
  if (!step && event.key !== " ") return;
  event.preventDefault();
  if (step) {
    cursor.x = Math.min(mask.width, Math.max(0, cursor.x + (step[0] * radius()) / 2));
    cursor.y = Math.min(mask.height, Math.max(0, cursor.y + (step[1] * radius()) / 2));
    draw();
  } else {
    dab(cursor);
    change();
  }
}

/** Draw the photograph under the mask, which is tinted, and the brush. */
function draw() {
  const context = byId("canvas").getContext("2d");
  context.clearRect(0, 0, mask.width, mask.height);
  context.drawImage(mask, 0, 0);
  fill(context, TINT, "source-in");
  context.globalCompositeOperation = "destination-over";
  context.drawImage(image, 0, 0, mask.width, mask.height);
  context.globalCompositeOperation = "source-over";
  context.lineWidth = 2;
  for (const [colour, wider] of [["#000", 1], ["#fff", 0]]) {
    context.strokeStyle = colour;
    context.beginPath();
    context.arc(cursor.x, cursor.y, radius() + wider, 0, 2 * Math.PI);
    context.stroke();
  }
}

let everything;

/** A mask that lets everything through, always the same. */
export async function white() {
  const made = new OffscreenCanvas(16, 16);
  fill(made.getContext("2d"), "#fff", "source-over");
  everything ??= await made.convertToBlob({ type: "image/png" });
  return everything;
}
