// Starts the page and keeps it up to date.

import { call, setToken, takeToken } from "./api.js";
import { $, Chart, attempt, setText, toast } from "./dom.js";
import { loadLimits, loadOperations, refreshClock, refreshFaults, setUpControls } from "./controls.js";
import { loadSites, refreshDevices, setUpDevices } from "./devices.js";
import { refreshRequests, setUpRequests } from "./requests.js";

const INTERVAL = 1000;

const rate = new Chart("Requests per second in the last minute");
let timer = null;
let before = null; // status and time of the last look
let apiToken = null;

$("stat-chart").append(rate.element);
setUpControls();
setUpDevices();
setUpRequests();

for (const button of document.querySelectorAll("#tabs button")) {
  button.addEventListener("click", () => {
    document.body.dataset.view = button.dataset.view;
    for (const other of document.querySelectorAll("#tabs button")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "page");
  });
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value.trim());
  start();
});

$("copy-token").addEventListener("click", () => attempt(() => navigator.clipboard.writeText(apiToken), "API token copied"));

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && timer !== null) tick();
});

async function start() {
  try {
    await refreshStatus();
  } catch (error) {
    connection("bad", error.status === 401 ? "Signed out" : "No response");
    return signIn(error.status === 401 ? "This token is not the right one." : error.message);
  }
  $("sign-in").hidden = true;
  $("main").hidden = false;
  $("tabs").hidden = false;
  await attempt(() => Promise.all([loadSites(), loadOperations(), loadLimits()]));
  tick();
}

function signIn(message) {
  $("sign-in").hidden = false;
  $("main").hidden = true;
  $("tabs").hidden = true;
  setText($("sign-in-error"), message);
  $("token").focus();
}

async function tick() {
  clearTimeout(timer);
  timer = setTimeout(tick, INTERVAL);
  if (document.hidden) return;
  try {
    await Promise.all([refreshStatus(), refreshDevices(), refreshRequests(), refreshFaults(), refreshClock()]);
    connection("ok", "Live");
  } catch (error) {
    if (error.status === 401) {
      clearTimeout(timer);
      timer = null;
      connection("bad", "Signed out");
      signIn("The simulator was started again: open the address that it printed.");
    } else if (error.status === null) connection("bad", "No response");
    else if (error.status !== 404) toast(error.message, "bad"); // 404: a device that is shown was removed meanwhile
  }
}

function connection(state, text) {
  $("connection").dataset.state = state;
  setText($("connection"), text);
}

async function refreshStatus() {
  const { status } = await call("GET", "status");
  const now = performance.now();
  apiToken = status.token;
  setText($("address"), `${status.url} · ${status.mode === "any" ? "Cloud and Gateway" : status.mode === "cloud" ? "Cloud" : "Gateway"} · seed ${status.seed}`);
  setText($("base-url"), status.url);
  if (before !== null && now > before.now + 200) {
    const perSecond = Math.max(0, ((status.requests - before.requests) * 1000) / (now - before.now));
    setText($("stat-rate"), perSecond >= 10 ? perSecond.toFixed(0) : perSecond.toFixed(1));
    rate.push(perSecond);
  }
  before = { requests: status.requests, now };
  setText($("stat-requests"), status.requests.toLocaleString("en"));
  setText($("stat-in-flight"), String(status.in_flight));
  setText($("stat-streams"), String(status.streams));
  setText($("stat-faults"), status.faults_injected.toLocaleString("en"));
}

if (takeToken()) start();
else {
  connection("bad", "Signed out");
  signIn("");
}
