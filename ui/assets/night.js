// The night view: hypnogram, event lanes, position, SpO2 and heart rate on one clock axis.

const NIGHT_LEFT = 124;
const NIGHT_RIGHT = 44;
const ROW = 15;          // one stage of the hypnogram
const LANE = 13;         // one kind of event
const SERIES = 36;       // SpO2, heart rate
const STAGE_ORDER = ["W", "R", "N1", "N2", "N3"];
const POSITION_MARKS = { supine: "S", left: "L", right: "R", prone: "P", upright: "U", unknown: "?" };

let nightRows = [];      // what lies where: [{top, bottom, kind}], for pointing

const nightX = (time, width) =>
  NIGHT_LEFT + ((time - screen.zoom[0]) / (screen.zoom[1] - screen.zoom[0])) * (width - NIGHT_LEFT - NIGHT_RIGHT);
const nightTime = (x, width) =>
  screen.zoom[0] + ((x - NIGHT_LEFT) / (width - NIGHT_LEFT - NIGHT_RIGHT)) * (screen.zoom[1] - screen.zoom[0]);

function nightHeight() {
  const night = screen.night;
  return 8 + 5 * ROW + 8 + night.kinds.length * LANE + (night.kinds.length ? 6 : 0)
    + (night.positions.length ? LANE + 6 : 0) + night.series.length * (SERIES + 4) + 20;
}

function drawNight() {
  if (!screen.night) return;
  const night = screen.night;
  const colours = palette();
  const canvas = find("night");
  const [context, width, height] = fitted(canvas, nightHeight());
  const right = width - NIGHT_RIGHT;
  const bottom = height - 20;
  nightRows = [];

  const step = axisStep(screen.zoom[1] - screen.zoom[0], right - NIGHT_LEFT, 64);
  for (let time = firstTick(screen.zoom[0], step); time <= screen.zoom[1]; time += step) {
    const x = Math.round(nightX(time, width)) + 0.5;
    context.strokeStyle = colours.grid;
    context.beginPath();
    context.moveTo(x, 4);
    context.lineTo(x, bottom);
    context.stroke();
    if (x < right - 12) write(context, clock(time, step < 60), x, bottom + 11, colours["ink-2"], { align: "center" });
  }
  context.save();
  context.beginPath();
  context.rect(NIGHT_LEFT, 0, right - NIGHT_LEFT, height);
  context.clip();
  for (const [start, end] of night.gaps) shade(context, start, end, withAlpha(colours["ink-3"], 0.18), 4, bottom, width);
  for (const span of screen.spans) {
    shade(context, span.start_s, span.end_s, withAlpha(colours.focus, 0.4), 4, bottom, width, 3);
  }
  context.restore();

  let top = 8;
  drawHypnogram(context, colours, top, width);
  nightRows.push({ top, bottom: top + 5 * ROW, kind: "stages" });
  top += 5 * ROW + 8;
  night.kinds.forEach((kind, index) => {
    drawLane(context, colours, index, top, width);
    nightRows.push({ top, bottom: top + LANE, kind: "event", index });
    top += LANE;
  });
  if (night.kinds.length) top += 6;
  if (night.positions.length) {
    drawPositions(context, colours, top, width);
    nightRows.push({ top, bottom: top + LANE, kind: "position" });
    top += LANE + 6;
  }
  for (const series of night.series) {
    drawSeries(context, colours, series, top, width);
    nightRows.push({ top, bottom: top + SERIES, kind: "series", series });
    top += SERIES + 4;
  }

  // The window of traces: a frame, never thinner than a hand can see.
  const from = nightX(screen.start, width);
  const wide = Math.max(nightX(screen.start + screen.duration, width) - from, 3);
  if (from + wide >= NIGHT_LEFT && from <= right) {
    context.strokeStyle = colours.accent;
    context.lineWidth = 1.5;
    context.strokeRect(Math.round(from) + 0.5, 3.5, Math.round(wide), bottom - 4);
    context.lineWidth = 1;
  }
  find("whole").hidden = screen.zoom[0] <= 0 && screen.zoom[1] >= total();
  find("legend").hidden = !night.confidence;
  canvas.setAttribute("aria-label",
    `Night view: ${night.n_epochs} epochs by the ${night.scorer} scoring, ${night.events.length} events. `
    + "Arrow keys move the traces, e finds the next event.");
}

function shade(context, start, end, colour, top, bottom, width, least = 1) {
  const from = nightX(start, width);
  const wide = Math.max(nightX(end, width) - from, least);
  context.fillStyle = colour;
  context.fillRect(from, top, wide, bottom - top);
}

