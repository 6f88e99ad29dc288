// The trace view: one window of signals in the clinic's order, events as bands on their channels.

const TRACE_LEFT = 76;
const TRACE_RIGHT = 64;
const TRACE_TOP = 20;
const TRACE_BOTTOM = 20;
const DURATIONS = [10, 30, 60, 120, 300, 600, 1800];

let pageNumber = 0;              // only the newest request may draw
const pages = new Map();         // windows already fetched, newest last

function setDuration(seconds) {
  screen.duration = Math.min(seconds, total());
  find("duration").value = String(seconds);
}

async function fetchPage(start, width) {
  const wanted = clamp(start, 0, total() - screen.duration);
  const key = `${screen.night.token}/${wanted.toFixed(2)}/${screen.duration}/${width}`;
  if (!pages.has(key)) {
    const request = server.traces(screen.night.token, wanted, screen.duration, width).then((page) => {
      if (page?.error) throw new Error(page.error);
      for (const channel of page.channels) {
        const bytes = Uint8Array.from(atob(channel.values), (letter) => letter.charCodeAt(0));
        channel.values = new Float32Array(bytes.buffer);
      }
      return page;
    });
    request.catch(() => pages.delete(key));
    pages.set(key, request);
    if (pages.size > 24) pages.delete(pages.keys().next().value);
  }
  return pages.get(key);
}

async function drawTrace() {
  if (!screen.night) return;
  pageNumber += 1;
  const mine = pageNumber;
  const canvas = find("trace");
  const width = Math.max(canvas.parentElement.clientWidth - TRACE_LEFT - TRACE_RIGHT, 100);
  const began = performance.now();
  let page;
  try {
    page = await fetchPage(screen.start, width);
  } catch (error) {
    find("place").textContent = `traces could not be read: ${error.message ?? error}`;
    return;
  }
  if (mine !== pageNumber) return;
  screen.start = page.start_s;
  paintTrace(page);
  canvas.dataset.drawnMs = (performance.now() - began).toFixed(0);
  canvas.dataset.startS = page.start_s;
  announce();
  // The neighbours are fetched while nobody waits, so that paging is at once.
  fetchPage(page.start_s + page.duration_s, width).catch(() => {});
  fetchPage(page.start_s - page.duration_s, width).catch(() => {});
}

function paintTrace(page) {
  const colours = palette();
  const canvas = find("trace");
  const [context, width, height] = fitted(canvas);
  const [left, right] = [TRACE_LEFT, width - TRACE_RIGHT];
  const bottom = height - TRACE_BOTTOM;
  const end = page.start_s + page.duration_s;
  const x = (time) => left + ((time - page.start_s) / page.duration_s) * (right - left);
  const lane = (bottom - TRACE_TOP) / Math.max(page.channels.length, 1);

  drawGrid(context, colours, page, x, right, bottom);
  drawEpochs(context, colours, page, x, left, right, bottom);
  for (const span of screen.spans) {
    if (span.end_s <= page.start_s || span.start_s >= end) continue;
    const [from, to] = [Math.max(x(span.start_s), left), Math.min(x(span.end_s), right)];
    context.fillStyle = withAlpha(colours.focus, 0.16);
    context.fillRect(from, TRACE_TOP, Math.max(to - from, 2), bottom - TRACE_TOP);
    context.fillStyle = colours.focus;
    context.fillRect(from, bottom - 3, Math.max(to - from, 2), 3);
  }
  const labels = drawBands(context, colours, page, x, left, right, lane);
  page.channels.forEach((channel, index) => {
    drawChannel(context, colours, channel, TRACE_TOP + index * lane, lane, left, right, bottom);
  });
  for (const { text, at, y, wide } of labels) {
    context.fillStyle = withAlpha(colours.panel, 0.85);
    context.fillRect(at - 1, y - 6, wide, 12);
    write(context, text, at, y, colours.ink, { size: 10, weight: 600 });
  }

  const stage = stageAt(page.start_s);
  const last = epochAt(Math.max(page.start_s, end - 0.01));
  const first = epochAt(page.start_s);
  find("place").textContent = `${first === last ? `epoch ${first + 1}` : `epochs ${first + 1}–${last + 1}`}`
    + ` · ${clock(page.start_s)} · ${stage}`;
  find("place").title = find("place").textContent;
  const eeg = page.channels.find((channel) => channel.name.startsWith("EEG") && channel.unit === "µV");
  // CSS defines a millimetre as 96/25.4 px; on screens that tell the truth it is one.
  find("gain").title = "sensitivity of the EEG";
  find("gain").textContent = eeg
    ? `${trimmed((2 * eeg.high) / screen.gain / (lane / 3.7795))} µV/mm`
    : `×${trimmed(screen.gain)}`;
}

