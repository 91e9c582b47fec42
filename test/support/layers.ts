/** Layers with random parameters, for small nets built in tests. */
import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { floats, sizeOf } from "../../toolkit/graph/tensor.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { uniform } from "./graphs.js";

export interface ConvOptions {
  kernel?: number;
  stride?: number;
  group?: number;
  bias?: boolean;
}

/** A GraphBuilder that knows a few layers. Names of nodes are the caller's. */
export class Layers {
  readonly b: GraphBuilder;
  private readonly next: () => number;

  constructor(opset = 17, seed = 1) {
    this.b = new GraphBuilder(emptyGraph("net", opset));
    this.next = uniform(seed);
  }

  parameter(name: string, dims: readonly number[], low = -1, high = 1): Ref {
    const values = Float32Array.from({ length: sizeOf(dims) }, () => low + this.next() * (high - low));
    return this.b.initializer(name, floats(values, dims));
  }

  conv(name: string, x: Ref, from: number, to: number, o: ConvOptions = {}): Ref {
    const { kernel = 1, stride = 1, group = 1, bias = true } = o;
    const w = this.parameter(`${name}.weight`, [to, from / group, kernel, kernel]);
    const pad = (kernel - 1) >> 1;
    const p = { strides: [stride, stride], pads: [pad, pad, pad, pad], group };
    return this.b.conv(x, w, bias ? this.parameter(`${name}.bias`, [to]) : "", p, { name, out: `${name}_out` });
  }

  batchNorm(name: string, x: Ref, channels: number): Ref {
    const p = ["scale", "shift", "mean", "var"].map((k) => this.parameter(`${name}.${k}`, [channels], 0.5, 1.5));
    return this.b.emit("BatchNormalization", [x, ...p], {}, { name, out: `${name}_out` });
  }

  gemm(name: string, x: Ref, from: number, to: number): Ref {
    const inputs = [x, this.parameter(`${name}.weight`, [to, from]), this.parameter(`${name}.bias`, [to])];
    return this.b.emit("Gemm", inputs, { transB: attr.int(1) }, { name, out: `${name}_out` });
  }

  /** The net with the given output, inferred. */
  done(...outputs: Ref[]): Graph {
    for (const y of outputs) this.b.output(y);
    return inferShapes(this.b.graph);
  }
}
