/**
 * A device whose times are known exactly: node times follow an additive staircase in blocks of 16 channels, whole calls a known
 * affine law of them. It names nodes as ONNX Runtime does after its layout rewrites, and its speed may change with time.
 */
import type {
  DeviceFacts,
  DeviceRunner,
  LoadedModel,
  MeasureJob,
  Measurement,
  NodeProfile,
  NodeTime,
} from "../../runners/runner.js";
import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { attrInts, cloneGraph, type Graph } from "../../toolkit/graph/graph.js";
import { floats } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import type { Precision } from "../../toolkit/latency/index.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";

export const TRUE_SCALE = 0.9;
export const TRUE_PER_LAUNCH_US = -0.5;
export const TRUE_PER_CALL_US = 7;

/** Microseconds of one 3x3 convolution: a step every 16 channels on both sides. */
export const convUs = (cin: number, cout: number, pixels: number): number =>
  3 + (Math.ceil(cin / 16) * Math.ceil(cout / 16) * pixels) / 20;
/** A layout reorder, which inputs under 16 channels need. */
export const reorderUs = (cin: number, pixels: number): number => 2 + (cin * pixels) / 4000;

/** Nodes that the fake runtime launches for a graph, in order. */
function launches(g: Graph, factor: number): NodeTime[] {
  const dims = (v: string): number[] =>
    ((g.valueTypes.get(v) ?? g.inputs.find((i) => i.name === v)?.type)?.dims ?? []).map(Number);
  const out: NodeTime[] = [];
  const emit = (name: string, opType: string, read: number[][], written: number[], us: number) =>
    out.push({
      name,
      opType,
      provider: "CPUExecutionProvider",
      inputDims: read,
      outputDims: [written],
      durationsUs: Float64Array.of(us * factor),
    });
  for (const [i, n] of g.nodes.entries()) {
    if (n.opType === "Relu" || n.opType === "Add") continue; // fused into the convolution before
    const x = dims(n.inputs[0]);
    const y = dims(n.outputs[0]);
    if (n.opType !== "Conv") {
      emit(n.name, n.opType, [x], y, 4);
      continue;
    }
    if (x[1] < 16 && x[1] !== 3)
      emit(`ReorderOutput_token_${i}`, "ReorderOutput", [x], x, reorderUs(x[1], x[2] * x[3]));
    const strides = attrInts(n, "strides") ?? [1, 1];
    let last = n;
    for (let next: typeof n | undefined = n; next; ) {
      last = next;
      next = g.nodes.find((m) => (m.opType === "Relu" || m.opType === "Add") && m.inputs[0] === last.outputs[0]);
    }
    emit(`${last.outputs[0]}_nchwc`, "Conv", [x], y, convUs(x[1], y[1], y[2] * y[3]) * (strides[0] === 2 ? 1.1 : 1));
  }
  return out;
}

export interface FakeOptions {
  /** Slowness of the machine at a moment, in calls since the start. Default: 1 always. */
  slowness?: (call: number) => number;
  /** Throws instead of profiling, from this net on. */
  failAtProfile?: number;
  version?: string;
  emulated?: boolean;
}

export class FakeDevice implements DeviceRunner {
  private readonly models = new Map<number, NodeTime[]>();
  private next = 1;
  private call = 0;
  loads = 0;
  profiles = 0;
  unloaded = 0;

  constructor(private readonly o: FakeOptions = {}) {}

  describe(): Promise<DeviceFacts> {
    return Promise.resolve({
      id: "fake-t1",
      kind: "node-cpu",
      hardware: { cpu: "abacus", cores: 1, isa: [], memoryBytes: null },
      os: { platform: "linux", arch: "x64", release: null },
      runtime: {
        package: "fake",
        version: this.o.version ?? "1.0",
        provider: "CPUExecutionProvider",
        threads: 1,
        graphOptimizationLevel: "all",
      },
      conditions: { governor: null, temperatureC: null, charging: null },
      emulated: this.o.emulated ?? false,
      clockMs: 1e-6,
    });
  }

