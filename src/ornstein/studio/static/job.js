// One job or result: its state, its progress, the frames as they come, and what came out.

import * as api from "./api.js";
import { button, el, say, seconds } from "./dom.js";
import { picture } from "./figures.js";
import { modelName } from "./files.js";
import * as jobs from "./jobs.js";
import { result } from "./result.js";

export const STATES = {
  queued: ["○", "waiting", ""],
  running: ["◐", "drawing", "chosen"],
  done: ["✓", "done", "holds"],
  failed: ["✕", "failed", "fails"],
  cancelled: ["–", "cancelled", "unsure"],
};

/** A state as a sign and a word. */
export function badge(state) {
  const [sign, word, kind] = STATES[state] ?? ["", state, ""];
  return el("span", { class: `badge ${kind}` }, `${sign} ${word}`);
}

/** Shows a job in `root`; `studio` has use(asked, model) and went(id). Returns how to stop. */
export async function show(root, id, studio) {
  const parts = {
    head: el("header", { class: "job-head" }),
    progress: el("div"),
    live: el("div"),
    trouble: el("div"),
    result: el("div"),
  };
  root.replaceChildren(...Object.values(parts));
  const kept = jobs.known(id);
  if (!kept || !jobs.unfinished(kept)) {
    if (!kept)
      parts.head.replaceChildren(
        el(
          "p",
          { class: "muted", role: "status" },
          "Opening… the figures of a result that was not looked at before are made first.",
        ),
      );
    jobs.take(await api.status(id));
  }
  const view = new JobView(parts, jobs.known(id), studio);
  const stop = jobs.listen((job, what) => job.id === id && view.update(what));
  jobs.watch(id);
  view.update("state");
  return () => {
    stop();
    jobs.watch(null);
  };
}

class JobView {
  constructor(parts, job, studio) {
    Object.assign(this, { parts, job, studio, state: null });
    this.bar = el("progress", { max: 1, "aria-label": "Progress" });
    this.text = el("p", { class: "progress-text" });
    this.replay = new Replay(job);
  }

  update(what) {
    if (what === "frame") return this.frame();
    if (what === "state" && this.changed()) this.whole();
    this.progress();
  }

  /** Whether there is more to show anew than numbers. */
  changed() {
    const { state, error, result: found } = this.job;
    const now = JSON.stringify([state, error, found]);
    const changed = now !== this.state;
    this.state = now;
    return changed;
  }

  whole() {
    const { job, parts } = this;
    const { state } = job;
    parts.head.replaceChildren(
      el("h1", {}, job.result?.model ?? modelName(job.model) ?? job.id),
      badge(state),
      el("span", { class: "muted id" }, job.id),
      ...this.cancelButton(),
    );
    parts.progress.replaceChildren(...(jobs.unfinished(job) ? [this.bar, this.text] : []));
    parts.trouble.replaceChildren(...this.trouble());
    if (state === "done" && !job.result) this.fetch();
    if (!jobs.unfinished(job)) say(`${modelName(job.model)}: ${STATES[state][1]}`);
    this.frame();
    parts.trouble.after(parts.live);
    const shown = job.result ? result(job, this.studio, parts.live) : null; // how it came stands after what came out
    parts.result.replaceChildren(...(shown ? [shown.node] : []));
    shown?.start();
  }

  /** The result of a job whose figures were not made with it: they are now. */
  async fetch() {
    const { job, parts } = this;
    if (this.fetched) return; // and were not made: the notes say why
    this.fetched = true;
    parts.result.replaceChildren(el("p", { class: "muted", role: "status" }, "The figures are made…"));
    try {
      jobs.take(await api.status(job.id));
    } catch (refusal) {
      parts.result.replaceChildren(el("p", { class: "notice error", role: "alert" }, refusal.message));
    }
  }

  cancelButton() {
    if (!jobs.unfinished(this.job)) return [];
    const stop = button(
      "Cancel",
      () => {
        stop.disabled = true;
        stop.textContent = "Cancelling…";
        jobs.cancel(this.job.id).catch((refusal) => {
          stop.disabled = false;
          this.parts.trouble.replaceChildren(el("p", { class: "notice error", role: "alert" }, refusal.message));
        });
      },
      { class: "danger small", id: "cancel" },
    );
    return [stop];
  }