function drawHypnogram(context, colours, top, width) {
  const night = screen.night;
  const row = night.stage_names.map((name) => STAGE_ORDER.indexOf(name));
  STAGE_ORDER.forEach((name, index) => {
    const y = top + index * ROW + ROW / 2;
    write(context, name, NIGHT_LEFT - 8, y, colours["ink-2"], { align: "right" });
    context.strokeStyle = colours.grid;
    context.beginPath();
    context.moveTo(NIGHT_LEFT, Math.round(y) + 0.5);
    context.lineTo(width - NIGHT_RIGHT, Math.round(y) + 0.5);
    context.stroke();
  });
  write(context, "Hypnogram", 8, top + ROW / 2, colours.ink, { weight: 600 });
  if (!night.stages.some((code) => code >= 0)) {
    write(context, night.scorer ? "no stages in this scoring" : "no stages yet", NIGHT_LEFT + 8, top + ROW / 2, colours["ink-2"]);
    return;
  }
  context.save();
  context.beginPath();
  context.rect(NIGHT_LEFT, 0, width - NIGHT_LEFT - NIGHT_RIGHT, top + 5 * ROW + 4);
  context.clip();
  let previous = null;
  for (let first = 0; first < night.n_epochs;) {
    let last = first;
    const code = night.stages[first];
    const sure = night.confidence?.[first];
    while (last + 1 < night.n_epochs && night.stages[last + 1] === code
      && (sure === undefined || Math.abs(night.confidence[last + 1] - sure) < 0.1)) last += 1;
    if (code >= 0) {
      const y = top + row[code] * ROW + ROW / 2;
      const from = nightX(first * night.epoch_s, width);
      const to = nightX((last + 1) * night.epoch_s, width);
      const rem = night.stage_names[code] === "R";
      const ink = rem ? colours["stage-rem"] : colours.stage;
      // Confidence as a shade: 0.2 is chance among five stages.
      context.fillStyle = sure === undefined ? ink : withAlpha(ink, clamp(0.25 + (sure - 0.2) * 0.95, 0.25, 1));
      if (previous !== null) {
        context.globalAlpha = 0.55;
        context.fillRect(from - 0.5, Math.min(previous, y), 1, Math.abs(previous - y));
        context.globalAlpha = 1;
      }
      const thick = rem ? 6 : 3;
      context.fillRect(from, y - thick / 2, Math.max(to - from, 1), thick);
      previous = y;
    } else {
      previous = null;
    }
    first = last + 1;
  }
  context.restore();
}

function drawLane(context, colours, index, top, width) {
  const night = screen.night;
  const kind = night.kinds[index];
  const y = top + LANE / 2;
  const count = night.events.reduce((sum, event) => sum + (event[2] === index), 0);
  write(context, kind.label, 8, y, colours["ink-2"]);
  write(context, String(count), width - 8, y, colours["ink-2"], { align: "right" });
  context.strokeStyle = colours.grid;
  context.beginPath();
  context.moveTo(NIGHT_LEFT, Math.round(top + LANE) - 0.5);
  context.lineTo(width - NIGHT_RIGHT, Math.round(top + LANE) - 0.5);
  context.stroke();
  context.fillStyle = colours[kind.colour];
  for (const [onset, length, which] of night.events) {
    if (which !== index || onset + length < screen.zoom[0] || onset > screen.zoom[1]) continue;
    const from = Math.max(nightX(onset, width), NIGHT_LEFT);
    const to = Math.min(nightX(onset + length, width), width - NIGHT_RIGHT);
    context.fillRect(from, top + 2, Math.max(to - from, 1.5), LANE - 4);
  }
}

function drawPositions(context, colours, top, width) {
  write(context, "Position", 8, top + LANE / 2, colours["ink-2"]);
  for (const [onset, length, name] of screen.night.positions) {
    const from = Math.max(nightX(onset, width), NIGHT_LEFT);
    const to = Math.min(nightX(onset + length, width), width - NIGHT_RIGHT);
    if (to <= from) continue;
    context.fillStyle = withAlpha(colours.stage, name === "supine" ? 0.42 : 0.16);
    context.fillRect(from, top + 1, Math.max(to - from - 1, 1), LANE - 1);
    const text = to - from > 52 ? name : POSITION_MARKS[name];
    if (to - from > 12) write(context, text, (from + to) / 2, top + LANE / 2 + 0.5, colours.ink, { size: 10, align: "center" });
  }
}

