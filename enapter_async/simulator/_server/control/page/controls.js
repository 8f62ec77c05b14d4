// Faults, limits, the clock, and the state.

import { call } from "./api.js";
import { $, attempt, el, setText, toast } from "./dom.js";

const PROXY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";
const FAULTS = [
  ["503 Service unavailable", { kind: "answer", status: 503 }],
  ["500 Internal server error", { kind: "answer", status: 500 }],
  ["502 page of a proxy", { kind: "answer", status: 502, content_type: "text/html", body: PROXY }],
  ["429 Too many requests, retry in 5 s", { kind: "answer", status: 429, headers: { "Retry-After": "5" } }],
  ["404 Not found", { kind: "answer", status: 404 }],
  ["401 Unauthorized", { kind: "answer", status: 401 }],
  ["Connection reset", { kind: "reset" }],
  ["Connection closed without a response", { kind: "close" }],
  ["Silence for 30 s", { kind: "hang", seconds: 30 }],
  ["Response delayed by 3 s", { kind: "delay", seconds: 3 }],
  ["Body cut off after 20 bytes", { kind: "truncate", count: 20 }],
  ["Body byte by byte", { kind: "drip", seconds: 0.1 }],
];

const rules = new Map(); // by number

export function setUpControls() {
  FAULTS.forEach(([name], index) => $("fault-kind").append(el("option", { value: index }, name)));
  $("fault-form").addEventListener("submit", (event) => {
    event.preventDefault();
    addFault();
  });
  $("limit-form").addEventListener("submit", (event) => {
    event.preventDefault();
    applyLimits();
  });
  for (const button of document.querySelectorAll("[data-advance]")) {
    button.addEventListener("click", () => changeClock({ advance: Number(button.dataset.advance) }));
  }
  $("clock-freeze").addEventListener("click", () => changeClock({ frozen: $("clock-freeze").getAttribute("aria-pressed") !== "true" }));
  $("clock-reset").addEventListener("click", () => changeClock({ offset: 0, frozen: false }));
  $("state-save").addEventListener("click", () => attempt(saveState));
  $("state-load").addEventListener("click", () => $("state-file").click());
  $("state-file").addEventListener("change", () => attempt(loadState, "State loaded"));
  $("state-reset").addEventListener("click", () => {
    if (confirm("Go back to the world, settings and clock of the start?")) {
      attempt(async () => {
        await call("POST", "reset", {});
        await loadLimits();
      }, "Reset");
    }
  });
}

export async function loadOperations() {
  const { operations } = await call("GET", "operations");
  $("operations").replaceChildren(...operations.map((item) => el("option", { value: item.id }, `${item.method} ${item.path}`)));
}

// Faults

async function addFault() {
  const times = $("fault-times").value;
  const body = {
    operation: $("fault-operation").value.trim() || null,
    times: times === "" ? null : Number(times),
    when: $("fault-when").value,
    fault: FAULTS[Number($("fault-kind").value)][1],
  };
  await attempt(() => call("POST", "faults", body));
  await attempt(refreshFaults);
}

export async function refreshFaults() {
  const { faults } = await call("GET", "faults");
  const active = faults.filter((fault) => fault.remaining !== 0);
  const seen = new Set(active.map((fault) => fault.number));
  for (const fault of active) {
    let parts = rules.get(fault.number);
    if (parts === undefined) {
      const count = el("span", { class: "muted small" });
      const element = el("li", {},
        el("div", { class: "rule" }, el("strong", {}, fault.operation ?? fault.path ?? "any operation"),
          el("span", { class: "chip", data: { severity: "error" } }, fault.name + (fault.when === "after" ? ", applied" : "")), count),
        el("button", {
          type: "button", class: "quiet", "aria-label": `Remove fault ${fault.number}`,
          onclick: async () => {
            await attempt(() => call("DELETE", `faults/${fault.number}`));
            await attempt(refreshFaults);
          },
        }, "Remove"));
      parts = { element, count };
      rules.set(fault.number, parts);
      $("fault-list").append(element);
    }
    setText(parts.count, fault.remaining === null ? `every request, ${fault.seen} so far` : `${fault.remaining} left`);
  }
  for (const [number, parts] of rules) {
    if (!seen.has(number)) {
      parts.element.remove();
      rules.delete(number);
    }
  }
}

// Limits

export async function loadLimits() {
  const { settings } = await call("GET", "settings");
  showLimits(settings);
}

function showLimits(settings) {
  $("limit-rate").value = settings.rate_limit ?? "";
  $("limit-burst").value = settings.burst ?? "";
  $("limit-latency").value = Math.round(settings.latency[0] * 1e6) / 1e3;
  $("limit-faults").value = Math.round(settings.fault_rate * 1e6) / 1e4;
}

async function applyLimits() {
  const number = (id) => ($(id).value === "" ? null : Number($(id).value));
  await attempt(async () => {
    const { settings } = await call("PATCH", "settings", {
      rate_limit: number("limit-rate"),
      burst: number("limit-burst"),
      latency: (number("limit-latency") ?? 0) / 1000,
      fault_rate: (number("limit-faults") ?? 0) / 100,
    });
    showLimits(settings);
  }, "Limits applied");
}

// The clock

export async function refreshClock() {
  const { clock } = await call("GET", "clock");
  showClock(clock);
}

function showClock(clock) {
  const [day, time] = clock.now.slice(0, 19).split("T");
  setText($("clock-now"), `${day} ${time} UTC`);
  $("clock-now").dateTime = clock.now;
  $("clock-freeze").setAttribute("aria-pressed", String(clock.frozen));
  setText($("clock-freeze"), clock.frozen ? "Run" : "Freeze");
  const ahead = Math.abs(clock.offset) >= 1 ? `${clock.offset > 0 ? "+" : "−"}${span(Math.abs(clock.offset))}` : "";
  $("clock-state").hidden = !clock.frozen && !ahead;
  setText($("clock-state"), clock.frozen ? "frozen" : ahead);
}

function span(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  let rest = Math.round(seconds);
  const words = [];
  for (const [size, unit] of parts) {
    if (rest >= size) words.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return words.slice(0, 2).join(" ");
}

function changeClock(body) {
  return attempt(async () => showClock((await call("PATCH", "clock", body)).clock));
}

// State

async function saveState() {
  const state = await call("GET", "state");
  const url = URL.createObjectURL(new Blob([JSON.stringify(state, null, 1)], { type: "application/json" }));
  const link = el("a", { href: url, download: "simulator-state.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  toast("State saved");
}

async function loadState() {
  const [file] = $("state-file").files;
  $("state-file").value = "";
  let state;
  try {
    state = JSON.parse(await file.text());
  } catch {
    throw new Error("The file is not JSON.");
  }
  await call("PUT", "state", state);
  await loadLimits();
}
