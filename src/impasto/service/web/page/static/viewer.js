// One finished picture: before and after, every pixel, a link to pass on.

import { byId } from "./elements.js";
import { kept } from "./pictures.js";
import { _, time } from "./texts.js";

let shown;
let again;

export function start(paintAgain) {
  again = paintAgain;
  const viewer = byId("viewer");
  byId("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("close", () => byId("before").src.startsWith("blob:") && URL.revokeObjectURL(byId("before").src));
  byId("after").addEventListener("load", () => {
    byId("sides").style.setProperty("--width", `${byId("after").naturalWidth / devicePixelRatio}px`);
  });
  byId("cut").addEventListener("input", cut);
  byId("zoom").addEventListener("click", () => zoom(byId("zoom").ariaPressed !== "true"));
  byId("share").addEventListener("click", share);
  byId("again").addEventListener("click", async () => {
    viewer.close();
    again(shown.known, await photograph(shown.known));
  });
  const sides = byId("sides");
  const follow = (event) => {
    if (!event.buttons && event.type === "pointermove") return;
    const { left, width } = sides.getBoundingClientRect();
    byId("cut").value = (100 * (event.clientX - left)) / width;
    cut();
  };
  sides.addEventListener("pointerdown", follow);
  sides.addEventListener("pointermove", follow);
  // See the brush: a fast drag is no flick. Where every pixel is shown, fingers move the picture.
  const still = (event) => byId("zoom").ariaPressed === "true" || event.preventDefault();
  sides.addEventListener("touchstart", still, { passive: false });
  sides.addEventListener("dragstart", (event) => event.preventDefault());
}

const photograph = (known) => kept.get(known.id).catch(() => undefined);

/** Show the result of `job`. */
export async function view(known, job) {
  shown = { known, job };
  byId("viewer-title").textContent = `${known.name} – ${known.styles.join(" + ")}`;
  byId("viewer-said").textContent = "";
  const before = await photograph(known);
  byId("before").src = before ? URL.createObjectURL(before) : known.small;
  byId("after").src = job.result;
  byId("download").href = job.result;
  byId("again").hidden = !before;
  byId("cut").value = 50;
  cut();
  zoom(false);
  byId("viewer").showModal();
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

async function share() {
  const link = new URL(shown.job.result, location.href).href;
  const date = time(shown.job.expires);
  const said = byId("viewer-said");
  try {
    await navigator.clipboard.writeText(link);
    said.textContent = _("The link is copied. Until {date}, it downloads the picture for anybody.", { date });
  } catch {
    said.textContent = `${_("Link, good until {date}:", { date })} ${link}`;
  }
}
