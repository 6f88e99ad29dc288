// What the night view and the trace view share: the state of the screen, time, colours, canvases.
// Runs inside Gradio's loader, which provides element, trigger, props, server, watch.

const find = (role) => element.querySelector(`[data-role="${role}"]`);

const screen = {
  night: null,          // payload of ui.views.night_view
  zoom: [0, 1],         // what the night view shows, in s from the start of the recording
  start: 0,             // window of traces, in s
  duration: 30,
  gain: 1,
  spans: [],            // what is meant: [{start_s, end_s, colour}], shaded in both views
  selected: -1,         // index of the event last visited
};

const total = () => screen.night.n_epochs * screen.night.epoch_s;
const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
const epochAt = (time) => clamp(Math.floor(time / screen.night.epoch_s + 1e-6), 0, screen.night.n_epochs - 1);
const stageAt = (time) => {
  const code = screen.night.stages[epochAt(time)];
  return code >= 0 ? screen.night.stage_names[code] : "unscored";
};

const two = (number) => String(number).padStart(2, "0");

/** Clock time of the night, or time since its start where no clock is known. */
function clock(time, withSeconds = true) {
  const known = screen.night.start_s !== null;
  const whole = Math.round(time) + (known ? screen.night.start_s : 0);
  const day = known ? ((whole % 86400) + 86400) % 86400 : whole;
  const text = `${two(Math.floor(day / 3600))}:${two(Math.floor((day % 3600) / 60))}`;
  return (known ? "" : "+") + text + (withSeconds ? `:${two(day % 60)}` : "");
}

function token(name) {
  return getComputedStyle(element).getPropertyValue(`--s-${name}`).trim();
}

function palette() {
  const names = ["panel", "sunken", "line", "grid", "grid-strong", "ink", "ink-2", "ink-3", "trace",
    "stage", "stage-rem", "accent", "accent-soft", "focus", "vermillion", "blue", "purple", "orange",
    "green", "sky", "yellow", "slate"];
  return Object.fromEntries(names.map((name) => [name, token(name)]));
}

function withAlpha(colour, alpha) {
  const value = parseInt(colour.slice(1), 16);
  return `rgba(${value >> 16}, ${(value >> 8) & 255}, ${value & 255}, ${alpha})`;
}

/** Fit a canvas to its box at the screen's pixel ratio; returns [context, width, height] in CSS px. */
function fitted(canvas, height = null) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(canvas.parentElement.clientWidth, 50);
  const tall = height ?? Math.max(canvas.parentElement.clientHeight, 50);
  const pixels = [Math.round(width * ratio), Math.round(tall * ratio)];
  if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) {
    [canvas.width, canvas.height] = pixels;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${tall}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, tall);
  return [context, width, tall];
}

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";

function write(context, text, x, y, colour, { size = 11, align = "left", weight = 400, max } = {}) {
  context.font = `${weight} ${size}px ${FONT}`;
  context.textAlign = align;
  context.textBaseline = "middle";
  context.fillStyle = colour;
  context.fillText(text, x, y, max);
}

/** Steps of an axis in s that leave at least `room` px between labels. */
function axisStep(duration, width, room) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  return steps.find((step) => (step / duration) * width >= room) ?? 14400;
}

/** First tick at or after `from` that is round on the clock. */
function firstTick(from, step) {
  const offset = screen.night.start_s ?? 0;
  return Math.ceil((from + offset) / step - 1e-9) * step - offset;
}

/** Move both views to a stretch of the night and shade it. */
function show(span, { shade = true, redrawNight = true } = {}) {
  if (!screen.night) return;
  const start = clamp(span.start_s, 0, total());
  const end = clamp(span.end_s ?? start, start, total());
  screen.spans = shade ? [{ start_s: start, end_s: end, colour: span.colour }] : [];
  const wanted = [30, 60, 120, 300].find((length) => length >= (end - start) * 1.1) ?? 300;
  if (end - start > screen.duration) setDuration(wanted);
  const epoch = screen.night.epoch_s;
  const first = epochAt(start) * epoch;
  // Keep to the epoch grid where the span allows it, so that a page is an epoch as it was scored.
  screen.start = end <= first + screen.duration ? first : Math.max(0, start - (screen.duration - (end - start)) / 2);
  if (screen.start < screen.zoom[0] || screen.start + screen.duration > screen.zoom[1]) {
    screen.zoom = [0, total()];
  }
  if (redrawNight) drawNight();
  drawTrace();
}

let announced = null;
/** Say the place to screen readers, once the movement has come to rest. */
function announce() {
  clearTimeout(announced);
  announced = setTimeout(() => {
    const epoch = epochAt(screen.start) + 1;
    find("live").textContent = `epoch ${epoch}, ${clock(screen.start)}, stage ${stageAt(screen.start)}`;
  }, 400);
}
