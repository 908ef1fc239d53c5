// The HTTP API of the service: see docs/openapi.json.

import { config } from "./texts.js";

const KEY = "impasto.key";

export const key = {
  get: () => (config.auth ? localStorage.getItem(KEY) ?? "" : ""),
  set: (value) => localStorage.setItem(KEY, value),
};

/** The server said no: `code` is stable, the message is for people. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = body.code;
  }
}

async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  if (key.get()) headers.set("Authorization", `Bearer ${key.get()}`);
  const answer = await fetch(path, { ...options, headers });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

export const json = async (path, options) => (await request(path, options)).json();
export const picture = async (path) => URL.createObjectURL(await (await request(path)).blob());
export const act = (id, what) => json(`/v1/jobs/${id}/${what}`, { method: "POST" });
export const erase = (id) => request(`/v1/jobs/${id}`, { method: "DELETE" });

/** Send a job; the same `once` makes one job however often it is sent, so that a lost answer loses nothing. */
export async function submit(form, once) {
  for (let wait = 1; ; wait = Math.min(2 * wait, 30)) {
    try {
      return await json("/v1/jobs", { method: "POST", body: form, headers: { "Idempotency-Key": once } });
    } catch (error) {
      const later = !(error instanceof Refused) || (error.status === 503 && error.code !== "backlog_full");
      if (!later || wait > 16) throw error;
      await pause(wait);
    }
  }
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const over = (job) => job.finished !== null;

/** Call `tell` with the job at every change, until it has ended or is gone; `away` says whether the server answers. */
export async function follow(id, tell, away) {
  if (!config.auth && (await events(id, tell, away))) return;
  for (;;) {
    try {
      const job = await json(`/v1/jobs/${id}`);
      away(false);
      tell(job);
      if (over(job)) return;
    } catch (error) {
      if (error instanceof Refused && error.status < 500) return tell(null);
      away(true);
    }
    await pause(1);
  }
}

/** Follow by server-sent events; false if polling has to go on. */
function events(id, tell, away) {
  return new Promise((resolve) => {
    const source = new EventSource(`/v1/jobs/${id}/events`);
    const end = (done) => {
      source.close();
      resolve(done);
    };
    source.addEventListener("job", (event) => {
      const job = JSON.parse(event.data);
      away(false);
      tell(job);
      if (over(job)) end(true);
    });
    source.onerror = () => {
      away(!navigator.onLine || source.readyState !== EventSource.CLOSED);
      end(false);
    };
  });
}
