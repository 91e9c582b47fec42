/** Where pictures come from on a machine without a page: a folder of images, an image, a video file, or a camera. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, delimiter, join } from "node:path";
import type { Readable } from "node:stream";
import { DataError } from "../../../toolkit/data/index.js";
import { UsageError } from "../../../toolkit/graph/errors.js";
import type { Frame } from "../pipeline/frame.js";
import { isImageFile, readPicture } from "./picture.js";

export interface TimedFrame {
  frame: Frame;
  timeMs: number;
  /** File name, where pictures have one. */
  name?: string;
}

export interface SourceOptions {
  /** Pictures per second: of a folder the rate at which it was taken, of a video or camera the rate at which it is read. Default 30. */
  rate?: number;
  signal?: AbortSignal;
  /** Default: this process's. */
  env?: NodeJS.ProcessEnv;
}

/** Size to which ffmpeg brings videos and cameras; the picture is padded, not stretched. */
const WIDTH = 640;
const HEIGHT = 480;
const FRAME_BYTES = WIDTH * HEIGHT * 3;

/**
 * Opens `camera`, `camera:DEVICE`, a folder or a file. The source is checked before the first picture. Throws UsageError for a source
 * that does not exist, a folder without images, or one that needs a missing ffmpeg.
 */
export async function openSource(source: string, o: SourceOptions = {}): Promise<AsyncIterable<TimedFrame>> {
  const { rate = 30 } = o;
  const where = `--source ${source}`;
  const camera = /^camera(?::(.+))?$/.exec(source);
  if (camera) return fromFfmpeg(cameraInput(camera[1], where), where, { ...o, rate, live: true });
  const known = await stat(source).catch(() => undefined);
  if (!known) throw new UsageError("source-missing", "there is no such file or folder", { where, hint: HINT });
  if (known.isDirectory()) return fromFolder(source, await imagesOf(source, where), rate);
  if (isImageFile(source)) return fromFolder("", [source], rate);
  return fromFfmpeg(["-i", source], where, { ...o, rate, live: false });
}

const HINT = "give camera, a folder of images, an image, or a video file";

async function imagesOf(folder: string, where: string): Promise<string[]> {
  const names = (await readdir(folder)).filter(isImageFile);
  if (names.length === 0) throw new UsageError("source-empty", "the folder holds no images", { where });
  // Numbers count as numbers: frame2 comes before frame10.
  return names.sort(new Intl.Collator("en", { numeric: true }).compare);
}

async function* fromFolder(folder: string, names: readonly string[], rate: number): AsyncGenerator<TimedFrame> {
  for (const [i, name] of names.entries())
    yield { frame: await readPicture(join(folder, name)), timeMs: (i * 1000) / rate, name: basename(name) };
}

function cameraInput(device: string | undefined, where: string): string[] {
  if (process.platform === "linux") return ["-f", "v4l2", "-i", device ?? "/dev/video0"];
  if (process.platform === "darwin") return ["-f", "avfoundation", "-framerate", "30", "-i", device ?? "0"];
  throw new UsageError("camera-platform", "without a page, a camera can be read on Linux and macOS only", {
    where,
    hint: "leave out --source to use the camera in a browser",
  });
}

/** Path of ffmpeg; undefined where it is not installed. */
export function findFfmpeg(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const name = process.platform === "win32" ? "ffmpeg.exe" : "ffmpeg";
  const folders = (env.PATH ?? "").split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

function fromFfmpeg(
  input: readonly string[],
  where: string,
  o: { rate: number; live: boolean; signal?: AbortSignal; env?: NodeJS.ProcessEnv },
): AsyncIterable<TimedFrame> {
  const program = findFfmpeg(o.env);
  if (!program) {
    throw new UsageError(
      "ffmpeg-missing",
      `reading ${o.live ? "a camera" : "a video"} needs ffmpeg, which is not on the PATH`,
      {
        where,
        hint: "install ffmpeg, give a folder of images, or leave out --source to use a browser",
      },
    );
  }
  const fit = `fps=${o.rate},scale=${WIDTH}:${HEIGHT}:force_original_aspect_ratio=decrease,pad=${WIDTH}:${HEIGHT}:-1:-1`;
  const output = ["-vf", fit, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
  return decoded(program, ["-nostdin", "-loglevel", "error", ...input, ...output], where, o);
}

async function* decoded(
  program: string,
  args: readonly string[],
  where: string,
  o: { rate: number; live: boolean; signal?: AbortSignal },
): AsyncGenerator<TimedFrame> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = `${said}${text}`.slice(-2000);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  ended.catch(() => {}); // awaited below, after the last picture
  const stop = () => child.kill("SIGKILL");
  o.signal?.addEventListener("abort", stop, { once: true });
  try {
    const started = performance.now();
    let count = 0;
    for await (const data of o.live ? latest(child.stdout) : inTurn(child.stdout)) {
      const timeMs = o.live ? performance.now() - started : (count * 1000) / o.rate;
      count++;
      yield { frame: { data, width: WIDTH, height: HEIGHT, channels: 3 }, timeMs };
    }
    const status = await ended;
    if (o.signal?.aborted) return;
    if (status !== 0 || count === 0) {
      const reason = said.trim().split("\n").at(-1) || `it ended with status ${status} after ${count} pictures`;
      throw new DataError("ffmpeg-failed", `ffmpeg could not read it: ${reason}`, { where });
    }
  } finally {
    o.signal?.removeEventListener("abort", stop);
    child.kill("SIGKILL");
  }
}

/** Whole pictures in the order in which they were written; the writer waits. */
async function* inTurn(stream: Readable): AsyncGenerator<Uint8Array> {
  let pending: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    pending.push(chunk);
    length += chunk.length;
    if (length < FRAME_BYTES) continue;
    let all = Buffer.concat(pending);
    while (all.length >= FRAME_BYTES) {
      yield all.subarray(0, FRAME_BYTES);
      all = all.subarray(FRAME_BYTES);
    }
    pending = [all];
    length = all.length;
  }
}

/** The newest whole picture each time one is asked for: who is slower than the camera skips pictures instead of falling behind. */
async function* latest(stream: Readable): AsyncGenerator<Uint8Array> {
  let newest: Uint8Array | undefined;
  let done = false;
  let failure: unknown;
  let wake = (): void => {};
  const reading = (async () => {
    for await (const picture of inTurn(stream)) {
      newest = picture;
      wake();
    }
  })();
  reading
    .catch((e: unknown) => {
      failure = e;
    })
    .finally(() => {
      done = true;
      wake();
    });
  while (true) {
    if (newest) {
      const picture = newest;
      newest = undefined;
      yield picture;
    } else if (failure) throw failure;
    else if (done) return;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
}
