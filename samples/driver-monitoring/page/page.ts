/// <reference lib="dom" />
/** The page: gets pictures, hands one at a time to the worker, shows what comes back. */
import type { Analysis } from "../pipeline/pipeline.js";
import { StageClock } from "./budget.js";
import { type CameraTrouble, startCamera, startFile, stopSource, trouble, troubleOf } from "./camera.js";
import type { FromWorker, PageConfig, ToWorker } from "./messages.js";
import { DriverPanel, drawMarks, element, StagePanel, showSaying, Timeline } from "./view.js";

const video = element<HTMLVideoElement>("video");
const overlay = element<HTMLCanvasElement>("overlay");
const panel = new DriverPanel(element("driver"));
const stagePanel = new StagePanel(element("stages"));
const timeline = new Timeline(element<HTMLCanvasElement>("timeline"));
const clock = new StageClock();
const grab = document.createElement("canvas");
const grabbing = grab.getContext("2d", { willReadFrequently: true })!;
const worker = new Worker("worker.js", { type: "module" });

/** Longest side of the pictures that are analysed. */
const LONGEST = 640;

let ready = false;
/** Set while the worker has a picture: when it was taken, and how long that took. */
let inWork: { grabMs: number; width: number; height: number } | undefined;
let lastMediaTime = -1;

const tell = (message: ToWorker, transfer: Transferable[] = []): void => worker.postMessage(message, transfer);
const state = (name: string): void => {
  document.body.dataset.state = name;
};

function cover(title: string, detail: string, again = false): void {
  element("cover").hidden = false;
  element("cover-title").textContent = title;
  element("cover-detail").textContent = detail;
  element("again").hidden = !again;
}

function fail(t: CameraTrouble): void {
  state(t.kind);
  stopSource(video);
  cover(t.title, t.advice, t.kind !== "insecure");
  showSaying({ level: "calm", title: "No picture", detail: t.title });
}

/** A new source is a new driver. */
function fresh(): void {
  tell({ type: "reset" });
  timeline.clear();
  clock.clear();
}

async function useCamera(): Promise<void> {
  document.body.dataset.source = "camera";
  state("asking");
  cover("Waiting for the camera", "Your browser may ask whether this page may use it.");
  try {
    await startCamera(video, () => fail(trouble("unplugged")));
    running();
  } catch (error) {
    fail((error as CameraTrouble).advice ? (error as CameraTrouble) : troubleOf(error));
  }
}

async function useFile(file: File): Promise<void> {
  document.body.dataset.source = "file";
  try {
    await startFile(video, file);
    running();
  } catch (error) {
    fail(error as CameraTrouble);
  }
}

function running(): void {
  fresh();
  element("cover").hidden = true;
  state(document.hidden ? "hidden" : "running");
}

/** Hands the present picture to the worker, if it has none and the video has a new one. */
function step(): void {
  requestAnimationFrame(step);
  if (!ready || inWork || document.body.dataset.state !== "running" || video.readyState < 2) return;
  if (video.currentTime === lastMediaTime) return;
  lastMediaTime = video.currentTime;
  const start = performance.now();
  const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
  const width = Math.max(1, Math.round(video.videoWidth * scale));
  const height = Math.max(1, Math.round(video.videoHeight * scale));
  if (grab.width !== width) grab.width = width;
  if (grab.height !== height) grab.height = height;
  grabbing.drawImage(video, 0, 0, width, height);
  const pixels = grabbing.getImageData(0, 0, width, height).data.buffer as ArrayBuffer;
  inWork = { grabMs: performance.now() - start, width, height };
  tell({ type: "frame", pixels, width, height, timeMs: start }, [pixels]);
}

function show(analysis: Analysis): void {
  if (!inWork) return;
  const { grabMs, width, height } = inWork;
  inWork = undefined;
  if (document.body.dataset.state !== "running") return;
  clock.add(analysis.timeMs, grabMs, analysis.times);
  timeline.add(analysis.state);
  panel.show(analysis);
  drawMarks(overlay, analysis, width, height);
  document.body.dataset.pictures = String(Number(document.body.dataset.pictures ?? 0) + 1);
}

worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
  switch (data.type) {
    case "ready":
      ready = true;
      element("facts").textContent = `${data.locator} · ${data.reader} · ${data.runtime}, WebAssembly, one thread`;
      void useCamera();
      return;
    case "analysis":
      return show(data.analysis);
    case "failed":
      inWork = undefined;
      state("failed");
      cover("The models cannot run here", data.reason);
      showSaying({ level: "calm", title: "Stopped", detail: data.reason });
  }
};
worker.onerror = (e) => {
  state("failed");
  cover("The models cannot run here", e.message);
};

setInterval(() => {
  if (document.body.dataset.state !== "running") return;
  stagePanel.show(clock);
  timeline.draw(performance.now());
}, 250);

document.addEventListener("visibilitychange", () => {
  const now = document.body.dataset.state;
  if (document.hidden && now === "running") {
    state("hidden");
    showSaying({ level: "calm", title: "Paused", detail: "This tab is hidden; nothing is analysed" });
  } else if (!document.hidden && now === "hidden") {
    clock.clear();
    state("running");
  }
});

navigator.mediaDevices?.addEventListener("devicechange", async () => {
  const waiting = ["unplugged", "none"].includes(document.body.dataset.state ?? "");
  if (!waiting) return;
  const devices = await navigator.mediaDevices.enumerateDevices();
  if (devices.some((d) => d.kind === "videoinput")) await useCamera();
});
element("again").addEventListener("click", () => void useCamera());
element("use-camera").addEventListener("click", () => void useCamera());
element("recalibrate").addEventListener("click", fresh);
element<HTMLInputElement>("file").addEventListener("change", (e) => {
  const [file] = (e.target as HTMLInputElement).files ?? [];
  if (file) void useFile(file);
});

/** Keeps the screen on while the page is seen, where the browser offers that. */
async function keepAwake(): Promise<void> {
  const { wakeLock } = navigator as Navigator & { wakeLock?: { request(kind: "screen"): Promise<unknown> } };
  if (wakeLock && document.visibilityState === "visible") await wakeLock.request("screen").catch(() => {}); // low battery: go on
}
document.addEventListener("visibilitychange", () => void keepAwake());
void keepAwake();

const config = (await (await fetch("config.json")).json()) as PageConfig;
tell({ type: "open", config });
requestAnimationFrame(step);
if ("serviceWorker" in navigator && isSecureContext)
  await navigator.serviceWorker.register("offline.js").catch(() => {}); // works without, while the server is there
