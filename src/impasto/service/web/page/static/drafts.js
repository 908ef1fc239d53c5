// Drafts: a small copy of a photograph, painted at once by the fast engine as a job of its own, which is then deleted.

import * as api from "./api.js";
import { drawn } from "./pictures.js";

const SIDE = 512;
const MOST = 64;
const EVERY = 0.1; // seconds between questions
export const ENGINE = "fast";
const known = new Map(); // what is asked for -> address of the draft
let latest = null; // the last draft that was asked for
const copies = new WeakMap(); // photograph -> its small copy

/** A small copy of a photograph, made once. */
export function copy(blob) {
  if (!copies.has(blob)) copies.set(blob, reduced(blob));
  return copies.get(blob);
}

async function reduced(blob) {
  const image = await createImageBitmap(blob, { imageOrientation: "from-image" });
  const factor = Math.min(1, SIDE / Math.max(image.width, image.height));
  const size = [image.width, image.height].map((side) => Math.max(16, Math.round(side * factor)));
  const small = await drawn(image, ...size, "image/webp");
  image.close();
  return small;
}

/**
 * Send a draft, and give up the one before: {accepted, picture}, promises of its acceptance and of its address. Both are
 * null if it fails, or something else is wanted.
 */
export function begin(key, form) {
  if (latest?.key === key) return latest;
  latest?.stop.abort();
  latest = { key, stop: new AbortController(), accepted: null };
  if (known.has(key)) latest.picture = Promise.resolve(known.get(key));
  else send(latest, form);
  return latest;
}

function send(draft, form) {
  form.append("priority", "-2");
  draft.accepted = api.submit(form, api.once()).catch(() => null);
  draft.picture = draft.accepted.then((job) => job && fetched(draft.key, job.id, draft.stop.signal)).catch(() => null);
  draft.picture.then((address) => {
    if (!address && latest === draft) latest = null; // it may be tried again
  });
}

async function fetched(key, id, signal) {
  try {
    while (!signal.aborted) {
      const job = await api.json(api.v1(`jobs/${id}`));
      if (job.state === "succeeded") return keep(key, await api.picture(job.result));
      if (job.finished !== null) return null;
      await api.pause(EVERY);
    }
    return null;
  } finally {
    api.erase(id).catch(() => null);
  }
}

function keep(key, address) {
  known.set(key, address);
  if (known.size > MOST) known.delete(known.keys().next().value); // its picture may still be shown
  return address;
}
