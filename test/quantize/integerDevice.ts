/** A device whose times are known: so many microseconds for every layer, in floats and on integers. Outputs come from the host. */
import type {
  DeviceFacts,
  DeviceRunner,
  Feeds,
  LoadedModel,
  MeasureJob,
  Measurement,
  NodeProfile,
  WireTensor,
} from "../../runners/runner.js";
import type { Graph, OpNode } from "../../toolkit/graph/graph.js";
import type { Tensor } from "../../toolkit/graph/tensor.js";
import { readModel } from "../../toolkit/onnx/index.js";
import { withSession } from "../../toolkit/runtime/session.js";

export interface IntegerDeviceOptions {
  kind?: DeviceFacts["kind"];
  arch?: string;
  isa?: readonly string[];
  /** Microseconds of a layer. */
  us?: (node: string, integer: boolean) => number;
}

export class IntegerDevice implements DeviceRunner {
  private readonly models = new Map<number, { bytes: Uint8Array; graph: Graph }>();
  private next = 1;

  constructor(private readonly o: IntegerDeviceOptions = {}) {}

  describe(): Promise<DeviceFacts> {
    return Promise.resolve({
      id: "integers-t1",
      kind: this.o.kind ?? "node-wasm",
      hardware: { cpu: "abacus", cores: 1, isa: this.o.isa ?? ["avx_vnni"], memoryBytes: null },
      os: { platform: "linux", arch: this.o.arch ?? "x64", release: null },
      runtime: {
        package: "fake",
        version: "1.0",
        provider: "CPUExecutionProvider",
        threads: 1,
        graphOptimizationLevel: "all",
      },
      conditions: { governor: null, temperatureC: null, charging: null },
      emulated: false,
      clockMs: 1e-6,
    });
  }

  load(bytes: Uint8Array): Promise<LoadedModel> {
    const id = this.next++;
    this.models.set(id, { bytes, graph: readModel(bytes) });
    return Promise.resolve({ id, initMs: 1, inputs: [], outputs: [], residentBytes: null });
  }

  private layers(id: number): { node: OpNode; us: number }[] {
    const { graph } = this.models.get(id)!;
    const dequantized = new Set(graph.nodes.filter((n) => n.opType === "DequantizeLinear").flatMap((n) => n.outputs));
    return graph.nodes
      .filter((n) => n.opType === "Conv" || n.opType === "Gemm")
      .map((node) => ({ node, us: (this.o.us ?? (() => 10))(node.name, dequantized.has(node.inputs[1])) }));
  }

  /** Milliseconds of one call. */
  ms = (id: number): number => this.layers(id).reduce((sum, l) => sum + l.us, 1) / 1000;

  measure(job: MeasureJob): Promise<Measurement[]> {
    return Promise.resolve(
      job.models.map(({ id }, model) => ({
        model,
        firstRunMs: this.ms(id),
        warmups: 1,
        samplesMs: new Float64Array(job.minSamples ?? 50).fill(this.ms(id)),
        callsPerSample: 1,
        drift: 0,
        saturation: null,
        stopped: "enough" as const,
        peakMemoryBytes: null,
      })),
    );
  }

  profile(id: number, _feeds: unknown, calls: number): Promise<NodeProfile> {
    const nodes = this.layers(id).map(({ node, us }) => ({
      name: node.name,
      opType: node.opType,
      provider: "CPUExecutionProvider",
      inputDims: [],
      outputDims: [],
      durationsUs: new Float64Array(calls).fill(us),
    }));
    this.models.delete(id);
    return Promise.resolve({ nodes, callsUs: new Float64Array(calls) });
  }

  run = (id: number, feeds: Feeds): Promise<Record<string, WireTensor>> =>
    withSession(this.models.get(id)!.bytes, { threads: 1 }, (s) => s.run(feeds as Record<string, Tensor>)) as Promise<
      Record<string, WireTensor>
    >;

  unload = async (id: number): Promise<void> => {
    this.models.delete(id);
  };

  close = async (): Promise<void> => {};
}