function drawSeries(context, colours, series, top, width) {
  const y = (value) => top + 3 + (1 - (clamp(value, series.low, series.high) - series.low) / (series.high - series.low)) * (SERIES - 6);
  write(context, series.label, 8, top + SERIES / 2 - 6, colours["ink-2"]);
  write(context, series.unit, 8, top + SERIES / 2 + 7, colours["ink-3"], { size: 10 });
  context.fillStyle = colours.sunken;
  context.fillRect(NIGHT_LEFT, top, width - NIGHT_LEFT - NIGHT_RIGHT, SERIES);
  for (const value of [series.low, series.high]) {
    write(context, String(value), width - NIGHT_RIGHT + 6, y(value) + (value === series.high ? 2 : -2), colours["ink-3"], { size: 10 });
  }
  if (series.name === "SPO2" && series.low < 90) {
    context.strokeStyle = colours["grid-strong"];
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(NIGHT_LEFT, Math.round(y(90)) + 0.5);
    context.lineTo(width - NIGHT_RIGHT, Math.round(y(90)) + 0.5);
    context.stroke();
    context.setLineDash([]);
    if (y(90) - y(series.high) > 11 && y(series.low) - y(90) > 11) {
      write(context, "90", width - NIGHT_RIGHT + 6, y(90), colours["ink-3"], { size: 10 });
    }
  }
  context.save();
  context.beginPath();
  context.rect(NIGHT_LEFT, top, width - NIGHT_LEFT - NIGHT_RIGHT, SERIES);
  context.clip();
  context.strokeStyle = colours.trace;
  context.beginPath();
  let open = false;
  series.lowest.forEach((low, index) => {
    if (low === null) {
      open = false;
      return;
    }
    const x = nightX((index + 0.5) * series.bin_s, width);
    open ? context.lineTo(x, y(series.highest[index])) : context.moveTo(x, y(series.highest[index]));
    context.lineTo(x, y(low));
    open = true;
  });
  context.stroke();
  context.restore();
}

/** What lies under the pointer, in words, and the span that a click there means. */
function pointed(event) {
  const canvas = find("night");
  const box = canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  if (!screen.night || x < NIGHT_LEFT || x > box.width - NIGHT_RIGHT) return null;
  const time = clamp(nightTime(x, box.width), 0, total() - 0.001);
  const epoch = epochAt(time);
  const place = `${clock(time)} · epoch ${epoch + 1} · ${stageAt(time)}`;
  const lane = nightRows.find((row) => y >= row.top && y < row.bottom);
  const near = ((screen.zoom[1] - screen.zoom[0]) / box.width) * 4;
  const found = lane?.kind === "event" && screen.night.events.findIndex(([onset, length, which]) =>
    which === lane.index && time >= onset - near && time <= onset + Math.max(length, 0) + near);
  const span = { start_s: epoch * screen.night.epoch_s, end_s: (epoch + 1) * screen.night.epoch_s };
  if (found !== false && found >= 0 && found !== undefined) {
    const [onset, length, which] = screen.night.events[found];
    return { x, y, time, index: found, span: { start_s: onset, end_s: onset + length },
      text: `${screen.night.kinds[which].label} · ${length.toFixed(0)} s · ${clock(onset)} · ${stageAt(onset)}` };
  }
  if (lane?.kind === "series") {
    const bin = Math.floor(time / lane.series.bin_s);
    const low = lane.series.lowest[bin];
    const value = low === null || low === undefined ? "no signal" : `lowest ${low} ${lane.series.unit}`;
    return { x, y, time, index: -1, span, text: `${place} · ${lane.series.label} ${value}` };
  }
  if (lane?.kind === "position") {
    const run = screen.night.positions.find(([onset, length]) => time >= onset && time < onset + length);
    return { x, y, time, index: -1, span, text: `${place} · ${run ? run[2] : "unknown"}` };
  }
  return { x, y, time, index: -1, span, text: place };
}

function mountNight() {
  const canvas = find("night");
  const tip = find("tip");
  let dragFrom = null;
  const box = find("band");
  canvas.addEventListener("pointerdown", (event) => {
    const at = pointed(event);
    if (!at || event.button !== 0) return;
    dragFrom = at;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = pointed(event);
    tip.hidden = !at;
    if (at) {
      tip.textContent = at.text;
      const room = canvas.clientWidth - tip.offsetWidth - 8;
      tip.style.left = `${clamp(at.x + 14, 4, room)}px`;
      tip.style.top = `${at.y + 18 + tip.offsetHeight > canvas.clientHeight ? at.y - tip.offsetHeight - 8 : at.y + 18}px`;
    }
    const dragged = dragFrom && at && Math.abs(at.x - dragFrom.x) > 6;
    box.hidden = !dragged;
    if (dragged) {
      box.style.left = `${Math.min(at.x, dragFrom.x)}px`;
      box.style.width = `${Math.abs(at.x - dragFrom.x)}px`;
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    const at = pointed(event);
    const from = dragFrom;
    dragFrom = null;
    box.hidden = true;
    if (!from) return;
    if (at && Math.abs(at.x - from.x) > 6) {
      const [low, high] = [Math.min(at.time, from.time), Math.max(at.time, from.time)];
      if (high - low >= 60) screen.zoom = [low, high];
      drawNight();
      return;
    }
    screen.selected = from.index;
    show(from.span);
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("dblclick", wholeNight);
  find("whole").addEventListener("click", wholeNight);
}

function wholeNight() {
  if (!screen.night) return;
  screen.zoom = [0, total()];
  drawNight();
}
