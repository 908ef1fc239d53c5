// Where a style applies: painted over the photograph.

import { byId } from "./elements.js";
import { t } from "./texts.js";

const SIDE = 1024;
const TINT = "rgb(224 90 30 / 55%)";
let mask;
let photo;
let style;
let done;
let cursor;

export function start(onDone) {
  done = onDone;
  const canvas = byId("canvas");
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && stroke(event));
  canvas.addEventListener("keydown", byKey);
  byId("erase").addEventListener("click", (event) => {
    event.target.ariaPressed = String(event.target.ariaPressed !== "true");
  });
  byId("opaque").addEventListener("click", fromTransparency);
  byId("everywhere").addEventListener("click", () => close(null));
  byId("brush-done").addEventListener("click", async () => close(await mask.convertToBlob({ type: "image/png" })));
}

/** Paint where `chosen` applies to the photograph in `blob`. */
export async function open(chosen, blob) {
  style = chosen;
  photo = await createImageBitmap(blob, { imageOrientation: "from-image" });
  const factor = Math.min(1, SIDE / Math.max(photo.width, photo.height));
  const size = [Math.max(16, Math.round(photo.width * factor)), Math.max(16, Math.round(photo.height * factor))];
  mask = new OffscreenCanvas(...size);
  const context = mask.getContext("2d");
  context.fillRect(0, 0, ...size);
  if (chosen.mask) context.drawImage(await createImageBitmap(chosen.mask), 0, 0, ...size);
  const canvas = byId("canvas");
  [canvas.width, canvas.height] = size;
  cursor = { x: size[0] / 2, y: size[1] / 2 };
  byId("erase").ariaPressed = "false";
  byId("brush-title").textContent = t("where_of", { name: chosen.title });
  draw();
  byId("brush").showModal();
  canvas.focus();
}

/** Let the style apply where the photograph is not transparent. */
function fromTransparency() {
  const { width, height } = mask;
  const opaque = new OffscreenCanvas(width, height);
  const white = opaque.getContext("2d");
  white.drawImage(photo, 0, 0, width, height);
  white.globalCompositeOperation = "source-in";
  white.fillStyle = "#fff";
  white.fillRect(0, 0, width, height);
  const context = mask.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.drawImage(opaque, 0, 0);
  draw();
}

function close(blob) {
  style.mask = blob;
  byId("brush").close();
  done();
}

const radius = () => (Number(byId("brush-size").value) / 100) * Math.min(mask.width, mask.height);

function dab() {
  const context = mask.getContext("2d");
  const { x, y } = cursor;
  const colour = byId("erase").ariaPressed === "true" ? "0 0 0" : "255 255 255";
  const hard = 0.99 * (1 - Number(byId("brush-soft").value)); // of the radius; a gradient of no width paints nothing
  const soft = context.createRadialGradient(x, y, radius() * hard, x, y, radius());
  soft.addColorStop(0, `rgb(${colour} / 100%)`);
  soft.addColorStop(1, `rgb(${colour} / 0%)`);
  context.fillStyle = soft;
  context.beginPath();
  context.arc(x, y, radius(), 0, 2 * Math.PI);
  context.fill();
}

function stroke(event) {
  const box = byId("canvas").getBoundingClientRect();
  for (const each of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
    cursor = { x: ((each.clientX - box.x) * mask.width) / box.width, y: ((each.clientY - box.y) * mask.height) / box.height };
    dab();
  }
  draw();
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function byKey(event) {
  const step = STEPS[event.key];
  if (!step && event.key !== " ") return;
  event.preventDefault();
  if (step) {
    cursor.x = Math.min(mask.width, Math.max(0, cursor.x + (step[0] * radius()) / 2));
    cursor.y = Math.min(mask.height, Math.max(0, cursor.y + (step[1] * radius()) / 2));
  } else {
    dab();
  }
  draw();
}

function draw() {
  const { width, height } = mask;
  const tint = new OffscreenCanvas(width, height);
  const tinted = tint.getContext("2d");
  // White becomes opaque, black transparent: then only what is white takes the tint.
  const pixels = mask.getContext("2d").getImageData(0, 0, width, height);
  for (let at = 0; at < pixels.data.length; at += 4) pixels.data[at + 3] = pixels.data[at];
  tinted.putImageData(pixels, 0, 0);
  tinted.globalCompositeOperation = "source-in";
  tinted.fillStyle = TINT;
  tinted.fillRect(0, 0, width, height);
  const context = byId("canvas").getContext("2d");
  context.clearRect(0, 0, width, height);
  context.drawImage(photo, 0, 0, width, height);
  context.drawImage(tint, 0, 0);
  context.lineWidth = 2;
  for (const [colour, wider] of [["#000", 1], ["#fff", 0]]) {
    context.strokeStyle = colour;
    context.beginPath();
    context.arc(cursor.x, cursor.y, radius() + wider, 0, 2 * Math.PI);
    context.stroke();
  }
}

/** A mask that lets everything through. */
export function white() {
  const made = new OffscreenCanvas(16, 16);
  const context = made.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, 16, 16);
  return made.convertToBlob({ type: "image/png" });
}
