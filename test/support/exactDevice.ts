/** The device of known latency, with outputs that are right as well; and a net for it whose channels differ. */
import type { DeviceFacts, Feeds, LoadedModel, WireTensor } from "../../runners/runner.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { floats, type Tensor } from "../../toolkit/graph/tensor.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { FakeDevice } from "../latency/fakeDevice.js";
import { gaussian } from "./random.js";

/** Takes its times from the staircase and its outputs from ONNX Runtime on the host. */
export class ExactDevice extends FakeDevice {
  private readonly bytes = new Map<number, Uint8Array>();

  /** @param asTimed the model whose times count, where a runtime would rewrite it first */
  constructor(private readonly asTimed: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes) {
    super();
  }

  override async describe(): Promise<DeviceFacts> {
    return { ...(await super.describe()), kind: "node-wasm" };
  }

  override async load(bytes: Uint8Array): Promise<LoadedModel> {
    const loaded = await super.load(this.asTimed(bytes));
    this.bytes.set(loaded.id, bytes);
    return loaded;
  }

  override run = (id: number, feeds: Feeds): Promise<Record<string, WireTensor>> =>
    withSession(this.bytes.get(id)!, { threads: 1 }, (s) => s.run(feeds as Record<string, Tensor>)) as Promise<
      Record<string, WireTensor>
    >;
}

/** Draws every float weight of the graph anew, always alike. */
export function drawWeights(g: Graph): Graph {
  const normal = gaussian(21);
  for (const [name, t] of g.initializers) {
    if (t.elemType !== "float32") continue;
    const fan = t.data.length / t.dims[0];
    const values = Float32Array.from({ length: t.data.length }, () => normal() / Math.sqrt(fan));
    g.initializers.set(name, floats(values, t.dims));
  }
  return g;
}
