// The devices, and one of them in a dialog.

import { call, devicePath } from "./api.js";
import { $, Chart, POINTS, attempt, el, formatValue, setText } from "./dom.js";

const PAGE = 24;
const STATES = { ONLINE: "Online", OFFLINE: "Offline", UNKNOWN: "Unknown" };

const cards = new Map();
let siteNames = new Map();
let limit = PAGE;
let opened = null; // ID of the device in the dialog
let openedParts = new Map();

export function setUpDevices() {
  $("device-search").addEventListener("input", refresh);
  $("device-site").addEventListener("change", refresh);
  $("device-more").addEventListener("click", () => {
    limit += PAGE;
    refresh();
  });
  const dialog = $("device-dialog");
  $("dialog-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    opened = null;
    openedParts = new Map();
  });
  for (const radio of dialog.querySelectorAll("input[name=connectivity]")) {
    radio.addEventListener("change", () => change("PATCH", devicePath(opened), { connectivity: radio.value }));
  }
  $("alert-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await change("PUT", devicePath(opened, "alerts", $("alert-name").value.trim()), {})) event.target.reset();
  });
}

export async function loadSites() {
  const { sites } = await call("GET", "sites");
  siteNames = new Map(sites.map((site) => [site.id, site.name]));
  const chosen = $("device-site").value;
  $("device-site").replaceChildren(
    el("option", { value: "" }, "All sites"),
    ...sites.map((site) => el("option", { value: site.id }, site.name)),
  );
  $("device-site").value = sites.some((site) => site.id === chosen) ? chosen : "";
}

let asked = 0;

export async function refreshDevices() {
  const query = new URLSearchParams({ telemetry: "headline", limit, samples: POINTS });
  if ($("device-search").value) query.set("search", $("device-search").value);
  if ($("device-site").value) query.set("site_id", $("device-site").value);
  const number = ++asked;
  const { devices, total } = await call("GET", `devices?${query}`);
  if (number !== asked) return; // a newer search is on its way
  setText($("device-count"), String(total));
  $("device-empty").hidden = total > 0;
  $("device-more").hidden = total <= devices.length;
  const seen = new Set(devices.map((device) => device.id));
  for (const [id, card] of cards) {
    if (!seen.has(id)) {
      card.element.remove();
      cards.delete(id);
    }
  }
  const grid = $("device-grid");
  for (const [place, device] of devices.entries()) {
    const card = cards.get(device.id) ?? new Card(device);
    cards.set(device.id, card);
    card.update(device);
    // An element that is moved loses the focus, so it stays where its place is the right one.
    if (grid.children[place] !== card.element) grid.insertBefore(card.element, grid.children[place] ?? null);
  }
  if (opened !== null) await refreshDialog();
}

const refresh = () => attempt(refreshDevices);

async function change(method, path, body) {
  const done = await attempt(() => call(method, path, body));
  await refresh();
  return done;
}

function label(reading) {
  return reading.unit ? `${reading.display_name} (${reading.unit})` : reading.display_name;
}

class Card {
  constructor(device) {
    this.id = device.id;
    this.readings = new Map();
    this.name = el("button", { type: "button", class: "name", onclick: () => openDialog(this.id) });
    this.kind = el("p", { class: "muted small" });
    this.power = el("button", { type: "button", class: "pill toggle", onclick: () => this.toggle() });
    this.alerts = el("ul", { class: "chips", "aria-label": "Raised alerts" });
    this.values = el("div", { class: "readings" });
    this.element = el(
      "article",
      { class: "card device" },
      el("div", { class: "device-head" }, el("div", { class: "titles" }, el("h3", {}, this.name), this.kind), this.power),
      this.values,
      this.alerts,
    );
  }

  toggle() {
    const connectivity = this.connectivity === "ONLINE" ? "OFFLINE" : "ONLINE";
    change("PATCH", devicePath(this.id), { connectivity });
  }

