/**
 * INT8 beside onnxruntime.quantization on the same images: top-1, output SQNR, time and peak memory of quantising.
 *
 *   npx tsx test/bench/quantizePeers.ts --python PATH [--what accuracy,faces,time,memory] [--models ...] [--nets ...] [--methods ...] [--images 512]
 *       [--memory-images 100,1000,10000] [--peer-memory-images 100,1000] [--quality balanced] [--folder DIR]
 *
 * PATH is a Python with onnx and onnxruntime. Both tools see the first images of the training part; every INT8 file,
 * whoever made it, is judged here by the same runtime. Each quantisation runs in a process of its own with one thread.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import sharp from "sharp";
import { openLocalRunner } from "../../runners/index.js";
import { loadDataset, type Preprocessing } from "../../toolkit/data/index.js";
import { feedsOf } from "../../toolkit/graph/graph.js";
import { readModelFile, writeModel } from "../../toolkit/onnx/index.js";
import type { QuantizeModelOptions } from "../../toolkit/options.js";
import {
  argmaxRows,
  feedsOfBatch,
  type ImageBatch,
  outputSqnrDb,
  prepareForQuantization,
  quantize,
  referenceOutputs,
  worstDb,
} from "../../toolkit/quantize/index.js";
import { settingsOf } from "../../toolkit/quantizeSettings.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { sharedPath } from "../support/shared.js";
import { head, header, row } from "./header.js";

const { values: flags } = parseArgs({
  options: {
    python: { type: "string" },
    what: { type: "string", default: "accuracy,faces,time,memory" },
    models: { type: "string", default: "resnet8,resnet20,resnet56" },
    nets: { type: "string", default: "UltraFace RFB-320,UltraFace slim-320,YuNet n,OpenSeeFace landmarks" },
    methods: { type: "string", default: "minmax,percentile,entropy" },
    images: { type: "string", default: "512" },
    "memory-images": { type: "string", default: "100,1000,10000" },
    "peer-memory-images": { type: "string", default: "100,1000" },
    quality: { type: "string", default: "balanced" },
    folder: { type: "string", default: join(tmpdir(), "edgefit-peers") },
    child: { type: "string" },
  },
});
type Quality = NonNullable<QuantizeModelOptions["quality"]>;
const run = promisify(execFile);
type Method = "minmax" | "percentile" | "entropy";
const METHODS = flags.methods.split(",") as Method[];
const folder = flags.folder;

const imageNet: Preprocessing = {
  size: { height: 32, width: 32 },
  rescaleFactor: 1 / 255,
  imageMean: [0.485, 0.456, 0.406],
  imageStd: [0.229, 0.224, 0.225],
  channelOrder: "rgb",
  layout: "nchw",
  resample: "bilinear",
  fit: "stretch",
};
const raw: Preprocessing = { ...imageNet, rescaleFactor: 1, imageMean: [0, 0, 0], imageStd: [1, 1, 1] };

const classifiers: Record<string, { file: string; preprocessing: Preprocessing }> = {
  resnet8: { file: "mlperf-tiny/resnet8-cifar10.onnx", preprocessing: raw },
  resnet20: { file: "resnet-cifar10/resnet20-cifar10.onnx", preprocessing: imageNet },
  resnet56: { file: "resnet-cifar10/resnet56-cifar10.onnx", preprocessing: imageNet },
};

/** Networks for faces: how an RGB crop becomes their input. */
const faces: Record<
  string,
  { file: string; size: [number, number]; pixel: (v: number, channel: number) => number; order: number[] }
> = {
  "UltraFace RFB-320": {
    file: "ultraface/ultraface-RFB-320_simplified.onnx",
    size: [240, 320],
    pixel: (v) => (v - 127) / 128,
    order: [0, 1, 2],
  },
  "UltraFace slim-320": {
    file: "ultraface/ultraface-slim-320_simplified.onnx",
    size: [240, 320],
    pixel: (v) => (v - 127) / 128,
    order: [0, 1, 2],
  },
  "YuNet n": { file: "yunet/yunet_n_320_320.onnx", size: [320, 320], pixel: (v) => v, order: [2, 1, 0] },
  "OpenSeeFace landmarks": {
    file: "openseeface/lm_model0_opt-plain.onnx",
    size: [224, 224],
    pixel: (v, c) => (v / 255 - imageNet.imageMean[c]) / imageNet.imageStd[c],
    order: [0, 1, 2],
  },
};

