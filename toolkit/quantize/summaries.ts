/**
 * A float graph that gives, for every value that is watched, what a histogram needs of one call and no more: smallest and largest
 * element, a sum that betrays NaN and infinity, and a sample. Whole maps would have to be kept until the end of the call,
 * copied out, and searched outside the runtime. Maps are pooled rather than reduced: the runtime pools in the blocked layout
 * that its convolutions write, while any other operator makes it rearrange the map first. All maps' figures leave the runtime
 * in a few long vectors, because handing over a tensor costs more than filling it.
 */
import { GraphBuilder, type Ref } from "../graph/builder.js";
import { attr, attrInts, cloneGraph, type Graph, opsetOf, producersOf, typeOf, usesOf } from "../graph/graph.js";
import type { Tensor } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";

/** Elements of a value that one call adds to its histogram, about. */
const SAMPLED = 16384;

/** One call's view of one value. */
export interface Summary {
  min: number;
  max: number;
  /**
   * False where some element is NaN or infinite; then the rest says nothing, and nothing of the call does: a NaN may be noticed
   * only in the value that was computed from it.
   */
  finite: boolean;
  /** Empty where the call was not asked for samples. */
  sample: Float32Array;
}

export interface SummaryGraph {
  graph: Graph;
  /** What the results of a call with so many images say of each value, in the order in which values were given. */
  read(results: Record<string, Tensor>, images: number): Summary[];
}

/** Stride that thins `length` elements to about `SAMPLED` and, sharing no factor with it, keeps no step with rows or channels. */
export function strideFor(length: number): number {
  const sharesFactor = (a: number, b: number): boolean => (b === 0 ? a !== 1 : sharesFactor(b, a % b));
  let stride = Math.max(1, Math.floor(length / SAMPLED));
  while (stride > 1 && sharesFactor(length, stride)) stride++;
  return stride;
}

/** Steps down and across a map that thin `length` elements to about `SAMPLED`; odd, so that they meet even and odd places alike. */
export function stepsFor(length: number, height: number, width: number): readonly [number, number] {
  let [down, across] = [1, 1];
  while (length / (down * across) > 1.5 * SAMPLED) {
    if (across + 2 <= width && (across <= down || down + 2 > height)) across += 2;
    else if (down + 2 <= height) down += 2;
    else break;
  }
  return [down, across];
}

const EMPTY = new Float32Array(0);

/**
 * @param images per call, at which values have the length that decides how they are thinned
 * @param sampled whether samples are taken, which costs more than all the rest
 */
export function summaryGraph(g: Graph, values: readonly string[], images: number, sampled = true): SummaryGraph {
  const b = new GraphBuilder(cloneGraph(g));
  b.graph.outputs = [];
  const maps = new Maps(b, g, images, new Set(values), sampled);
  const others = new Others(b, g, images, sampled);
  const readers = values.map((value) => maps.watch(value) ?? others.watch(value));
  maps.close();
  return {
    graph: b.graph,
    read: (results, count) => readers.map((read) => read(results, count)),
  };
}

type Read = (results: Record<string, Tensor>, images: number) => Summary;

/** Values [images, channels, height, width]. */
class Maps {
  private readonly producers: ReturnType<typeof producersOf>;
  private readonly uses: ReturnType<typeof usesOf>;
  private readonly largest: Ref[] = [];
  private readonly smallest: Ref[] = [];
  /** Figures that no NaN leaves finite; whose they are does not matter. */
  private readonly sums: Ref[] = [];
  private readonly thinned: Ref[] = [];
  /** Per image: channels so far, and elements of samples so far. */
  private channels = 0;
  private elements = 0;
  private ends?: { largest: Ref; sums: Ref; smallest?: Ref; sample?: Ref };

  constructor(
    private readonly b: GraphBuilder,
    private readonly g: Graph,
    private readonly images: number,
    private readonly watched: ReadonlySet<string>,
    private readonly sampled: boolean,
  ) {
    this.producers = producersOf(g);
    this.uses = usesOf(g);
  }

  watch(value: string): Read | undefined {
    const dims = typeOf(this.g, value)?.dims ?? [];
    if (!this.isMap(value)) return undefined;
    const [first, channels, height, width] = dims as number[];
    const { b } = this;
    const flat = (ref: Ref): Ref => b.reshape(ref, [-1]);
    this.largest.push(flat(b.emit("GlobalMaxPool", [value])));
    const lower = this.lowerBound(value);
    const at = this.smallest.length;
    // Where the map is rearranged for its minimum anyway, its sum costs little; a pooling keeps the blocked layout.
    const whole = (op: string): Ref => flat(b.emit(op, [value], { keepdims: attr.int(0) }));
    if (lower === undefined) {
      this.smallest.push(whole("ReduceMin"));
      this.sums.push(whole("ReduceSum"));
    } else if (!this.toldByReader(value)) this.sums.push(flat(b.emit("GlobalAveragePool", [value])));
    const count = typeof first === "number" ? first : this.images;
    const [down, across] = stepsFor(count * channels * height * width, height, width);
    const thin =
      down * across === 1 || !this.sampled
        ? value
        : b.emit("MaxPool", [value], { kernel_shape: attr.ints([1, 1]), strides: attr.ints([down, across]) });
    if (this.sampled) this.thinned.push(flat(thin));
    const [fromChannel, fromSample] = [this.channels, this.elements];
    const size = channels * Math.ceil(height / down) * Math.ceil(width / across);
    this.channels += channels;
    this.elements += size;
    return (results, n) => {
      const { largest, smallest, sample } = this.ends!;
      const tops = results[largest].data as Float32Array;
      let max = Number.NEGATIVE_INFINITY;
      for (let i = fromChannel * n; i < (fromChannel + channels) * n; i++) if (tops[i] > max) max = tops[i];
      const min = lower ?? (results[smallest!].data as Float32Array)[at];
      return {
        min: Math.min(min, max),
        max,
        finite: this.allFinite(results) && Number.isFinite(min) && Number.isFinite(max),
        sample: sample
          ? (results[sample].data as Float32Array).subarray(fromSample * n, (fromSample + size) * n)
          : EMPTY,
      };
    };
  }

