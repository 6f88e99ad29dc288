// The header: which night, whose scoring, what is being read; opening files by button or by drop.
// props.value is made by ui.app.header_state.

const find = (role) => element.querySelector(`[data-role="${role}"]`);
const RECORDINGS = ["edf", "bdf", "rec", "gdf"];
const SCORINGS = ["xml", "csv", "tsv", "txt", "json"];
let busy = false;

function render(value) {
  if (!value) return;
  const nights = find("nights");
  nights.replaceChildren(...value.nights.map((night) => new Option(night.label, night.token)));
  nights.value = value.current ?? "";
  nights.parentElement.hidden = value.nights.length === 0;
  find("span").textContent = value.span ?? "";
  find("scorers").hidden = !value.scorers?.length;
  find("scorers").replaceChildren(...(value.scorers ?? []).map((scorer) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = scorer;
    button.dataset.source = scorer;
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(scorer === value.scorer));
    button.title = scorer === "expert" ? "stages and events from the scoring file"
      : scorer === "model" ? "stages and events as SleepLM reads them" : "stages and events by automatic scoring";
    button.addEventListener("click", () => scorer !== value.scorer && trigger("scorer", { scorer }));
    return button;
  }));
  progress(value.words, value.share);
  find("cancel").hidden = !value.words || !value.cancellable;
  fail(value.error);
  find("outside").hidden = !value.outside;
  find("outside").textContent = value.outside ? `Outside language model in use: ${value.outside}` : "";
}

function progress(words, share) {
  find("progress").hidden = !words;
  find("words").textContent = words ? `${words}${share > 0 ? ` ${Math.round(share * 100)} %` : ""}` : "";
  find("share").style.width = `${Math.round((share || 0) * 100)}%`;
}

function fail(text) {
  find("error").hidden = !text;
  find("error-text").textContent = text ?? "";
}

const ending = (file) => file.name.toLowerCase().split(".").pop();

/** Sends one file under a plain name, so that no patient's name in a file name leaves the page. */
function send(file, name, words) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("files", new File([file], name));
    request.upload.onprogress = (event) => progress(words, event.loaded / event.total);
    request.onload = () => request.status === 200
      ? resolve(JSON.parse(request.responseText)[0])
      : reject(new Error(request.status === 413
        ? "the file is larger than this page takes; start sleeplm chat with the file's path instead"
        : "the file could not be received; try once more"));
    request.onerror = () => reject(new Error("the connection was lost while the file was sent; try once more"));
    request.open("POST", new URL("gradio_api/upload", document.baseURI));
    request.send(form);
  });
}

async function openFiles(files) {
  if (busy || !files.length) return;
  // Of two recordings the smaller is a hypnogram: Sleep-EDF keeps its stages in an EDF+ file.
  const signals = files.filter((file) => RECORDINGS.includes(ending(file))).sort((one, other) => other.size - one.size);
  const scorings = [...files.filter((file) => SCORINGS.includes(ending(file))), ...signals.slice(1)];
  if (!signals.length) {
    fail("no recording among these files: a night is an EDF or BDF file, with its scoring (XML, CSV, TSV, JSON or EDF+) beside it");
    return;
  }
  busy = true;
  fail(null);
  try {
    const recording = await send(signals[0], `recording.${ending(signals[0])}`, "receiving the recording");
    const scoring = scorings.length ? await send(scorings[0], `scoring.${ending(scorings[0])}`, "receiving the scoring") : null;
    progress("opening the night", 0);
    trigger("opened", { recording, scoring });
  } catch (error) {
    progress(null);
    fail(error.message);
  } finally {
    busy = false;
    find("file").value = "";
  }
}

find("cancel").addEventListener("click", () => {
  find("cancel").hidden = true;
  trigger("cancel", {});
});
find("open").addEventListener("click", () => find("file").click());
find("file").addEventListener("change", (event) => openFiles([...event.target.files]));
find("nights").addEventListener("change", (event) => trigger("night", { token: event.target.value }));
find("keys").addEventListener("click", () => window.sleeplm?.help());
find("theme").addEventListener("click", () => document.body.classList.toggle("dark"));
find("error-close").addEventListener("click", () => fail(null));

let depth = 0;
const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
document.addEventListener("dragenter", (event) => {
  if (!holdsFiles(event)) return;
  depth += 1;
  find("drop").hidden = false;
});
document.addEventListener("dragleave", (event) => {
  if (!holdsFiles(event)) return;
  depth -= 1;
  find("drop").hidden = depth > 0 ? false : true;
});
document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
document.addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  event.stopPropagation();
  depth = 0;
  find("drop").hidden = true;
  openFiles([...event.dataTransfer.files]);
}, true);
setInterval(async () => {
  const answered = await fetch(document.baseURI, { method: "HEAD", cache: "no-store" }).then(() => true, () => false);
  find("lost").hidden = answered;
}, 5000);
watch("value", () => render(props.value));
render(props.value);