interface Job {
  model: string;
  images: string;
  dims: number[];
  batch: number;
  limit: number;
  out: string;
  quality: Quality;
  /** Overrides the quality's range method. */
  ranges?: Method;
}

interface Cost {
  seconds: number;
  /** Of all threads: what a machine that does other things as well does not change. */
  cpuSeconds: number;
  peakBytes: number;
}

/** Images `from` to `to` of a file of float32 images, without reading the rest. */
async function* imagesIn(
  path: string,
  dims: readonly number[],
  count: number,
  step: number,
): AsyncIterable<ImageBatch> {
  const { open } = await import("node:fs/promises");
  const size = dims.reduce((a, b) => a * b, 1);
  const file = await open(path);
  try {
    for (let i = 0; i < count; i += step) {
      const images = Math.min(step, count - i);
      const data = new Float32Array(images * size);
      await file.read(new Uint8Array(data.buffer), 0, data.byteLength, i * size * 4);
      yield { data, dims: [images, ...dims] };
    }
  } finally {
    await file.close();
  }
}

/** One quantisation in this process: what the child does. */
async function child(job: Job): Promise<Cost> {
  const runner = await openLocalRunner({ threads: 1 });
  const facts = await runner.describe();
  await runner.close();
  const settings = settingsOf(
    { model: job.model, quality: job.quality, ...(job.ranges ? { ranges: job.ranges } : {}) },
    facts,
  );
  const begin = performance.now();
  const busy = process.cpuUsage();
  const g = await readModelFile(job.model);
  const result = await quantize(g, imagesIn(job.images, job.dims, job.limit, job.batch), { ...settings, threads: 1 });
  await writeFile(job.out, writeModel(result.graph));
  const { user, system } = process.cpuUsage(busy);
  return {
    seconds: (performance.now() - begin) / 1000,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  };
}

