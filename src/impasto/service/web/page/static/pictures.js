// Pictures before they are sent: turned upright and, if they are larger than the server takes, reduced.

import { config } from "./texts.js";

const QUALITY = 0.92;

/** What a photograph may have, and a style picture: together with masks they have to fit into one request. */
export const PHOTO = { maxSide: Math.min(config.maxSide, config.maxSize), maxBytes: 0.7 * config.maxBytes };
export const STYLE = { maxSide: 2048, maxBytes: 0.06 * config.maxBytes };

/** A file of what `image` shows, in the size that is asked for. */
export async function drawn(image, width, height, type, quality = QUALITY) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return canvas.convertToBlob({ type, quality });
}

/** What is sent of `file`: {blob, width, height, from}; `from` is its long side before, if it was reduced. */
export async function prepared(file, { maxSide, maxBytes }) {
  const image = await createImageBitmap(file, { imageOrientation: "from-image" });
  const { width, height } = image;
  const share = Math.min(1, maxSide / Math.max(width, height), Math.sqrt(config.maxPixels / (width * height)));
  if (share === 1 && file.size <= maxBytes) {
    image.close();
    return { blob: file, width, height, from: null };
  }
  const asItIs = file.type === "image/jpeg" || (file.type === "image/png" && file.size <= maxBytes);
  const type = asItIs ? file.type : "image/webp"; // which is small and keeps transparency
  for (let factor = share; ; factor *= 0.8) {
    const size = [Math.floor(width * factor), Math.floor(height * factor)];
    const blob = await drawn(image, ...size, type);
    if (blob.size <= maxBytes) {
      const from = factor < 1 ? Math.max(width, height) : null;
      image.close();
      return { blob, width: size[0], height: size[1], from };
    }
  }
}

/** A small picture as a data URL. */
export async function thumbnail(blob, side = 240) {
  const image = await createImageBitmap(blob, { imageOrientation: "from-image" });
  const factor = Math.min(1, side / Math.max(image.width, image.height));
  const size = [Math.max(1, Math.round(image.width * factor)), Math.max(1, Math.round(image.height * factor))];
  const small = await drawn(image, ...size, "image/jpeg", 0.8);
  image.close();
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(small);
  });
}

const CACHE = "impasto-photos";
const address = (id) => `/photos/${id}`;

/** Photographs that were sent, kept in this browser for the comparison; nowhere else. */
export const kept = {
  put: async (id, blob) => (await caches.open(CACHE)).put(address(id), new Response(blob)),
  get: async (id) => (await (await caches.open(CACHE)).match(address(id)))?.blob(),
  delete: async (id) => (await caches.open(CACHE)).delete(address(id)),
  /** Delete those of all other jobs. */
  only: async (ids) => {
    const cache = await caches.open(CACHE);
    const wanted = new Set(ids.map(address));
    for (const { url } of await cache.keys()) if (!wanted.has(new URL(url).pathname)) await cache.delete(url);
  },
};
