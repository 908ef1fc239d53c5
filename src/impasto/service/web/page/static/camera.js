// A photograph taken on a desk; a phone's own camera answers to a file input.

import { byId } from "./elements.js";
import { drawn } from "./pictures.js";
import { _ } from "./texts.js";

const MOST = 4096; // pixels: whatever the camera has

/** `add` is called with the file that was taken. */
export function start(add, say) {
  const camera = byId("camera");
  const finder = byId("finder");
  let opening = false;
  byId("webcam").hidden = !navigator.mediaDevices; // there are none without HTTPS
  byId("webcam").addEventListener("click", async () => {
    if (opening) return; // a second click would open a second one
    opening = true;
    try {
      const video = { width: { ideal: MOST }, height: { ideal: MOST } };
      finder.srcObject = await navigator.mediaDevices.getUserMedia({ video });
      byId("shutter").disabled = true;
      camera.showModal();
    } catch {
      say(_("There is no camera, or this browser may not use it."), "error");
    } finally {
      opening = false;
    }
  });
  finder.addEventListener("loadeddata", () => (byId("shutter").disabled = false));
  byId("shutter").addEventListener("click", async () => {
    byId("shutter").disabled = true;
    const blob = await drawn(finder, finder.videoWidth, finder.videoHeight, "image/jpeg");
    camera.close();
    add([new File([blob], `${_("Your photo")}.jpg`, { type: blob.type })]);
  });
  byId("camera-cancel").addEventListener("click", () => camera.close());
  camera.addEventListener("close", () => {
    for (const track of finder.srcObject.getTracks()) track.stop();
    finder.srcObject = null;
  });
}
