/**
 * One full SGD step (forward, backward, update) against PyTorch: time and peak resident memory, each in a process of its own,
 * steps taken in turns.
 *
 *   npx tsx test/bench/trainStep.ts --python /path/to/python [--net resnet20|mobilenetv2] [--batch 128] [--threads 1] [--steps 12]
 *   npx tsx test/bench/trainStep.ts --linear [--threads 1]      cost against depth and batch, edgefit alone
 *
 * The Python needs torch, onnx and numpy from PyPI; without --python only edgefit is timed. Processor time (user and system) is what
 * other work on the machine disturbs least.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type { Graph } from "../../toolkit/graph/graph.js";
import { readModelFile, writeModel } from "../../toolkit/onnx/index.js";
import { crossEntropy, sgd, Trainer } from "../../toolkit/train/index.js";
import { mobileNetV2, resnetCifar } from "../../toolkit/zoo/index.js";
import { gaussian } from "../support/random.js";
import { head, row } from "./header.js";

const { values } = parseArgs({
  options: {
    python: { type: "string" },
    net: { type: "string", default: "resnet20" },
    batch: { type: "string", default: "128" },
    threads: { type: "string", default: "1" },
    steps: { type: "string" },
    linear: { type: "boolean" },
    worker: { type: "string" },
  },
});

/** MobileNetV2 for 32x32: the paper's blocks at half its width, with the strides that small images want. */
const nets: Record<string, () => Graph> = {
  resnet20: () => resnetCifar({ layers: 20 }),
  resnet56: () => resnetCifar({ layers: 56 }),
  resnet110: () => resnetCifar({ layers: 110 }),
  mobilenetv2: () => mobileNetV2({ stem: "cifar", widthMultiplier: 0.5, headChannels: 640 }),
};

interface Step {
  wallMs: number;
  cpuMs: number;
  peakBytes: number;
  loss: number;
}

/** The child: answers every line on stdin with one step. */
async function work(model: string, batch: number, threads: number): Promise<void> {
  const graph = await readModelFile(model);
  const idleBytes = process.resourceUsage().maxRSS * 1024;
  const dims = [batch, 3, 32, 32];
  const trainer = await Trainer.open({
    graph,
    batchDims: dims,
    loss: crossEntropy(),
    optimizer: sgd({ weightDecay: 1e-4 }),
    threads,
  });
  const data = Float32Array.from({ length: batch * 3 * 32 * 32 }, gaussian(1));
  const labels = Int32Array.from({ length: batch }, (_, i) => (i * 7) % 10);
  process.stdout.write(`${JSON.stringify({ version: "", idleBytes })}\n`);
  for await (const _ of createInterface({ input: process.stdin })) {
    const [wall, cpu] = [performance.now(), process.cpuUsage()];
    const loss = await trainer.step({ data, dims, labels }, 0.01);
    const used = process.cpuUsage(cpu);
    const step: Step = {
      wallMs: performance.now() - wall,
      cpuMs: (used.user + used.system) / 1000,
      peakBytes: process.resourceUsage().maxRSS * 1024,
      loss,
    };
    process.stdout.write(`${JSON.stringify(step)}\n`);
  }
}

/** A contestant: a process that takes a step when told to. */
class Contestant {
  readonly steps: Step[] = [];
  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
    private readonly lines: AsyncIterator<string>,
    readonly version: string,
    readonly idleBytes: number,
  ) {}

  static async start(name: string, command: string, args: string[]): Promise<Contestant> {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done) throw new Error(`${command} ended before its first step`);
    const { version, idleBytes } = JSON.parse(first.value) as { version: string; idleBytes: number };
    return new Contestant(name, child, lines, version, idleBytes);
  }

  async step(counts: boolean): Promise<void> {
    this.child.stdin!.write("step\n");
    const line = await this.lines.next();
    if (line.done) throw new Error(`${this.name} ended early`);
    if (counts) this.steps.push(JSON.parse(line.value) as Step);
  }

  stop(): void {
    this.child.stdin!.end();
  }

  median(of: "wallMs" | "cpuMs"): number {
    const sorted = this.steps.map((s) => s[of]).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }

  get peakBytes(): number {
    return Math.max(...this.steps.map((s) => s.peakBytes));
  }
}

const ownArgs = (model: string, batch: number, threads: string): string[] => [
  ...process.execArgv,
  import.meta.filename,
  "--worker",
  model,
  "--batch",
  `${batch}`,
  "--threads",
  threads,
];

