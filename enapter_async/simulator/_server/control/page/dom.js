// Elements are built of text only: nothing that a server or a user wrote is ever read as HTML.

export const $ = (id) => document.getElementById(id);

export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key === "data") Object.assign(element.dataset, value);
    else if (key.startsWith("aria-") || key === "role" || key === "for") element.setAttribute(key, value);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function toast(text, state = "ok") {
  const shown = el("p", { class: "toast", data: { state } }, text);
  $("toasts").append(shown);
  setTimeout(() => shown.remove(), state === "bad" ? 6000 : 3000);
}

// Runs what a button does, and shows what the simulator refused.
export async function attempt(action, done) {
  try {
    await action();
    if (done) toast(done);
    return true;
  } catch (error) {
    toast(error.message, "bad");
    return false;
  }
}

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 32;
export const POINTS = 60;

// A line of the last values; null is a gap.
export class Chart {
  constructor(label) {
    this.values = [];
    this.element = document.createElementNS(SVG, "svg");
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("class", "chart");
    if (label) {
      this.element.setAttribute("role", "img");
      this.element.setAttribute("aria-label", label);
    } else {
      this.element.setAttribute("aria-hidden", "true");
    }
    this.area = this.#path("area");
    this.line = this.#path("line");
  }

  #path(name) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    this.element.append(path);
    return path;
  }

  fill(values) {
    this.values = values.slice(-POINTS);
    this.draw();
  }

  push(value) {
    this.values.push(typeof value === "number" && Number.isFinite(value) ? value : null);
    if (this.values.length > POINTS) this.values.shift();
    this.draw();
  }

  draw() {
    const known = this.values.filter((value) => value !== null);
    let low = Math.min(...known);
    let high = Math.max(...known);
    const least = Math.max(Math.abs(high) * 0.002, 1e-9); // noise of a steady value stays small
    if (high - low < least) [low, high] = [low - least, high + least];
    const step = WIDTH / (POINTS - 1);
    const first = POINTS - this.values.length;
    let line = "";
    let area = "";
    let begun = null;
    let x = 0;
    this.values.forEach((value, index) => {
      if (value === null) {
        if (begun !== null) area += `L${x.toFixed(1)} ${HEIGHT}Z`;
        begun = null;
        return;
      }
      x = (first + index) * step;
      const y = (HEIGHT - 3 - ((value - low) / (high - low)) * (HEIGHT - 6)).toFixed(1);
      if (begun === null) area += `M${x.toFixed(1)} ${HEIGHT}L${x.toFixed(1)} ${y}`;
      else area += `L${x.toFixed(1)} ${y}`;
      line += `${begun === null ? "M" : "L"}${x.toFixed(1)} ${y}`;
      begun = x;
    });
    if (begun !== null) area += `L${x.toFixed(1)} ${HEIGHT}Z`;
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
  }
}

export function formatValue(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") {
    const digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 10 ? 1 : 3;
    return value.toLocaleString("en", { maximumFractionDigits: digits });
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value) && value.length === 0) return "none";
  return typeof value === "string" ? value : JSON.stringify(value);
}