  /** Joins what all maps gave. */
  close(): void {
    if (this.largest.length === 0) return;
    const join = (parts: readonly Ref[]): Ref =>
      this.b.output(parts.length === 1 ? this.b.identity(parts[0]) : this.b.concat(parts, 0));
    this.ends = {
      largest: join(this.largest),
      sums: join(this.sums),
      ...(this.smallest.length > 0 ? { smallest: join(this.smallest) } : {}),
      ...(this.sampled ? { sample: join(this.thinned) } : {}),
    };
  }

  private known?: { of: Record<string, Tensor>; finite: boolean };

  /** A sum may overflow without any element being infinite: the caller then looks at all of them. */
  private allFinite(results: Record<string, Tensor>): boolean {
    if (this.known?.of !== results) {
      const sums = results[this.ends!.sums].data as Float32Array;
      this.known = { of: results, finite: sums.every((v) => Number.isFinite(v)) };
    }
    return this.known.finite;
  }

  /** Whether a NaN in the value is one in a convolution that reads all of it and whose result is summed without a rectifier between. */
  private toldByReader(value: string): boolean {
    return (this.uses.get(value) ?? []).some(
      ({ node, index }) =>
        node.opType === "Conv" &&
        node.domain === "" &&
        index === 0 &&
        (attrInts(node, "strides") ?? []).every((s) => s === 1) &&
        (attrInts(node, "pads") ?? []).every((p) => p >= 0) &&
        this.watched.has(node.outputs[0]) &&
        this.isMap(node.outputs[0]) &&
        this.lowerBound(node.outputs[0]) === undefined,
    );
  }

  private isMap(value: string): boolean {
    const [, channels, height, width, ...rest] = typeOf(this.g, value)?.dims ?? [];
    return (
      rest.length === 0 &&
      typeof channels === "number" &&
      channels > 0 &&
      typeof height === "number" &&
      typeof width === "number" &&
      height * width > 1
    );
  }

  /** What a rectifier says of its result without looking: nothing lies below, and in effect something lies there. */
  private lowerBound(value: string): number | undefined {
    const n = this.producers.get(value);
    const rule = n && ruleFor(n, opsetOf(this.g, n.domain))?.quantize;
    const interval = rule?.clamp?.(n!, (name) => this.g.initializers.get(name));
    return interval && interval[0] >= 0 && Number.isFinite(interval[0]) ? interval[0] : undefined;
  }
}

/** Values of any other form, each with tensors of its own. */
class Others {
  constructor(
    private readonly b: GraphBuilder,
    private readonly g: Graph,
    private readonly images: number,
    private readonly sampled: boolean,
  ) {}

  watch(value: string): Read {
    const { b } = this;
    const dims = typeOf(this.g, value)?.dims ?? [];
    const item = dims.slice(1).reduce<number>((a, d) => a * (typeof d === "number" ? d : 1), 1);
    const stride = strideFor(item * (typeof dims[0] === "number" ? dims[0] : this.images));
    if (stride === 1) {
      b.output(value);
      return (results) => summaryOf(results[value].data as Float32Array);
    }
    const keepdims = { keepdims: attr.int(0) };
    const [low, high, total] = ["ReduceMin", "ReduceMax", "ReduceSum"].map((op) =>
      b.output(b.emit(op, [value], keepdims)),
    );
    const slice = (): Ref =>
      b.emit("Slice", [
        b.reshape(value, [-1]),
        b.ints([0]),
        b.ints([Number.MAX_SAFE_INTEGER]),
        b.ints([0]),
        b.ints([stride]),
      ]);
    const sample = this.sampled ? b.output(slice()) : undefined;
    return (results) => {
      const [min, max, sum] = [low, high, total].map((ref) => Number(results[ref].data[0]));
      const finite = Number.isFinite(min) && Number.isFinite(max) && Number.isFinite(sum);
      return { min, max, finite, sample: sample ? (results[sample].data as Float32Array) : EMPTY };
    };
  }
}

/** The view of elements that are at hand. */
export function summaryOf(data: Float32Array): Summary {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let numbers = true;
  for (let i = 0; i < data.length; i++) {
    const v = data[i];
    if (v < min) min = v;
    if (v > max) max = v;
    if (Number.isNaN(v)) numbers = false;
  }
  return { min, max, finite: numbers && Number.isFinite(min) && Number.isFinite(max), sample: data };
}
