// Every option of the chosen engine, built from the schema that the server describes it with.

import { json, v1 } from "./api.js";
import { byId, element } from "./elements.js";
import { _ } from "./texts.js";

const ABOVE = new Set(["strength", "keep_colors", "stroke_size", "size"]);
let engines = [];

export function start() {
  byId("engine").addEventListener("change", show);
}

export async function load() {
  engines = (await json(v1("engines"))).engines;
  byId("engine").replaceChildren(
    ...engines.map(({ name, available }) =>
      element("option", { value: name, disabled: !available, textContent: available ? name : `${name} (${_("not installed on the server")})` }),
    ),
  );
  show();
}

const named = (wanted) => engines.find(({ name }) => name === wanted);
const chosen = () => named(engine());
const fields = () => [...byId("expert-fields").querySelectorAll("input, select")];

/** Whether an engine, by default the chosen one, has the option `name`. */
export const has = (name, of = engine()) => name in (named(of)?.options.properties ?? {});

/** Whether the server has this engine. */
export const isAvailable = (name) => Boolean(named(name)?.available);

/** Whether the default engine is chosen, without options for experts: it paints as soon as a style is chosen. */
export const isLive = () => engine() === engines[0]?.name && fields().every(({ value }) => value === "");

/** Which styles it takes: "any", or its "own" only. */
export const styleKinds = () => chosen()?.styles ?? "any";

export const engine = () => byId("engine").value;

function show() {
  const { summary, options } = chosen();
  byId("engine-note").textContent = _(summary);
  const rest = Object.entries(options.properties).filter(([name]) => !ABOVE.has(name));
  byId("expert-fields").replaceChildren(...rest.map(([name, schema]) => field(name, schema)));
  for (const name of ABOVE) byId(name).closest("label").hidden = !has(name);
}

/** The kinds that a value may have: several where it may be left out, or be a name or a number. */
const kinds = (schema) => (schema.anyOf ?? [schema]).filter(({ type }) => type !== "null");

function field(name, schema) {
  const [kind] = kinds(schema);
  const label = element("label", {}, _(name.replaceAll("_", " ")), " ", input(name, kind, schema.default));
  if (schema.description) label.append(element("span", { className: "hint", textContent: _(schema.description) }));
  return label;
}

function input(name, kind, standard) {
  const choices = kind.enum ?? (kind.type === "boolean" ? [true, false] : null);
  if (choices) {
    const empty = element("option", { value: "", textContent: `${_("default")}: ${standard ?? "–"}` });
    return element("select", { name }, empty, ...choices.map((value) => element("option", { value, textContent: value })));
  }
  const placeholder = typeof standard === "object" && standard !== null ? JSON.stringify(standard) : String(standard ?? "");
  const properties = { name, placeholder };
  if (kind.type === "number" || kind.type === "integer") {
    const least = kind.minimum ?? kind.exclusiveMinimum ?? "";
    const most = kind.maximum ?? "";
    Object.assign(properties, { type: "number", min: least, max: most, step: kind.type === "integer" ? 1 : "any" });
  }
  return element("input", properties);
}

/** Put what was chosen into `form`: what is empty keeps its default. */
export function fill(form) {
  for (const { name, value } of fields()) if (value !== "") form.append(name, value);
}