async function ours(job: Job): Promise<Cost> {
  const self = fileURLToPath(import.meta.url);
  const { stdout } = await run(process.execPath, [...process.execArgv, self, "--child", JSON.stringify(job)], {
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Cost;
}

let versions = "";

async function peer(job: Job, method: Method, out: string): Promise<Cost> {
  if (!flags.python) throw new Error("give --python: a Python with onnx and onnxruntime");
  const script = fileURLToPath(new URL("quantizePeers.py", import.meta.url));
  const { stdout } = await run(
    flags.python,
    ["-W", "ignore", script, job.model, job.images, job.dims.join(), method, out, String(job.batch), String(job.limit)],
    { maxBuffer: 2 ** 24, env: { ...process.env, OMP_NUM_THREADS: "1" } },
  );
  const found = JSON.parse(stdout.trim().split("\n").at(-1)!) as Cost & { version: string; onnx: string };
  versions = `onnxruntime ${found.version}, onnx ${found.onnx}`;
  return found;
}

async function writeImages(path: string, batches: AsyncIterable<ImageBatch>): Promise<void> {
  const stream = createWriteStream(path);
  for await (const b of batches) {
    if (!stream.write(Buffer.from(b.data.buffer, b.data.byteOffset, b.data.byteLength))) await once(stream, "drain");
  }
  stream.end();
  await once(stream, "finish");
}

const fixedBatch = async (path: string): Promise<number | undefined> => {
  const first = feedsOf(await readModelFile(path))[0].type.dims?.[0];
  return typeof first === "number" ? first : undefined;
};

const cifar = (p: Preprocessing) => loadDataset(`cifar10:${sharedPath("data/cifar10")}`, p);

/** Job of a classifier with the first `count` training images; where there are fewer, they come again. */
async function classifierJob(name: string, count: number): Promise<Job> {
  const { file, preprocessing } = classifiers[name];
  const model = sharedPath(`models/${file}`);
  const images = join(folder, `${name}-${count}.bin`);
  const { train } = await cifar(preprocessing);
  await writeImages(
    images,
    (async function* () {
      for (let i = 0; i < count; i += 100)
        yield train.batch(Array.from({ length: Math.min(100, count - i) }, (_, k) => (i + k) % train.count));
    })(),
  );
  return {
    model,
    images,
    dims: [3, 32, 32],
    batch: (await fixedBatch(model)) ?? 32,
    limit: count,
    out: join(folder, `${name}-edgefit.onnx`),
    quality: flags.quality as Quality,
  };
}

async function top1(path: string, p: Preprocessing): Promise<number> {
  const { test } = await cifar(p);
  const g = await readModelFile(path);
  let right = 0;
  await withSession(g, { threads: 1 }, async (session) => {
    for (let i = 0; i < test.count; i += 200) {
      const batch = await test.batch(Array.from({ length: 200 }, (_, k) => i + k));
      let at = 0;
      for (const { feeds } of feedsOfBatch(g, batch)) {
        const [scores] = Object.values(await session.run(feeds));
        for (const c of argmaxRows(scores.data as Float32Array, 10)) if (c === batch.labels![at++]) right++;
      }
    }
  });
  return (100 * right) / test.count;
}

async function accuracy(): Promise<void> {
  console.log(
    head("model", "float top-1 %", "edgefit", "drop", ...METHODS.map((m) => `onnxruntime ${m}`), "best drop"),
  );
  for (const name of flags.models.split(",")) {
    const job = await classifierJob(name, Number(flags.images));
    const { preprocessing } = classifiers[name];
    const float = await top1(job.model, preprocessing);
    await ours(job);
    const own = await top1(job.out, preprocessing);
    const others: number[] = [];
    for (const m of METHODS) {
      const out = join(folder, `${name}-${m}.onnx`);
      await peer(job, m, out);
      others.push(await top1(out, preprocessing));
    }
    console.log(
      row(
        name,
        float.toFixed(2),
        own.toFixed(2),
        (float - own).toFixed(2),
        ...others.map((v) => v.toFixed(2)),
        (float - Math.max(...others)).toFixed(2),
      ),
    );
  }
}

/** Random crops of the photographs, mirrored at times: `count` inputs of a network. */
async function crops(net: (typeof faces)[string], count: number, seed: number): Promise<ImageBatch> {
  const files = ["astronaut.png", "grace_hopper.bmp", "face.jpg"];
  const photos = await Promise.all(
    files.map(async (f) => {
      const path = sharedPath(`data/faces/${f}`);
      if (!f.endsWith(".bmp")) {
        const { data, info } = await sharp(path).removeAlpha().raw().toBuffer({ resolveWithObject: true });
        return { data: new Uint8Array(data), ...info };
      }
      const { decode } = await import("fast-bmp");
      const { width, height, channels, data } = decode(await readFile(path));
      return { data: new Uint8Array(data as Uint8Array), width, height, channels };
    }),
  );
  const generator = xoroshiro128plus(seed);
  const uniform = (low: number, high: number): number => low + (high - low) * uniformFloat64(generator);
  const [height, width] = net.size;
  const plane = height * width;
  const data = new Float32Array(count * 3 * plane);
  for (let i = 0; i < count; i++) {
    const info = photos[i % photos.length];
    const share = uniform(0.4, 1);
    const [w, h] = [Math.floor(info.width * share), Math.floor(info.height * share)];
    const image = sharp(info.data, {
      raw: { width: info.width, height: info.height, channels: info.channels as 3 },
    }).extract({
      left: Math.floor(uniform(0, info.width - w + 1)),
      top: Math.floor(uniform(0, info.height - h + 1)),
      width: w,
      height: h,
    });
    const mirrored = uniform(0, 1) < 0.5 ? image.flop() : image;
    const out = await mirrored.resize(width, height, { fit: "fill" }).removeAlpha().raw().toBuffer();
    for (let c = 0; c < 3; c++) {
      const source = net.order[c];
      for (let k = 0; k < plane; k++) data[(i * 3 + c) * plane + k] = net.pixel(out[k * 3 + source], c);
    }
  }
  return { data, dims: [count, 3, height, width] };
}

const FACE_CALIBRATION = 60;
const FACE_JUDGES = 20;

async function faceNets(): Promise<void> {
  console.log(head("model", "edgefit, worst output dB", ...METHODS.map((m) => `onnxruntime ${m}`)));
  for (const name of flags.nets.split(",")) {
    const net = faces[name];
    const calibration = await crops(net, FACE_CALIBRATION, 1);
    const judges = await crops(net, FACE_JUDGES, 2);
    const model = sharedPath(`models/${net.file}`);
    const images = join(folder, "faces.bin");
    await writeFile(images, Buffer.from(calibration.data.buffer));
    const float = prepareForQuantization(await readModelFile(model));
    const reference = await referenceOutputs(float, [judges], { threads: 1 });
    const judge = async (path: string): Promise<number> =>
      worstDb(await outputSqnrDb(await readModelFile(path), reference, { threads: 1 }));
    const job: Job = {
      model,
      images,
      dims: calibration.dims.slice(1),
      batch: (await fixedBatch(model)) ?? 4,
      limit: FACE_CALIBRATION,
      out: join(folder, "faces-edgefit.onnx"),
      quality: flags.quality as Quality,
    };
    await ours(job);
    const cells = [(await judge(job.out)).toFixed(1)];
    for (const m of METHODS) {
      const out = join(folder, `faces-${m}.onnx`);
      await peer(job, m, out);
      cells.push((await judge(out)).toFixed(1));
    }
    console.log(row(name, ...cells));
  }
}

async function time(): Promise<void> {
  console.log("resnet56, 1,000 images, one thread; CPU seconds (wall seconds)\n");
  console.log(head("ranges", "edgefit fast", "edgefit balanced", "onnxruntime", "share fast", "share balanced"));
  const job = await classifierJob("resnet56", 1000);
  const both = (c: Cost): string => `${c.cpuSeconds.toFixed(1)} (${c.seconds.toFixed(0)})`;
  for (const m of METHODS) {
    const fast = await ours({ ...job, quality: "fast", ranges: m });
    const balanced = await ours({ ...job, quality: "balanced", ranges: m });
    const other = await peer(job, m, join(folder, "time.onnx"));
    const share = (v: Cost): string => (v.cpuSeconds / other.cpuSeconds).toFixed(2);
    console.log(row(m, both(fast), both(balanced), both(other), share(fast), share(balanced)));
  }
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

async function memory(): Promise<void> {
  console.log(
    head("resnet56, calibration images", "edgefit peak MiB", ...METHODS.map((m) => `onnxruntime ${m} peak MiB`)),
  );
  const peers = flags["peer-memory-images"].split(",").map(Number);
  for (const count of flags["memory-images"].split(",").map(Number)) {
    const job = await classifierJob("resnet56", count);
    const own = await ours({ ...job, quality: "fast" });
    const others: string[] = [];
    for (const m of METHODS) {
      const measured = peers.includes(count) || m === "minmax";
      others.push(measured ? mib((await peer(job, m, join(folder, "memory.onnx"))).peakBytes) : "not run");
    }
    console.log(row(count, mib(own.peakBytes), ...others));
  }
}

if (flags.child) {
  console.log(JSON.stringify(await child(JSON.parse(flags.child) as Job)));
} else {
  await mkdir(folder, { recursive: true });
  const runner = await openLocalRunner({ threads: 1 });
  console.log(header(await runner.describe(), `${flags.images} calibration images, quality ${flags.quality}`));
  await runner.close();
  const parts: Record<string, () => Promise<void>> = { accuracy, faces: faceNets, time, memory };
  for (const what of flags.what.split(",")) {
    await parts[what]();
    console.log("");
  }
  console.log(`peer: ${versions}, per channel, U8S8, QDQ, after quant_pre_process`);
}
