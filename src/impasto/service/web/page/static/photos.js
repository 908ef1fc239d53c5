// The photographs that are to be painted: chosen, dropped, pasted, or taken now.

import * as camera from "./camera.js";
import { byId, button, element } from "./elements.js";
import { PHOTO, prepared, thumbnail } from "./pictures.js";
import { _, number } from "./texts.js";

const chosen = [];
let say;
let changed;

/** The photographs: [{name, blob, small}]. */
export const photos = () => chosen;

export async function add(files) {
  for (const file of files) {
    try {
      const photo = { name: file.name || _("Your photo"), ...(await prepared(file, PHOTO)) };
      photo.small = await thumbnail(photo.blob);
      if (photo.from) {
        const values = { name: photo.name, from: number(photo.from), to: number(Math.max(photo.width, photo.height)) };
        say(_("{name} was reduced from {from} to {to} pixels on its long side, which is what this server takes.", values), "note");
      }
      chosen.push(photo);
    } catch {
      say(_("{name} is not a picture that this browser can read.", { name: file.name || _("Your photo") }), "error");
    }
  }
  show();
}

/** Take a photograph away: it is sent, or not wanted. */
export function drop(photo) {
  chosen.splice(chosen.indexOf(photo), 1);
  show();
}

function show() {
  byId("choose").required = chosen.length === 0;
  byId("chosen").replaceChildren(
    ...chosen.map((photo) =>
      element(
        "li",
        {},
        element("img", { src: photo.small, alt: photo.name }),
        button("×", () => remove(photo), { ariaLabel: _("Remove {name}", { name: photo.name }), className: "remove" }),
      ),
    ),
  );
  changed();
}

function remove(photo) {
  drop(photo);
  byId("choose").focus();
}

export function start(tell, onChange) {
  say = tell;
  changed = onChange;
  byId("choose").multiple = true;
  for (const id of ["choose", "photograph"]) {
    byId(id).addEventListener("change", async (event) => {
      const files = [...event.target.files];
      event.target.value = "";
      await add(files);
    });
  }
  camera.start(add, say);
  const target = byId("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? target.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    target.classList.remove("over");
    add(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) add(event.clipboardData.files);
  });
}