/** What half a lane stands for, with a unit that keeps the number short. */
function amount(value, unit) {
  if (!unit) return "a.u.";
  if (unit === "V" && value < 1e-3) return `${trimmed(value * 1e6)} µV`;
  if (unit === "V" && value < 1) return `${trimmed(value * 1e3)} mV`;
  return `${trimmed(value)} ${unit}`;
}

const trimmed = (value) => String(value >= 10 ? Math.round(value) : Number(value.toPrecision(2)));

function drawGrid(context, colours, page, x, right, bottom) {
  const fine = page.duration_s <= 60 ? 1 : page.duration_s <= 300 ? 10 : 60;
  const strong = page.duration_s <= 60 ? 5 : page.duration_s <= 300 ? 30 : 300;
  const end = page.start_s + page.duration_s;
  for (let time = firstTick(page.start_s, fine); time <= end; time += fine) {
    const clockTime = Math.round(time + (screen.night.start_s ?? 0));
    context.strokeStyle = clockTime % strong === 0 ? colours["grid-strong"] : colours.grid;
    context.beginPath();
    context.moveTo(Math.round(x(time)) + 0.5, TRACE_TOP);
    context.lineTo(Math.round(x(time)) + 0.5, bottom);
    context.stroke();
  }
  const step = axisStep(page.duration_s, right - TRACE_LEFT, 84);
  for (let time = firstTick(page.start_s, step); time <= end; time += step) {
    if (x(time) > right + 1) break;
    write(context, clock(time), x(time), bottom + 11, colours["ink-2"], { align: "center" });
  }
}

function drawEpochs(context, colours, page, x, left, right, bottom) {
  const epoch = screen.night.epoch_s;
  const end = page.start_s + page.duration_s;
  const room = x(page.start_s + epoch) - left;
  const every = Math.max(1, Math.ceil(90 / room));
  for (let index = epochAt(page.start_s); index < screen.night.n_epochs && index * epoch < end; index += 1) {
    if (index % every !== 0) continue;
    const from = x(index * epoch);
    if (from >= left - 1) {
      context.strokeStyle = colours["ink-3"];
      context.beginPath();
      context.moveTo(Math.round(from) + 0.5, 4);
      context.lineTo(Math.round(from) + 0.5, bottom);
      context.stroke();
    }
    const visible = Math.min(right, x((index + 1) * epoch)) - Math.max(from, left);
    if (visible > 84 || (every > 1 && right - from > 84)) {
      write(context, `epoch ${index + 1} · ${stageAt(index * epoch)}`, Math.max(from, left) + 5, 11, colours["ink-2"]);
    }
  }
}

/** Shades the events on their channels; returns their labels, to be written over the traces. */
function drawBands(context, colours, page, x, left, right, lane) {
  const end = page.start_s + page.duration_s;
  const labels = [];
  screen.night.events.forEach(([onset, length, which], index) => {
    if (onset >= end || onset + length <= page.start_s) return;
    const kind = screen.night.kinds[which];
    const colour = colours[kind.colour];
    const [from, to] = [Math.max(x(onset), left), Math.min(x(onset + length), right)];
    const rows = page.channels.map((channel, row) => [channel.name, row])
      .filter(([name]) => kind.channels.length === 0 || kind.channels.includes(name))
      .map(([, row]) => row);
    rows.forEach((row) => {
      const top = TRACE_TOP + row * lane;
      context.fillStyle = withAlpha(colour, index === screen.selected ? 0.3 : 0.18);
      context.fillRect(from, top, Math.max(to - from, 2), lane);
    });
    if (!rows.length) return;
    const top = TRACE_TOP + rows[0] * lane;
    context.fillStyle = colour;
    context.fillRect(from, top, Math.max(to - from, 2), 2);
    const text = `${kind.short} ${length.toFixed(0)} s`;
    const wide = text.length * 6.2;
    // On long pages a label that its band cannot hold would hide its neighbours.
    if (page.duration_s > 120 && wide > to - from) return;
    let y = top + 9;
    const at = clamp(from + 3, left, right - wide);
    while (labels.some((one) => Math.abs(one.y - y) < 11 && at < one.at + one.wide && at + wide > one.at)) y += 11;
    labels.push({ text, at, y, wide });
  });
  return labels;
}

