// The jobs of this tab, each with its state, its progress and the frames that came.
//
// A browser opens only six connections to a server, over all its tabs, and each stream of events keeps one: a tab has
// one stream for all its jobs, which end when it does. The server knows by the end of the stream that a tab is closed.

import * as api from "./api.js";
import { tab } from "./dom.js";

const FRAMES = 60;
const PAUSE = 1500; // ms until a stream that was refused is asked for again

const jobs = new Map();
const listeners = new Set();
let stream = null; // of this tab's jobs
let watched = null; // of another tab's job that is looked at

export const unfinished = (job) => job.state === "queued" || job.state === "running";
export const mine = () => [...jobs.values()].filter((job) => job.mine);
export const known = (id) => jobs.get(id);

/** Calls `listener(job, what)` on every change; `what` is state, progress, frame or connection. Returns how to stop. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = (job, what) => listeners.forEach((listener) => listener(job, what));

function entry(id) {
  if (!jobs.has(id)) jobs.set(id, { id, state: "queued", frames: [], mine: false, lost: false });
  return jobs.get(id);
}

/** Takes over what the server says of a job. */
export function take(status) {
  const job = Object.assign(entry(status.id), status);
  tell(job, "state");
  return job;
}

/** Starts to draw; the job is this tab's, and ends with it. */
export async function draw(request) {
  return adopt({ model: request.model, ...(await api.draw(request)) });
}

/** Draws what is left of a job that was cut off. */
export async function resume(id) {
  return adopt({ ...(await api.resume(id)), error: null });
}

function adopt(status) {
  const job = entry(status.id);
  Object.assign(job, { mine: true, frames: [] });
  take(status);
  remember();
  attach();
  return job;
}

export async function cancel(id) {
  take(await api.cancel(id)); // the stream tells the rest
}

/** A finished job leaves the list of this tab; its result stays in the gallery. */
export function dismiss(id) {
  const job = jobs.get(id);
  job.mine = false;
  remember();
  tell(job, "state");
}

/** The jobs that this tab had before it was loaded anew. */
export async function recall() {
  for (const id of tab.get("jobs", [])) {
    const status = await api.status(id).catch(() => null);
    if (status) Object.assign(entry(id), status, { mine: true });
  }
  remember();
  mine().forEach((job) => tell(job, "state"));
  attach();
}

const remember = () =>
  tab.set(
    "jobs",
    mine().map((job) => job.id),
  );

/** Follows a job of another tab while it is looked at. */
export function watch(id) {
  watched?.close();
  const job = jobs.get(id);
  watched = job && unfinished(job) && !job.mine ? follow([id], false) : null;
}

/** One stream of all that is not finished, anew when a job joins; the old one goes when the new one is there. */
function attach() {
  const ids = mine()
    .filter(unfinished)
    .map((job) => job.id);
  const old = stream;
  stream = ids.length ? follow(ids, true) : null;
  if (stream && old) stream.addEventListener("open", () => old.close(), { once: true });
  else old?.close();
}

function follow(ids, attached) {
  const source = api.events(ids, attached);
  const on = (name, action) =>
    source.addEventListener(name, (event) => {
      const said = JSON.parse(event.data);
      action(entry(said.id), said);
    });
  on("state", (_, status) => take(status));
  on("progress", (job, progress) => {
    Object.assign(job, progress, { state: "running" });
    tell(job, "progress");
  });
  on("frame", (job, frame) => {
    keep(job, frame);
    tell(job, "frame");
  });
  on("end", (_, status) => {
    take(status);
    if (!ids.some((id) => unfinished(entry(id)))) source.close(); // else the browser would ask again for what is over
  });
  source.addEventListener("open", () => ids.forEach((id) => connected(entry(id), true)));
  source.addEventListener("error", () => broken(ids, source, attached));
  return source;
}

function connected(job, whether) {
  if (job.lost === !whether) return;
  job.lost = !whether;
  tell(job, "connection");
}

/** The browser tries again by itself, unless the server refused; then each job is asked after. */
function broken(ids, source, attached) {
  ids
    .map(entry)
    .filter(unfinished)
    .forEach((job) => connected(job, false));
  if (source.readyState !== EventSource.CLOSED) return;
  setTimeout(async () => {
    if (source !== stream && source !== watched) return; // another one has taken its place
    for (const id of ids) {
      const status = await api.status(id).catch((refusal) => (refusal.status === 404 ? gone(id, refusal) : null));
      if (status) take(status);
    }
    if (attached) attach();
    else watch(ids[0]);
  }, PAUSE);
}

const gone = (id, refusal) => ({
  id,
  state: "failed",
  error: `${refusal.message}: the studio was started anew meanwhile`,
});

/** Keeps the whole course in few frames: when there are too many, every second one goes. */
function keep(job, frame) {
  if (job.frames.at(-1)?.src === frame.src) return; // told again by a new stream
  job.frames.push(frame);
  if (job.frames.length > FRAMES) job.frames = job.frames.filter((_, k, all) => k % 2 === 0 || k === all.length - 1);
}
