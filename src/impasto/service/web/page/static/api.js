// The HTTP API of the service: see docs/openapi.json.

import { _, config, explained } from "./texts.js";

const KEY = "impasto.key";

/** The address of `path` in the API; a proxy may offer the service under a path of its own. */
export const v1 = (path) => `${config.root}/v1/${path}`;

export const key = {
  get: () => (config.auth ? localStorage.getItem(KEY) ?? "" : ""),
  set: (value) => localStorage.setItem(KEY, value),
};

/** The server said no: `code` is stable, the message is for people. */
export class Refused extends Error {
  constructor(status, body) {
    super(explained(body.code, body.detail ?? `HTTP ${status}`));
    this.status = status;
    this.code = body.code;
  }
}

/** The server did not answer. */
export class Unreachable extends Error {
  constructor() {
    super(_("The server cannot be reached. What was sent before is safe; this page goes on when the server is back."));
  }
}

async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  if (key.get()) headers.set("Authorization", `Bearer ${key.get()}`);
  const answer = await fetch(path, { ...options, headers }).catch(() => {
    throw new Unreachable();
  });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

export const json = async (path, options) => (await request(path, options)).json();
export const picture = async (path) => URL.createObjectURL(await (await request(path)).blob());
export const act = (id, what) => json(v1(`jobs/${id}/${what}`), { method: "POST" });
export const erase = (id) => request(v1(`jobs/${id}`), { method: "DELETE" });

/** A name that nobody else has. (`crypto.randomUUID` is missing where the page came over plain HTTP.) */
export const once = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

/** Send a job; the same `once` makes one job however often it is sent, so that a lost answer loses nothing. */
export async function submit(form, once) {
  for (let wait = 1; ; wait = Math.min(2 * wait, 30)) {
    try {
      return await json(v1("jobs"), { method: "POST", body: form, headers: { "Idempotency-Key": once } });
    } catch (error) {
      const later = error instanceof Unreachable || (error.status === 503 && error.code !== "backlog_full");
      if (!later || wait > 16) throw error;
      await pause(wait);
    }
  }
}

export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const over = (job) => job.finished !== null;

const MOST_STREAMS = 3; // a browser keeps six connections to a server, for all tabs
const LONGEST_SILENCE = 5000; // milliseconds; a proxy may hold back what is streamed
let streams = 0;
let streaming = true;
let followed = 0;

/**
 * Call `tell` with the job at every change, until it has ended or is gone, or `signal` is aborted; `away` says whether
 * the server answers.
 */
export async function follow(id, tell, away, signal) {
  followed += 1;
  try {
    while (!signal.aborted) {
      try {
        const job = await json(v1(`jobs/${id}`));
        away(false);
        tell(job);
        if (over(job)) return;
        const stream = job.state === "running" && !config.auth && streaming && streams < MOST_STREAMS;
        if (stream && (await events(id, tell, signal))) return;
      } catch (error) {
        if (error.status === 404 || error.status === 410) return tell(null);
        away(error instanceof Unreachable);
      }
      await pause(Math.max(1, followed / 4));
    }
  } finally {
    followed -= 1;
  }
}

/** Follow by server-sent events; false if they ended before the job, or none came for long. */
function events(id, tell, signal) {
  streams += 1;
  return new Promise((resolve) => {
    const source = new EventSource(v1(`jobs/${id}/events`));
    const stop = () => end(false);
    const silent = () => {
      streaming = false;
      stop();
    };
    let timer = setTimeout(silent, LONGEST_SILENCE);
    const end = (done) => {
      clearTimeout(timer);
      source.close();
      signal.removeEventListener("abort", stop);
      streams -= 1;
      resolve(done);
    };
    source.addEventListener("job", (event) => {
      clearTimeout(timer);
      timer = setTimeout(silent, LONGEST_SILENCE);
      const job = JSON.parse(event.data);
      tell(job);
      if (over(job)) end(true);
    });
    source.onerror = stop;
    signal.addEventListener("abort", stop);
  });
}
