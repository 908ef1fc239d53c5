// The photographs that are to be painted: chosen, dropped, pasted, or taken now.

import { byId, button, element } from "./elements.js";
import { prepared, thumbnail } from "./pictures.js";
import { number, t } from "./texts.js";

const chosen = [];
let say;

/** The photographs: [{name, blob}]. */
export const photos = () => chosen;

export async function add(files) {
  for (const file of files) {
    try {
      const photo = { name: file.name || "photo", ...(await prepared(file)) };
      photo.small = await thumbnail(photo.blob);
      if (photo.from) {
        const sizes = { from: number(photo.from), to: number(Math.max(photo.width, photo.height)) };
        say(t("reduced", { name: photo.name, ...sizes }));
      }
      chosen.push(photo);
    } catch {
      say(t("not_a_picture", { name: file.name }), "error");
    }
  }
  show();
}

export function clear() {
  chosen.length = 0;
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
        button("×", () => remove(photo), { ariaLabel: t("remove", { name: photo.name }), className: "remove" }),
      ),
    ),
  );
}

function remove(photo) {
  chosen.splice(chosen.indexOf(photo), 1);
  show();
  byId("choose").focus();
}

export function start(tell) {
  say = tell;
  byId("choose").multiple = true;
  for (const id of ["choose", "photograph"]) {
    byId(id).addEventListener("change", async (event) => {
      const files = [...event.target.files];
      event.target.value = "";
      await add(files);
    });
  }
  const drop = byId("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) add(event.clipboardData.files);
  });
}