  update(device) {
    this.connectivity = device.connectivity;
    this.element.dataset.state = device.connectivity;
    setText(this.name, device.name);
    setText(this.kind, [device.slug, siteNames.get(device.site_id)].filter(Boolean).join(" · "));
    setText(this.power, STATES[device.connectivity]);
    this.power.dataset.state = device.connectivity;
    this.power.setAttribute("aria-label", `${device.name}: ${STATES[device.connectivity]}`);
    this.power.title = device.connectivity === "ONLINE" ? "Take offline" : "Bring online";
    const raised = device.alerts.filter((alert) => alert.raised);
    const names = JSON.stringify(raised.map((alert) => alert.name));
    if (this.alertNames !== names) {
      this.alertNames = names;
      this.alerts.replaceChildren(
        ...raised.map((alert) =>
          el("li", { class: "chip", data: { severity: alert.severity } }, alert.display_name,
            el("button", {
              type: "button", "aria-label": `Clear ${alert.display_name}`, title: "Clear",
              onclick: () => change("DELETE", devicePath(this.id, "alerts", alert.name)),
            }, "✕")),
        ),
      );
    }
    device.telemetry.forEach((reading) => this.#show(reading, device.connectivity));
  }

  #show(reading, connectivity) {
    let parts = this.readings.get(reading.name);
    if (parts === undefined) {
      parts = { value: el("span", { class: "number" }), chart: new Chart() };
      this.readings.set(reading.name, parts);
      this.values.append(
        el("div", { class: "reading" },
          el("span", { class: "reading-name", title: label(reading) }, reading.display_name),
          el("span", { class: "value" }, parts.value, el("span", { class: "unit-name" }, reading.unit ?? "")),
          parts.chart.element),
      );
      if (reading.samples !== null && connectivity === "ONLINE") parts.chart.fill(reading.samples.slice(0, -1));
    }
    const online = connectivity === "ONLINE";
    setText(parts.value, online ? formatValue(reading.value) : "–");
    parts.chart.push(online ? reading.value : null);
  }
}

async function openDialog(id) {
  opened = id;
  $("dialog-alerts").replaceChildren();
  $("dialog-values").replaceChildren();
  if (await attempt(refreshDialog)) $("device-dialog").showModal();
}

async function refreshDialog() {
  const id = opened;
  const { device } = await call("GET", `${devicePath(id)}?samples=${POINTS}`);
  if (opened !== id) return;
  setText($("dialog-title"), device.name);
  setText($("dialog-subtitle"), [device.blueprint, siteNames.get(device.site_id), device.id].filter(Boolean).join(" · "));
  for (const radio of document.querySelectorAll("#device-dialog input[name=connectivity]")) {
    radio.checked = radio.value === device.connectivity;
  }
  device.alerts.forEach((alert) => showAlert(id, alert));
  device.telemetry.forEach((reading) => showValue(id, reading, device.connectivity === "ONLINE"));
}

function showAlert(id, alert) {
  let box = openedParts.get(`alert ${alert.name}`);
  if (box === undefined) {
    box = el("input", {
      type: "checkbox", role: "switch",
      onchange: () => change(box.checked ? "PUT" : "DELETE", devicePath(id, "alerts", alert.name), box.checked ? {} : undefined),
    });
    openedParts.set(`alert ${alert.name}`, box);
    $("dialog-alerts").append(
      el("li", {}, el("label", { class: "switch" }, box, el("span", {}, alert.display_name),
        el("span", { class: "chip", data: { severity: alert.severity } }, alert.severity))),
    );
  }
  box.checked = alert.raised;
}

function showValue(id, reading, online) {
  let parts = openedParts.get(`value ${reading.name}`);
  if (parts === undefined) {
    const path = devicePath(id, "telemetry", reading.name);
    const input = el("input", { "aria-label": `New value of ${reading.display_name}`, placeholder: "set", spellcheck: false, autocomplete: "off" });
    parts = {
      value: el("span", { class: "number" }),
      chart: reading.samples === null ? null : new Chart(),
      restore: el("button", { type: "button", class: "quiet", onclick: () => change("DELETE", path) }, "Simulate"),
    };
    openedParts.set(`value ${reading.name}`, parts);
    parts.chart?.fill(reading.samples.slice(0, -1));
    $("dialog-values").append(
      el("li", {},
        el("div", { class: "value-name" }, el("span", {}, reading.display_name), el("code", { class: "muted small" }, reading.name)),
        parts.chart?.element ?? el("span", {}),
        el("span", { class: "value" }, parts.value, el("span", { class: "unit-name" }, reading.unit ?? "")),
        el("form", {
          class: "set",
          onsubmit: async (event) => {
            event.preventDefault();
            if (input.value !== "" && (await change("PUT", path, { value: parse(input.value) }))) input.value = "";
          },
        }, input, parts.restore)),
    );
  }
  setText(parts.value, online ? formatValue(reading.value) : "–");
  parts.value.title = JSON.stringify(reading.value);
  parts.restore.hidden = !reading.overridden;
  parts.chart?.push(online ? reading.value : null);
}

// Numbers, true, lists: as JSON; anything else is a text.
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
