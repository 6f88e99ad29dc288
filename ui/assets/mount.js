// Ties the two views to the page: new nights from Python, citations in the chat, keys, sizes, theme.

function open(night) {
  if (!night || !night.token) return;
  const same = screen.night?.token === night.token;
  screen.night = night;
  element.querySelector(".s-views").dataset.ready = "true";
  if (!same) {
    Object.assign(screen, { zoom: [0, total()], spans: [], selected: -1, gain: 1, duration: 30 });
    const asleep = night.stages.findIndex((code) => code > 0);
    screen.start = Math.max(asleep, 0) * night.epoch_s;
    setDuration(30);
    pages.clear();
  }
  screen.selected = -1;
  const kind = find("kind");
  const kept = kind.value;
  kind.replaceChildren(new Option("any event", ""), ...night.kinds.map((one) => new Option(one.label, one.kind)));
  kind.value = night.kinds.some((one) => one.kind === kept) ? kept : "";
  for (const role of ["kind", "prev-event", "next-event"]) find(role).disabled = night.events.length === 0;
  find("scored-by").textContent = night.scorer ? `${night.scorer} scoring` : "";
  find("scored-by").dataset.source = night.scorer;
  find("events-by").textContent = night.events_by ? `${night.events_by} events` : "";
  drawNight();
  drawTrace();
}

/** `#t-7215-7245` or `#epoch-509`, as ui.render writes citations. */
function cited(href) {
  const time = /#t-([\d.]+)-([\d.]+)$/.exec(href);
  if (time) return { start_s: Number(time[1]), end_s: Number(time[2]) };
  const epochs = /#epoch-(\d+)(?:-(\d+))?$/.exec(href);
  if (!epochs || !screen.night) return null;
  const first = Number(epochs[1]) - 1;
  const last = Number(epochs[2] ?? epochs[1]);
  return { start_s: first * screen.night.epoch_s, end_s: last * screen.night.epoch_s };
}

function onKey(event) {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && typing) typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || find("help").open) return;
  const actions = {
    ArrowLeft: () => { screen.selected = -1; page(-1); },
    ArrowRight: () => { screen.selected = -1; page(1); },
    ArrowUp: () => changeGain(1),
    ArrowDown: () => changeGain(-1),
    e: () => visitEvent(1),
    E: () => visitEvent(-1),
    "/": () => document.querySelector("#question textarea")?.focus(),
    "?": () => find("help").showModal(),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

mountNight();
mountTrace();
document.addEventListener("keydown", onKey);
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href*="#t-"], a[href*="#epoch-"]');
  const span = link && cited(link.getAttribute("href"));
  if (!span) return;
  event.preventDefault();
  screen.selected = -1;
  show(span);
}, true);
find("help-close").addEventListener("click", () => find("help").close());
window.sleeplm = {
  help: () => find("help").showModal(),
  goTo: (time) => show({ start_s: time }, { shade: false }),
  place: () => ({ start: screen.start, duration: screen.duration, selected: screen.selected }),
  /** What an answer cites: the first is opened in the traces, all are shaded in the night. */
  cite: (spans) => {
    if (!spans?.length || !screen.night) return;
    screen.selected = -1;
    show(spans[0]);
    screen.spans = spans;
    drawNight();
  },
};
let resized = null;
const sizes = new ResizeObserver(() => {
  cancelAnimationFrame(resized);
  resized = requestAnimationFrame(() => { drawNight(); drawTrace(); });
});
sizes.observe(find("night").parentElement);
sizes.observe(find("trace").parentElement);
new MutationObserver(() => { drawNight(); drawTrace(); }).observe(document.body, { attributeFilter: ["class"] });
watch("value", () => open(props.value));
open(props.value);
