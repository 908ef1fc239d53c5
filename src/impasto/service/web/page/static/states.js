// How far a painting is, as people read it.

import { _, explained, number, state } from "./texts.js";

const KNOWN = 0.1; // progress from which on the time that is left is known well enough

/** The state of `frame` of the film strip; empty if it was not sent. */
export function stateOf({ id, job }) {
  if (!job) return id ? state("sent") : "";
  if (job.state === "queued") return job.position ? state("queued", { ahead: number(job.position) }) : state("queued_next");
  if (job.state === "failed") return state("failed", { reason: explained(job.error.code, job.error.text) });
  if (job.state !== "running") return state(job.state);
  const done = state("running", { percent: Math.round(100 * job.progress) });
  const left = job.seconds_left;
  if (left === null || job.progress < KNOWN) return done;
  if (left < 90) return `${done} – ${_("about {seconds} s left", { seconds: Math.ceil(left) })}`;
  return `${done} – ${_("about {minutes} min left", { minutes: Math.round(left / 60) })}`;
}
