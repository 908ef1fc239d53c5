// The texts of the page, in its language, and what the server told about itself.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const texts = read("texts");

export const config = read("config");

/** The text `key`, with `values` for the names in braces. */
export function t(key, values = {}) {
  return texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** What an error with this stable code means and what to do, and the `detail` that the server gave, in English. */
export function explained(code, detail) {
  const text = texts.errors[code];
  return text ? `${text} (${detail})` : detail;
}

/** In the language of the page: what the server has in English, of the gallery and of the options. */
export const named = (text) => texts.names[text] ?? text;

/** A number as people here write it. */
export const number = (value) => new Intl.NumberFormat(document.documentElement.lang).format(value);

/** A time, given in seconds since 1970. */
export const time = (seconds) =>
  new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" }).format(1000 * seconds);