  load(bytes: Uint8Array): Promise<LoadedModel> {
    this.loads++;
    const g = inferShapes(tidy(readModel(bytes)));
    const id = this.next++;
    this.models.set(id, launches(g, g.model.metadata.get("precision") === "int8" ? 0.4 : 1));
    return Promise.resolve({ id, initMs: 1, inputs: [], outputs: [], residentBytes: null } as LoadedModel);
  }

  /** What a whole call truly takes on a machine at its usual speed, in ms. */
  trueMs(id: number): number {
    const nodes = this.models.get(id)!;
    const us = nodes.reduce((s, n) => s + n.durationsUs[0], 0);
    return (TRUE_SCALE * us + TRUE_PER_LAUNCH_US * nodes.length + TRUE_PER_CALL_US) / 1000;
  }

  private slowness = () => this.o.slowness?.(this.call++) ?? 1;

  measure(job: MeasureJob): Promise<Measurement[]> {
    const rounds = job.minSamples ?? 50;
    const samples = job.models.map(() => new Float64Array(rounds));
    for (let r = 0; r < rounds; r++) {
      for (const [i, m] of job.models.entries()) samples[i][r] = this.trueMs(m.id) * this.slowness();
    }
    return Promise.resolve(
      job.models.map((m, i) => {
        const third = Math.floor(rounds / 3);
        return {
          model: m.id,
          firstRunMs: samples[i][0],
          warmups: 1,
          samplesMs: samples[i],
          callsPerSample: 1,
          drift: samples[i][rounds - 1 - (third >> 1)] / samples[i][third >> 1] - 1,
          saturation: null,
          stopped: "enough" as const,
          peakMemoryBytes: null,
        };
      }),
    );
  }

  profile(id: number, _feeds: unknown, calls: number): Promise<NodeProfile> {
    if (this.profiles === this.o.failAtProfile) return Promise.reject(new Error("the cable came off"));
    this.profiles++;
    const slow = this.slowness();
    const nodes = this.models
      .get(id)!
      .map((n) => ({ ...n, durationsUs: new Float64Array(calls).fill(n.durationsUs[0] * slow) }));
    this.models.delete(id);
    return Promise.resolve({ nodes, callsUs: new Float64Array(calls) });
  }

  unload(id: number): Promise<void> {
    this.models.delete(id);
    this.unloaded++;
    return Promise.resolve();
  }

  get open(): number {
    return this.models.size;
  }

  run: DeviceRunner["run"] = () => Promise.reject(new Error("not asked for"));
  close = () => Promise.resolve();
}

/** Two residual blocks on a stem: groups of 32 (the stream), 48 and 64 channels. */
export function residualNet(): Graph {
  const g = new GraphBuilder(emptyGraph("residual"));
  const conv = (x: Ref, cin: number, cout: number, name: string): Ref => {
    const w = g.initializer(`${name}.weight`, floats(new Float32Array(cout * cin * 9).fill(0.01), [cout, cin, 3, 3]));
    return g.conv(x, w, "", { pads: [1, 1, 1, 1], strides: [1, 1] }, { out: `${name}.out`, name });
  };
  let x = g.relu(conv(g.input("image", [1, 3, 16, 16]), 3, 32, "stem"), { out: "stem.relu" });
  for (const [block, inner] of [48, 64].entries()) {
    const y = g.relu(conv(x, 32, inner, `b${block}.conv1`), { out: `b${block}.relu1` });
    x = g.relu(g.add(conv(y, inner, 32, `b${block}.conv2`), x, { out: `b${block}.sum` }), { out: `b${block}.relu2` });
  }
  const pooled = g.emit("GlobalAveragePool", [x], {}, { out: "pooled" });
  const flat = g.emit("Flatten", [pooled], {}, { out: "flat" });
  const w = g.initializer("head.weight", floats(new Float32Array(320).fill(0.1), [32, 10]));
  g.output(g.emit("Gemm", [flat, w], {}, { out: "logits", name: "head" }));
  return inferShapes(tidy(g.graph));
}

/** Marks int8 nets for the fake device, which runs them in 40 % of the time. */
export function fakeVariant(g: Graph, precision: Precision): Uint8Array {
  const out = cloneGraph(g);
  out.model.metadata.set("precision", precision);
  return writeModel(out);
}
