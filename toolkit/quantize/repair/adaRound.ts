/**
 * AdaRound (Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization"): whether each weight goes up or down is
 * relaxed to a rectified sigmoid h(V) and learned; a growing penalty drives every h to 0 or 1 (equations 21 to 24).
 *
 * Deviation: the layer's error is taken in its second moments, (w - q)' H (w - q), which is the paper's linear form (equation 20) over
 * all calibration positions at once; the activation behind the layer is not looked at.
 */
import { emptyGraph, GraphBuilder, type Ref } from "../../graph/builder.js";
import { attr, type Graph } from "../../graph/graph.js";
import { type Progress, throwIfAborted } from "../../graph/progress.js";
import { floats, scalar, toFloat32 } from "../../graph/tensor.js";
import { openSession, type Session } from "../../runtime/session.js";

export interface AdaRoundOptions {
  /** Steps of Adam per layer. Default 400. */
  steps?: number;
  learningRate?: number;
  threads?: number;
  signal?: AbortSignal;
  onProgress?: Progress;
}

/** Rows of equally wide panels with their moments. */
export interface AdaRoundProblem {
  panels: number;
  rows: number;
  width: number;
  /** [panels, rows, width] weights, and the step of each one's integer. */
  weights: Float64Array;
  scales: Float64Array;
  /** [panels, width, width]. */
  products: Float64Array;
  limit: number;
}

/** Stretch of the sigmoid, so that 0 and 1 are reached (zeta and gamma in the paper). */
const ZETA = 1.1;
const GAMMA = -0.1;
/** Weight of the penalty beside the error, whose unit is that of rounding to the nearest, per weight. */
const PENALTY = 3;
/** Share of the steps without a penalty. */
const WARM_UP = 0.2;
const BETA = [20, 2] as const;

/** Learns the rounding of layers one by one; the step graph is built once, for any shape. */
export class AdaRounder {
  private constructor(
    private readonly session: Session,
    private readonly o: AdaRoundOptions,
  ) {}

  static async open(o: AdaRoundOptions = {}): Promise<AdaRounder> {
    return new AdaRounder(await openSession(stepGraph(), { threads: o.threads, where: "rounding graph" }), o);
  }

  async dispose(): Promise<void> {
    await this.session.dispose();
  }

  /** Integers, [panels, rows, width]. Each is the floor or the ceiling of its weight. */
  async round(p: AdaRoundProblem): Promise<Int8Array> {
    const steps = this.o.steps ?? 400;
    const dims = [p.panels, p.rows, p.width];
    const target = p.weights.map((w, i) => w / p.scales[i]);
    const base = target.map((t) => Math.max(-p.limit, Math.min(p.limit - 1, Math.floor(t))));
    const start = Float32Array.from(target, (t, i) => {
      const h = Math.max(0.01, Math.min(0.99, t - base[i]));
      const s = (h - GAMMA) / (ZETA - GAMMA);
      return Math.log(s / (1 - s));
    });
    const fixed = {
      base: floats(base, dims),
      target: floats(target, dims),
      scales: floats(p.scales, dims),
      products: floats(p.products, [p.panels, p.width, p.width]),
      unit: scalar(unitOf(p, target)),
    };
    let state = {
      v: floats(start, dims),
      first: floats(new Float32Array(start.length), dims),
      second: floats(new Float32Array(start.length), dims),
    };
    for (let step = 0; step < steps; step++) {
      throwIfAborted(this.o.signal);
      const share = Math.max(0, (step / steps - WARM_UP) / (1 - WARM_UP));
      const beta = BETA[1] + (BETA[0] - BETA[1]) * 0.5 * (1 + Math.cos(Math.PI * share));
      const results = await this.session.run({
        ...fixed,
        ...state,
        beta: scalar(beta),
        penalty: scalar(step / steps < WARM_UP ? 0 : PENALTY),
        learning_rate: scalar(this.o.learningRate ?? 0.1),
        first_correction: scalar(1 / (1 - 0.9 ** (step + 1))),
        second_correction: scalar(1 / (1 - 0.999 ** (step + 1))),
      });
      state = { v: results.v_next, first: results.first_next, second: results.second_next };
    }
    const v = toFloat32(state.v);
    return Int8Array.from(base, (b, i) => (v[i] >= 0 ? b + 1 : b));
  }
}

/** Inverse of the error per weight that rounding to the nearest leaves. */
function unitOf(p: AdaRoundProblem, target: Float64Array): number {
  const { panels, rows, width } = p;
  let sum = 0;
  for (let k = 0; k < panels; k++) {
    for (let r = 0; r < rows; r++) {
      const at = (k * rows + r) * width;
      const e = Float64Array.from({ length: width }, (_, i) => {
        const t = target[at + i];
        return (t - Math.max(-p.limit, Math.min(p.limit, Math.round(t)))) * p.scales[at + i];
      });
      // The diagonal says enough of the size.
      for (let i = 0; i < width; i++) sum += e[i] * e[i] * p.products[(k * width + i) * width + i];
    }
  }
  return sum > 0 ? target.length / sum : 1;
}

/** One step of Adam on V: error and penalty differentiated by hand. */
function stepGraph(): Graph {
  const g = new GraphBuilder(emptyGraph("adaround"));
  const tensor = (name: string): Ref => g.input(name, ["panels", "rows", "width"]);
  const [v, first, second, base, target, scales] = ["v", "first", "second", "base", "target", "scales"].map(tensor);
  const products = g.input("products", ["panels", "width", "width"]);
  const [unit, beta, penalty, rate, firstCorrection, secondCorrection] = [
    "unit",
    "beta",
    "penalty",
    "learning_rate",
    "first_correction",
    "second_correction",
  ].map((name) => g.input(name, []));
  const c = (x: number): Ref => g.const(x);
  const s = g.emit("Sigmoid", [v]);
  const stretched = g.add(g.mul(s, c(ZETA - GAMMA)), c(GAMMA));
  const h = g.clip(stretched, 0, 1);
  const error = g.mul(g.sub(g.add(base, h), target), scales);
  // d/dh of error' H error, and of 1 - |2h - 1|^beta.
  const fromError = g.mul(g.mul(g.mul(g.matmul(error, products), scales), c(2)), unit);
  const away = g.sub(g.mul(h, c(2)), c(1));
  const power = g.emit("Pow", [g.emit("Abs", [away]), g.sub(beta, c(1))]);
  const fromPenalty = g.mul(g.mul(g.mul(g.emit("Sign", [away]), power), beta), g.mul(penalty, c(-2)));
  const inside = g.emit(
    "Cast",
    [g.emit("And", [g.emit("Greater", [stretched, c(0)]), g.emit("Less", [stretched, c(1)])])],
    { to: attr.int(1) },
  );
  const slope = g.mul(g.mul(g.mul(s, g.sub(c(1), s)), c(ZETA - GAMMA)), inside);
  const gradient = g.mul(g.add(fromError, fromPenalty), slope);
  const firstNext = g.add(g.mul(first, c(0.9)), g.mul(gradient, c(0.1)), { out: "first_next" });
  const secondNext = g.add(g.mul(second, c(0.999)), g.mul(g.mul(gradient, gradient), c(0.001)), {
    out: "second_next",
  });
  const move = g.div(g.mul(firstNext, firstCorrection), g.add(g.sqrt(g.mul(secondNext, secondCorrection)), c(1e-8)));
  g.output(g.sub(v, g.mul(move, rate), { out: "v_next" }));
  g.output(firstNext);
  g.output(secondNext);
  return g.graph;
}
