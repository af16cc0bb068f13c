// The jobs of this tab, each with its state, its progress and the frames that came.
//
// A browser opens only six connections to a server, over all its tabs, and each stream of events keeps one. So a tab
// attaches one stream, to the first of its jobs that is not finished; the jobs behind it in the queue are asked for.

import * as api from "./api.js";
import { tab } from "./dom.js";

const FRAMES = 60;
const PAUSE = 1500; // ms between two questions after a job that has no stream

const jobs = new Map();
const listeners = new Set();
let stream = null; // { id, source } of the attached one
let watched = null; // { id, source } of another tab's job that is looked at

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
  take(await api.cancel(id));
  attach();
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

const remember = () => tab.set("jobs", mine().map((job) => job.id));

/** Follows a job of another tab while it is looked at. */
export function watch(id) {
  watched?.source.close();
  watched = null;
  const job = jobs.get(id);
  if (job && unfinished(job) && !job.mine) watched = { id, source: follow(job, api.events(id, false)) };
}

function attach() {
  if (stream) return;
  const next = mine().find(unfinished);
  if (next) stream = { id: next.id, source: follow(next, api.events(next.id, true)) };
}

function release(id) {
  if (stream?.id === id) stream = null;
  if (watched?.id === id) watched = null;
  attach();
}

function follow(job, source) {
  const on = (name, action) => source.addEventListener(name, (event) => {
    connected(job, true);
    action(JSON.parse(event.data));
  });
  on("state", take);
  on("progress", (progress) => {
    Object.assign(job, progress, { state: "running" });
    tell(job, "progress");
  });
  on("frame", (frame) => {
    keep(job, frame);
    tell(job, "frame");
  });
  on("end", (status) => {
    source.close();
    take(status);
    release(job.id);
  });
  source.addEventListener("open", () => connected(job, true));
  source.addEventListener("error", () => broken(job, source));
  return source;
}

function connected(job, whether) {
  if (job.lost === !whether) return;
  job.lost = !whether;
  tell(job, "connection");
}

/** The browser tries again by itself, unless the server refused; then its state says why. */
function broken(job, source) {
  connected(job, false);
  if (source.readyState !== EventSource.CLOSED) return;
  setTimeout(async () => {
    const status = await api.status(job.id).catch((refusal) => (refusal.status === 404 ? gone(job.id, refusal) : null));
    if (status) {
      connected(job, true);
      take(status);
    }
    release(job.id);
  }, PAUSE);
}

const gone = (id, refusal) => ({ id, state: "failed", error: refusal.message });

/** Keeps the whole course in few frames: when there are too many, every second one goes. */
function keep(job, frame) {
  job.frames.push(frame);
  if (job.frames.length > FRAMES) job.frames = job.frames.filter((_, k, all) => k % 2 === 0 || k === all.length - 1);
}

setInterval(async () => {
  for (const job of mine().filter((one) => unfinished(one) && one.id !== stream?.id)) {
    const status = await api.status(job.id).catch(() => null);
    if (status) take(status);
  }
}, PAUSE);

// A closed tab ends its work: the server sees the attached stream end; the jobs without one are cancelled here.
addEventListener("pagehide", (event) => {
  if (event.persisted) return;
  mine().filter((job) => unfinished(job) && job.id !== stream?.id).forEach((job) => api.cancelAtLast(job.id));
});