function drawChannel(context, colours, channel, top, lane, left, right, bottom) {
  const gain = channel.centred ? screen.gain : 1;
  const middle = (channel.low + channel.high) / 2;
  const half = (channel.high - channel.low) / 2 / gain;
  const y = (value) => top + lane / 2 - ((value - middle) / half) * (lane / 2 - 3);
  write(context, channel.label, 8, top + lane / 2, colours.ink, { weight: 600 });
  const edge = right + 6;
  if (channel.centred) {
    context.strokeStyle = colours["ink-3"];
    context.beginPath();
    context.moveTo(edge + 0.5, y(middle + half / 2));
    context.lineTo(edge + 0.5, y(middle - half / 2));
    context.stroke();
    write(context, amount(half, channel.unit), edge + 5, top + lane / 2, colours["ink-3"], { size: 10, max: 52 });
  } else {
    write(context, `${channel.high} ${channel.unit}`, edge, top + 7, colours["ink-3"], { size: 10, max: 56 });
    write(context, String(channel.low), edge, top + lane - 7, colours["ink-3"], { size: 10 });
  }
  context.save();
  context.beginPath();
  // A large deflection may reach into its neighbours, as on paper, but not out of the page.
  context.rect(left, Math.max(top - lane / 2, TRACE_TOP), right - left, Math.min(lane * 2, bottom - top + lane / 2));
  context.clip();
  context.strokeStyle = colours.trace;
  context.lineWidth = 1;
  context.lineJoin = "round";
  context.beginPath();
  const count = channel.values.length;
  let open = false;
  for (let index = 0; index < count; index += 1) {
    const value = channel.values[index];
    if (Number.isNaN(value)) {
      open = false;
      continue;
    }
    const px = left + ((index + 0.5) / count) * (right - left);
    open ? context.lineTo(px, y(value)) : context.moveTo(px, y(value));
    open = true;
  }
  context.stroke();
  context.restore();
}

function page(direction) {
  if (!screen.night) return;
  screen.start = clamp(screen.start + direction * screen.duration, 0, total() - screen.duration);
  drawNight();
  drawTrace();
}

/** The next event of the chosen kind after the one last visited, or after the window's middle. */
function visitEvent(direction) {
  if (!screen.night) return;
  const { events, kinds } = screen.night;
  const wanted = find("kind").value;
  const fits = (index) => wanted === "" || kinds[events[index][2]].kind === wanted;
  let index = screen.selected;
  if (index < 0) {
    const after = events.findIndex(([onset]) => onset >= screen.start);
    const next = after < 0 ? events.length : after;
    index = direction > 0 ? next - 1 : next;
  }
  do index += direction; while (index >= 0 && index < events.length && !fits(index));
  if (index < 0 || index >= events.length) {
    find("live").textContent = direction > 0 ? "no later event" : "no earlier event";
    return;
  }
  screen.selected = index;
  show({ start_s: events[index][0], end_s: events[index][0] + events[index][1] });
}

function changeGain(direction) {
  screen.gain = clamp(screen.gain * 2 ** (direction / 2), 1 / 16, 64);
  drawTrace();
}

function mountTrace() {
  find("prev").addEventListener("click", () => { screen.selected = -1; page(-1); });
  find("next").addEventListener("click", () => { screen.selected = -1; page(1); });
  find("prev-event").addEventListener("click", () => visitEvent(-1));
  find("next-event").addEventListener("click", () => visitEvent(1));
  find("louder").addEventListener("click", () => changeGain(1));
  find("softer").addEventListener("click", () => changeGain(-1));
  find("duration").addEventListener("change", (event) => {
    const middle = screen.start + screen.duration / 2;
    setDuration(Number(event.target.value));
    const epoch = screen.night?.epoch_s ?? 30;
    const start = middle - screen.duration / 2;
    screen.start = Math.max(0, screen.duration >= epoch ? Math.round(start / epoch) * epoch : start);
    drawNight();
    drawTrace();
  });
}
