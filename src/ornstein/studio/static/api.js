// The server's HTTP interface: one function a request. What fails is a Refusal with the server's own words.

import { tab } from "./dom.js";

/** What the server, or the way to it, refused: `flag` names the field, such as "--label". */
export class Refusal extends Error {
  constructor(message, flag = null, status = 0) {
    super(message);
    this.flag = flag;
    this.status = status;
  }
}

/** This tab among all that draw: the queue is fair between tabs. */
const owner =
  tab.get("owner") ?? Array.from(crypto.getRandomValues(new Uint32Array(3)), (x) => x.toString(16)).join("");
tab.set("owner", owner);

let askForToken = async () => {
  throw new Refusal("a token is needed", null, 401);
};

/** Says what to do where the server wants a token: an async function that logs in. */
export function onTokenWanted(ask) {
  let asking = null; // several requests may be refused at once: one dialog
  askForToken = () => (asking ??= ask().finally(() => (asking = null)));
}

async function call(method, path, body) {
  const headers = { "X-Owner": owner };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refusal("the server does not answer: is `ornstein studio` still running?");
  }
  if (response.status === 401 && path !== "/v1/login") {
    await askForToken();
    return call(method, path, body);
  }
  return answer(response.status, await response.text());
}

function answer(status, text) {
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    // no JSON: told below by its status
  }
  if (status < 400) return value;
  throw new Refusal(value?.error ?? `the server answered ${status}`, value?.flag ?? null, status);
}

const at = (id, rest = "") => `/v1/samples/${encodeURIComponent(id)}${rest}`;

export const models = () => call("GET", "/v1/models");
export const form = (model) => call("GET", `/v1/form?model=${encodeURIComponent(model)}`);
export const data = () => call("GET", "/v1/data");
export const login = (token) => call("POST", "/v1/login", { token });
export const draw = (request) => call("POST", "/v1/samples", request);
export const status = (id) => call("GET", at(id));
export const cancel = (id) => call("DELETE", at(id));
export const resume = (id) => call("POST", at(id, "/resume"));
export const evaluate = (id) => call("POST", at(id, "/evaluation"));
export const trust = (id) => call("POST", at(id, "/trust"));
export const backdrop = (model, field, given) => call("POST", "/v1/backdrop", { model, field, given });
export const hand = (model, field, given, marks) => call("POST", "/v1/hand", { model, field, given, marks });
export const archive = (id) => at(id, "/archive.zip");

export function earlier(limit, before) {
  const query = new URLSearchParams({ limit, ...(before ? { before } : {}) });
  return call("GET", `/v1/samples?${query}`);
}

export const forget = (file) => call("DELETE", `/v1/files/${encodeURIComponent(file.replace(/^file:/, ""))}`);

/** The stream of the events of jobs. `attached`: they are this tab's, and end with it. */
export function events(ids, attached) {
  const query = new URLSearchParams([...ids.map((id) => ["job", id]), ...(attached ? [["attached", "1"]] : [])]);
  return new EventSource(`/v1/events?${query}`);
}

/** Sends a file as it is; fetch tells no progress of that, XMLHttpRequest does. Returns { done, stop }. */
export function upload(file, about, onProgress) {
  const query = new URLSearchParams({ name: file.name, ...about });
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", `/v1/files?${query}`);
    request.setRequestHeader("X-Owner", owner);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener(
      "progress",
      (event) => event.lengthComputable && onProgress(event.loaded / event.total),
    );
    request.addEventListener("load", () => {
      try {
        resolve(answer(request.status, request.responseText));
      } catch (refusal) {
        reject(refusal);
      }
    });
    request.addEventListener("abort", () => reject(new Refusal("cancelled")));
    request.addEventListener("error", () => reject(new Refusal(`${file.name}: the way to the server broke off`)));
    request.send(file);
  });
  return { done, stop: () => request.abort() };
}