  trouble() {
    const { job } = this;
    if (job.state === "done") return (job.notes ?? []).map((note) => el("p", { class: "notice" }, note));
    if (job.state !== "failed" && job.state !== "cancelled") return [];
    const text =
      job.error || (job.state === "failed" ? "It failed; the server does not say why." : "It was cancelled.");
    const rest = Boolean(job.unfinished && job.asked); // asked of the studio, which then knows how to go on
    return [
      el(
        "p",
        { class: job.state === "failed" ? "notice error" : "notice", role: "alert" },
        text,
        job.unfinished ? ` Kept: ${job.unfinished}.` : "",
      ),
      el(
        "div",
        { class: "row" },
        rest ? button("Draw the rest", (event) => this.rest(event.target), { class: "primary" }) : null,
        job.asked ? button("Use these settings", () => this.studio.use(job.asked, job.model)) : null,
      ),
    ];
  }

  async rest(pressed) {
    pressed.disabled = true;
    try {
      await jobs.resume(this.job.id);
      this.replay = new Replay(this.job);
    } catch (refusal) {
      pressed.disabled = false;
      this.parts.trouble.append(el("p", { class: "notice error", role: "alert" }, refusal.message));
    }
  }

  progress() {
    const { job } = this;
    if (!jobs.unfinished(job)) return;
    if (job.done) this.bar.value = job.done / job.total;
    else this.bar.removeAttribute("value");
    this.text.textContent = job.lost ? "The connection is lost; trying again…" : told(job);
  }

  frame() {
    const { job, parts } = this;
    if (!job.frames.length) return parts.live.replaceChildren();
    this.replay.show(!jobs.unfinished(job));
    if (this.replay.node.parentNode !== parts.live) parts.live.replaceChildren(this.replay.node);
  }
}

function told(job) {
  if (job.state === "queued") return job.place > 1 ? `Place ${job.place} in the queue` : "Next in the queue";
  if (!job.total) return `${job.stage || "Loading the model"}…`;
  const left = job.seconds_left ? ` · about ${seconds(job.seconds_left)} left` : "";
  return `${percent(job)} % · ${job.stage || "drawing"}${left}`;
}

export const percent = (job) => (job.total ? Math.floor((100 * job.done) / job.total) : 0);

/** The latest frame while they come; afterwards a slider over those that came. */
class Replay {
  constructor(job) {
    this.job = job;
    this.image = picture("", "");
    this.caption = el("figcaption");
    this.slider = el("input", { type: "range", min: 0, value: 0, "aria-label": "Frame" });
    this.slider.addEventListener("input", () => this.turn(Number(this.slider.value)));
    this.play = button("Play", () => this.run(), { class: "small" });
    this.controls = el("div", { class: "row replay" }, this.play, this.slider);
    this.title = el("h2", {}, "From noise to samples");
    this.node = el("section", { class: "live" }, this.title, el("figure", {}, this.image, this.caption), this.controls);
  }

  show(over) {
    const last = this.job.frames.length - 1;
    this.controls.hidden = this.title.hidden = !over || last < 1;
    this.slider.max = last;
    if (!this.timer) {
      this.slider.value = last;
      this.turn(last);
    }
  }

  turn(k) {
    const frame = this.job.frames[k];
    this.image.src = frame.src;
    this.image.alt = frame.alt;
    this.caption.textContent = `After ${percent(frame)} % of the work`;
    this.slider.setAttribute("aria-valuetext", this.caption.textContent);
  }

  run() {
    if (this.timer) return this.halt();
    let k = Number(this.slider.value) >= this.job.frames.length - 1 ? 0 : Number(this.slider.value);
    this.play.textContent = "Pause";
    this.timer = setInterval(() => {
      this.slider.value = k;
      this.turn(k);
      if (++k >= this.job.frames.length || !this.node.isConnected) this.halt();
    }, 100);
  }

  halt() {
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = "Play";
  }
}
