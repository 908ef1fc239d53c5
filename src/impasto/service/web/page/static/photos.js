// Photographs come in: chosen, dropped, pasted, or taken now.

import * as camera from "./camera.js";
import { byId } from "./elements.js";
import { PHOTO, prepared, thumbnail } from "./pictures.js";
import { _, number } from "./texts.js";

let say;
let came;

async function add(files) {
  const photos = [];
  for (const file of files) {
    const name = file.name || _("Your photo");
    try {
      const { blob, from, width, height } = await prepared(file, PHOTO);
      photos.push({ name, blob, small: await thumbnail(blob) });
      if (from) {
        const values = { name, from: number(from), to: number(Math.max(width, height)) };
        say(_("{name} was reduced from {from} to {to} pixels on its long side, which is what this server takes.", values), "note");
      }
    } catch {
      say(_("{name} is not a picture that this browser can read.", { name }), "error");
    }
  }
  if (photos.length) came(photos);
}

/** Take all `files` of an event of a file input, which may take the same ones again. */
export function taken(event) {
  const files = [...event.target.files];
  event.target.value = "";
  return files;
}

/** `onPhotos` is called with photographs, [{name, blob, small}]; `onStyles` with files dropped on the styles. */
export function start(tell, onPhotos, onStyles) {
  say = tell;
  came = onPhotos;
  for (const id of ["choose", "more", "photograph"]) {
    byId(id).multiple = id !== "photograph";
    byId(id).addEventListener("change", (event) => add(taken(event)));
  }
  camera.start(add, say);
  const styles = byId("styles");
  const target = (event) => (styles.contains(event.target) ? styles : byId("easel"));
  const leave = () => document.querySelectorAll(".over").forEach((each) => each.classList.remove("over"));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    leave();
    target(event).classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? leave());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    leave();
    if (target(event) === styles) onStyles(event.dataTransfer.files);
    else add(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) add(event.clipboardData.files);
  });
}