/** Steps in turns, the first two of each uncounted. */
async function race(contestants: readonly Contestant[], steps: number): Promise<void> {
  for (let s = -2; s < steps; s++) for (const c of contestants) await c.step(s >= 0);
  for (const c of contestants) c.stop();
}

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

async function againstTorch(folder: string): Promise<void> {
  const { python, threads, net } = values;
  const model = join(folder, `${net}.onnx`);
  writeFileSync(model, writeModel(nets[net]()));
  const batch = Number(values.batch);
  const contestants = [await Contestant.start("edgefit", process.execPath, ownArgs(model, batch, threads))];
  for (const layout of python ? ["nchw", "channels_last"] : []) {
    const script = join(import.meta.dirname, "trainStep.py");
    contestants.push(
      await Contestant.start(`PyTorch, ${layout}`, python!, [script, model, `${batch}`, threads, layout]),
    );
  }
  await race(contestants, Number(values.steps ?? 12));
  console.log(`${net}, batch ${batch}, ${threads} thread(s); PyTorch ${contestants[1]?.version ?? "not run"}\n`);
  console.log(head("", "processor ms", "wall ms", "peak MiB", "peak above idle MiB", "last loss"));
  for (const c of contestants)
    console.log(
      row(
        c.name,
        c.median("cpuMs").toFixed(0),
        c.median("wallMs").toFixed(0),
        mebibytes(c.peakBytes),
        mebibytes(c.peakBytes - c.idleBytes),
        c.steps.at(-1)!.loss.toFixed(4),
      ),
    );
  const [own, ...torch] = contestants;
  if (torch.length === 0) return;
  const ratio = (of: (c: Contestant) => number): string => (of(own) / Math.min(...torch.map(of))).toFixed(2);
  console.log(
    row(
      "ratio to PyTorch's best",
      ratio((c) => c.median("cpuMs")),
      ratio((c) => c.median("wallMs")),
      ratio((c) => c.peakBytes),
      ratio((c) => c.peakBytes - c.idleBytes),
      "",
    ),
  );
}

/** Milliseconds per multiply-add, relative to the first row: 1 where cost is linear. */
async function linear(folder: string): Promise<void> {
  const { threads } = values;
  const started = async (net: string, batch: number): Promise<Contestant> => {
    const model = join(folder, `${net}.onnx`);
    writeFileSync(model, writeModel(nets[net]()));
    return Contestant.start(net, process.execPath, ownArgs(model, batch, threads));
  };
  const steps = Number(values.steps ?? 5);
  // A block of ResNet-CIFAR is a third of (layers - 2) / 6 blocks per stage; the stem and the classifier are all that does not repeat.
  const depths = [20, 56, 110];
  const byDepth = [];
  for (const d of depths) byDepth.push(await started(`resnet${d}`, 64));
  await race(byDepth, steps);
  console.log(head("net, batch 64", "processor ms", "ms per layer", "relative to resnet20"));
  const perLayer = byDepth.map((c, i) => c.median("cpuMs") / (depths[i] - 1));
  byDepth.forEach((c, i) => {
    console.log(
      row(c.name, c.median("cpuMs").toFixed(0), perLayer[i].toFixed(2), (perLayer[i] / perLayer[0]).toFixed(3)),
    );
  });
  const batches = [32, 64, 128, 256];
  const byBatch = [];
  for (const b of batches) byBatch.push(await started("resnet20", b));
  await race(byBatch, steps);
  console.log(`\n${head("resnet20, batch", "processor ms", "ms per image", "relative to batch 128")}`);
  const perImage = byBatch.map((c, i) => c.median("cpuMs") / batches[i]);
  byBatch.forEach((c, i) => {
    console.log(
      row(batches[i], c.median("cpuMs").toFixed(0), perImage[i].toFixed(2), (perImage[i] / perImage[2]).toFixed(3)),
    );
  });
}

if (values.worker !== undefined) {
  await work(values.worker, Number(values.batch), Number(values.threads));
} else {
  if (!nets[values.net]) throw new Error(`--net is one of ${Object.keys(nets).join(", ")}`);
  const { version } = createRequire(import.meta.url)("onnxruntime-node/package.json") as { version: string };
  const machine = `${cpus()[0].model.trim()}, ${cpus().length} cores; onnxruntime-node ${version}, Node ${process.versions.node}`;
  console.log(`${machine}\nmedians of steps taken in turns; ${new Date().toISOString().slice(0, 10)}\n`);
  const folder = mkdtempSync(join(tmpdir(), "edgefit-step-"));
  try {
    await (values.linear ? linear(folder) : againstTorch(folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
