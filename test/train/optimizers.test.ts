/** Every optimiser against its formula on numbers, one parameter at a time. */
import { describe, expect, it } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { floats, scalar, toFloat32 } from "../../toolkit/graph/tensor.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { adamW, lars, type Optimizer, rmsprop, sgd } from "../../toolkit/train/index.js";
import { gaussian } from "../support/random.js";

const STEPS = 12;
/** Two tensors: the first decays. */
const ENTRIES = [
  { name: "w", dims: [2, 2], offset: 0, length: 4, decay: true },
  { name: "b", dims: [3], offset: 4, length: 3, decay: false },
];
const LENGTH = 7;
const decays = (i: number): boolean => i < 4;
const rate = (step: number): number => 0.05 / (1 + 0.1 * step);

/** Parameters after each step, by the generated graph. */
async function byGraph(o: Optimizer, start: Float32Array, gradients: readonly Float32Array[]): Promise<Float32Array[]> {
  const g = new GraphBuilder(emptyGraph("update"));
  const vector = (name: string) => g.input(name, [LENGTH]);
  const mask = Float32Array.from({ length: LENGTH }, (_, i) => (decays(i) ? 1 : 0));
  const updated = o.update(g, {
    parameters: vector("w"),
    gradient: vector("gradient"),
    decayMask: g.initializer("mask", floats(mask)),
    states: o.states.map(vector),
    scalars: Object.fromEntries(Object.keys(o.scalars(0, 0)).map((name) => [name, g.input(name, [])])),
    entries: ENTRIES,
  });
  const outputs = [updated.parameters, ...updated.states];
  outputs.forEach((ref, i) => {
    g.output(g.identity(ref, { out: `next_${i}` }));
  });
  return withSession(g.graph, { threads: 1 }, async (session) => {
    let w = start;
    let states: Float32Array[] = o.states.map(() => new Float32Array(LENGTH));
    const trace: Float32Array[] = [];
    for (const [step, gradient] of gradients.entries()) {
      const results = await session.run({
        w: floats(w),
        gradient: floats(gradient),
        ...Object.fromEntries(o.states.map((name, i) => [name, floats(states[i])])),
        ...Object.fromEntries(Object.entries(o.scalars(step, rate(step))).map(([name, v]) => [name, scalar(v)])),
      });
      w = toFloat32(results.next_0);
      states = o.states.map((_, i) => toFloat32(results[`next_${i + 1}`]));
      trace.push(w);
    }
    return trace;
  });
}

/** One step on numbers: weights and gradients of the whole, which parameter, its memory, the step; returns the new weight. */
type Rule = (
  v: { w: number; g: number; lr: number; step: number; decay: boolean; weights: number[]; gradients: number[] },
  memory: { m: number; v: number },
) => number;

const rules: [string, Optimizer, Rule][] = [
  ["SGD", sgd({ momentum: 0 }), ({ w, g, lr }) => w - lr * g],
  [
    "SGD with momentum and decay",
    sgd({ momentum: 0.8, weightDecay: 0.1 }),
    ({ w, g, lr, decay }, s) => w - lr * (s.m = 0.8 * s.m + g + (decay ? 0.1 * w : 0)),
  ],
  [
    "Nesterov's momentum",
    sgd({ momentum: 0.8, nesterov: true, weightDecay: 0.1 }),
    ({ w, g, lr, decay }, s) => {
      const d = g + (decay ? 0.1 * w : 0);
      s.m = 0.8 * s.m + d;
      return w - lr * (d + 0.8 * s.m);
    },
  ],
  [
    "AdamW",
    adamW({ beta1: 0.85, beta2: 0.95, weightDecay: 0.2, epsilon: 1e-6 }),
    ({ w, g, lr, step, decay }, s) => {
      s.m = 0.85 * s.m + 0.15 * g;
      s.v = 0.95 * s.v + 0.05 * g * g;
      const first = s.m / (1 - 0.85 ** (step + 1));
      const second = s.v / (1 - 0.95 ** (step + 1));
      return w * (1 - (decay ? lr * 0.2 : 0)) - (lr * first) / (Math.sqrt(second) + 1e-6);
    },
  ],
  [
    "RMSprop",
    rmsprop({ alpha: 0.9, weightDecay: 0.1, epsilon: 1e-5 }),
    ({ w, g, lr, decay }, s) => {
      const d = g + (decay ? 0.1 * w : 0);
      s.v = 0.9 * s.v + 0.1 * d * d;
      return w - (lr * d) / (Math.sqrt(s.v) + 1e-5);
    },
  ],
  [
    "RMSprop with momentum",
    rmsprop({ alpha: 0.9, momentum: 0.7, epsilon: 1e-5 }),
    ({ w, g, lr }, s) => {
      s.v = 0.9 * s.v + 0.1 * g * g;
      return w - lr * (s.m = 0.7 * s.m + g / (Math.sqrt(s.v) + 1e-5));
    },
  ],
  [
    "LARS",
    lars({ momentum: 0.8, weightDecay: 0.1, trustCoefficient: 0.05 }),
    ({ w, g, lr, decay, weights, gradients }, s) => {
      const size = (v: number[]): number => Math.hypot(...v.slice(0, 4));
      const trust = (0.05 * size(weights)) / (size(gradients) + 0.1 * size(weights));
      s.m = 0.8 * s.m + lr * (decay ? trust * (g + 0.1 * w) : g);
      return w - s.m;
    },
  ],
];

describe("optimisers", () => {
  it.each(rules)("%s takes the steps of its formula", async (_, optimizer, rule) => {
    const normal = gaussian(4);
    const drawn = (): Float32Array => Float32Array.from({ length: LENGTH }, normal);
    const start = drawn();
    const gradients = Array.from({ length: STEPS }, drawn);
    const trace = await byGraph(optimizer, start, gradients);
    let w = Array.from(start);
    const memories = w.map(() => ({ m: 0, v: 0 }));
    gradients.forEach((gradient, step) => {
      const weights = w;
      w = weights.map((own, i) =>
        rule(
          {
            w: own,
            g: gradient[i],
            lr: rate(step),
            step,
            decay: decays(i),
            weights,
            gradients: Array.from(gradient),
          },
          memories[i],
        ),
      );
      w.forEach((v, i) => {
        expect(trace[step][i], `step ${step}, parameter ${i}`).toBeCloseTo(v, 5);
      });
    });
  });

  it("LARS leaves tensors without weights or gradients at the global rate", async () => {
    const start = Float32Array.of(0, 0, 0, 0, 1, 1, 1);
    const gradient = Float32Array.of(1, 1, 1, 1, 0, 0, 0);
    const [after] = await byGraph(lars(), start, [gradient]);
    expect(Array.from(after)).toEqual([-0.05, -0.05, -0.05, -0.05, 1, 1, 1].map(Math.fround));
  });
});
