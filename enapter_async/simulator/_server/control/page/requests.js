// The requests as they come in.

import { call } from "./api.js";
import { $, attempt, el, setText } from "./dom.js";

const SHOWN = 200;

const rows = new Map(); // by sequence number
let after = 0;
let last = 0;
let paused = false;

export function setUpRequests() {
  $("request-filter").addEventListener("input", () => rows.forEach((row) => row.filter()));
  $("request-pause").addEventListener("click", () => {
    paused = !paused;
    $("request-pause").setAttribute("aria-pressed", String(paused));
    setText($("request-pause"), paused ? "Go on" : "Pause");
  });
  $("request-clear").addEventListener("click", () =>
    attempt(async () => {
      await call("DELETE", "requests");
      clear();
    }),
  );
}

function clear() {
  rows.forEach((row) => row.element.remove());
  rows.clear();
  after = last;
  $("request-empty").hidden = false;
}

export async function refreshRequests() {
  if (paused) return;
  const response = await call("GET", `requests?after=${after}&limit=${SHOWN}`);
  if (response.last < last) {
    last = 0;
    clear();
    return; // the simulator was started again
  }
  last = response.last;
  for (const request of response.requests) {
    const row = rows.get(request.sequence) ?? new Row(request.sequence);
    row.update(request);
  }
  // What has no response yet is asked for again.
  const open = response.requests.filter((request) => request.duration === null).map((request) => request.sequence);
  after = open.length ? Math.min(...open) - 1 : last;
  for (const [sequence, row] of rows) {
    if (rows.size <= SHOWN) break;
    row.element.remove();
    rows.delete(sequence);
  }
  $("request-empty").hidden = rows.size > 0;
}

const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

class Row {
  constructor(sequence) {
    this.time = el("span", { class: "when" });
    this.method = el("span", { class: "method" });
    this.operation = el("span", { class: "operation" });
    this.status = el("span", { class: "status" });
    this.duration = el("span", { class: "duration" });
    this.fault = el("span", { class: "chip", data: { severity: "error" }, hidden: true });
    this.more = el("pre", {});
    this.element = el("details", { class: "request" },
      el("summary", {}, this.time, this.status, this.method, el("span", { class: "what" }, this.operation, this.fault), this.duration),
      this.more);
    rows.set(sequence, this);
    $("request-list").prepend(this.element);
  }

  update(request) {
    setText(this.time, time.format(new Date(request.received_at * 1000)));
    setText(this.method, request.method);
    setText(this.operation, request.operation ?? request.path);
    const broken = request.duration !== null && request.status === null;
    setText(this.status, request.status === null ? (broken ? "lost" : "…") : String(request.status));
    this.status.dataset.class = request.status === null ? (broken ? "5" : "") : String(request.status)[0];
    setText(this.duration, request.duration === null ? "" : duration(request.duration));
    setText(this.fault, request.fault === null ? "" : request.fault + (request.applied ? ", applied" : ""));
    this.fault.hidden = request.fault === null;
    const query = new URLSearchParams(Object.entries(request.query).flatMap(([name, values]) => values.map((value) => [name, value])));
    const target = query.size ? `${request.path}?${decodeURIComponent(query.toString().replaceAll("+", " "))}` : request.path;
    const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`);
    setText(this.more, [`${request.method} ${target}`, ...headers, ...(request.body ? ["", request.body] : [])].join("\n"));
    this.text = `${request.operation} ${target} ${request.status} ${request.fault ?? ""}`.toLowerCase();
    this.filter();
  }

  filter() {
    this.element.hidden = !this.text.includes($("request-filter").value.toLowerCase());
  }
}

function duration(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  return seconds >= 0.01 ? `${Math.round(seconds * 1000)} ms` : `${(seconds * 1000).toFixed(1)} ms`;
}
