// The texts of the page, in its language, and what the server told about itself.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const { messages, states, explanations } = read("texts");

export const config = read("config");

/** `text` in the language of the page, or in English where it is not translated, with `values` for names in braces. */
export function _(text, values = {}) {
  return (messages[text] ?? text).replace(/\{(\w+)\}/g, (braces, name) => values[name] ?? braces);
}

/** The state of a job as people read it. */
export const state = (name, values) => _(states[name], values);

/** What an error with this stable code means and what to do, and the `detail` that the server gave, in English. */
export function explained(code, detail) {
  const text = explanations[code];
  return text ? `${_(text)} (${detail})` : detail;
}

/** A number as people here write it. */
export const number = (value) => new Intl.NumberFormat(document.documentElement.lang).format(value);

/** A time, given in seconds since 1970. */
export const time = (seconds) =>
  new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" }).format(1000 * seconds);
