/**
 * GDP: Guo, Yuan, Tan, Wang, Yang, Liu, "GDP: Stabilized Neural Network Pruning via Gates with Differentiable Polarization", ICCV 2021.
 *
 * Every channel has a gate g(θ) = θ² / (θ² + ε) wherever it is summed over, shared by all layers that read it. Weights and gates are
 * trained together along
 *
 *     cross-entropy + λ C(Σ g_1, Σ g_2, …) / C_0
 *
 * where C is the cost at the (fractional) sums of the gates of each group: bilinear for multiply-accumulates, interpolated between candidate
 * widths for a device's table. ε falls from 0.1 to 1e-4 along a geometric path, so that gates become 0 or nearly 1. Closed gates
 * leave, open ones are absorbed into the weights that read the channel, W[:, c] *= g_c, and training goes on along the same schedule:
 * there is no retraining.
 *
 * Deviations: the paper's decay of ε and its proximal steps were not available; λ is not a constant but, in each step, what
 * brings the cost (to first order) onto a geometric path down to the target, which is reached when ε is nearly at its end; what is
 * open then is snapped to candidate widths within the target.
 */
import type { Graph } from "../graph/graph.js";
import type { Keep } from "../prune/groups.js";
import { orderByScore } from "../prune/importance.js";
import { cosineSchedule, type Schedule } from "../train/index.js";
import { interpolatedCost } from "./expectedCost.js";
import { cutOf } from "./finishing.js";
import { fitMeasured, narrowest } from "./fitWidths.js";
import { keepAt } from "./gates.js";
import type { MethodContext, PruningMethod } from "./method.js";
import { gateSlope, gatesFrom } from "./polarisedGate.js";
import { numberSetting } from "./readSettings.js";
import { type Found, searchThenTrain } from "./searchThenTrain.js";
import { Supernet } from "./supernet.js";

const settings = {
  search: "share of the steps in which gates are learned; default 0.6",
  epsilon: "first ε; default 0.1",
  lastEpsilon: "last ε; default 1e-4",
  gateRate: "learning rate of θ, relative to the weights'; default 1",
};

const MOMENTUM = 0.9;
/** Of θ by the cost, per step: its slope is taken at one place only. */
const LARGEST_PULL = 0.1;

/** Thetas that are learned under a cost that comes down along a path. */
export class PolarisedGates {
  readonly thetas: Map<string, Float64Array>;
  private readonly velocity: Map<string, Float64Array>;

  constructor(
    private readonly c: MethodContext,
    private readonly candidates: ReadonlyMap<string, readonly number[]>,
    private readonly o: { steps: number; epsilon: number; lastEpsilon: number },
  ) {
    const ones = (value: number) =>
      new Map([...candidates].map(([id, w]) => [id, new Float64Array(w.at(-1)!).fill(value)]));
    this.thetas = ones(1);
    this.velocity = ones(0);
  }

  epsilonAt(step: number): number {
    const progress = Math.min(1, step / Math.max(1, this.o.steps - 1));
    return this.o.epsilon ** (1 - progress) * this.o.lastEpsilon ** progress;
  }

  gates(step: number): Map<string, Float32Array> {
    return gatesFrom(this.thetas, this.epsilonAt(step));
  }

  /** The cost at the sums of the gates, in its own unit. */
  costAt(step: number) {
    const sums = new Map([...this.gates(step)].map(([id, g]) => [id, g.reduce((a, b) => a + b, 0)]));
    return interpolatedCost(this.c.cost, sums, this.candidates);
  }

  /** What the cost may be at a step. */
  allowedAt(step: number): number {
    const { original, target } = this.c.cost;
    const progress = Math.min(1, (step + 1) / (0.9 * this.o.steps));
    return original ** (1 - progress) * target ** progress;
  }

  /** A step of θ: along the loss's gradient by the gates, with momentum, then along the cost's, as far as the path asks for. */
  update(step: number, byGate: ReadonlyMap<string, Float64Array>, learningRate: number): void {
    const epsilon = this.epsilonAt(step);
    for (const [id, thetas] of this.thetas) {
      const velocity = this.velocity.get(id)!;
      for (const [i, theta] of thetas.entries()) {
        velocity[i] = MOMENTUM * velocity[i] + byGate.get(id)![i] * gateSlope(theta, epsilon);
        // A θ that would change its sign has closed its gate.
        thetas[i] = Math.max(0, theta - learningRate * velocity[i]);
      }
    }
    const { value, gradient } = this.costAt(step);
    const excess = value - this.allowedAt(step);
    if (excess <= 0) return;
    const slopes = [...this.thetas].map(([id, t]) => t.map((theta) => gradient.get(id)! * gateSlope(theta, epsilon)));
    const square = slopes.reduce((sum, list) => list.reduce((s, v) => s + v * v, sum), 0);
    for (const [g, thetas] of [...this.thetas.values()].entries())
      for (const [i, theta] of thetas.entries())
        thetas[i] = Math.max(0, theta - Math.min(LARGEST_PULL, (excess / square) * slopes[g][i]));
  }
}

/** The net with its gates in the weights that read the channels, and without the channels whose gates are 0. */
export function absorbGates(net: Supernet, gates: ReadonlyMap<string, Float32Array>): { graph: Graph; keep: Keep } {
  const effective = net.net.effective(net.parameters, gates);
  const keep = new Map<string, Int32Array>();
  for (const [id, g] of gates) {
    const open = Int32Array.from(g.keys()).filter((channel) => g[channel] !== 0);
    keep.set(id, open.length > 0 ? open : Int32Array.of(0));
  }
  return { graph: net.whole(effective), keep };
}

/** A schedule from its `from`-th step on. */
const rest =
  (schedule: Schedule, from: number, whole: number): Schedule =>
  (step) =>
    schedule(from + step, whole);

export const gdp: PruningMethod = {
  name: "gdp",
  title: "GDP",
  paper:
    "Guo, Yuan, Tan, Wang, Yang, Liu, GDP: Stabilized Neural Network Pruning via Gates with Differentiable Polarization, ICCV 2021",
  describe:
    "Trains a gate for every channel together with the weights, under a cost that pulls gates shut; they end at 0 or 1 and vanish without retraining.",
  settings,
  async run(c) {
    const whole = c.meter.left;
    const steps = Math.max(1, Math.floor(numberSetting(c, "search", 0.6, { least: 0, most: 1 }) * whole));
    const gateRate = numberSetting(c, "gateRate", 1, { least: 0 });
    const schedule = cosineSchedule({ learningRate: c.recipe.learningRate, warmup: 0.05 });
    const search = async (c: MethodContext): Promise<Found> => {
      const net = await Supernet.open(c);
      try {
        narrowest(c.cost, net.candidates);
        const learned = new PolarisedGates(c, net.candidates, {
          steps,
          epsilon: numberSetting(c, "epsilon", 0.1, { least: 1e-8 }),
          lastEpsilon: numberSetting(c, "lastEpsilon", 1e-4, { least: 1e-12 }),
        });
        for (let step = 0; step < steps; step++) {
          const pass = await net.pass(await net.next(), { gates: learned.gates(step) });
          const learningRate = schedule(step, whole);
          await net.update(pass.gradient, learningRate);
          learned.update(step, pass.gates, gateRate * c.recipe.learningRate);
          if (step % 50 === 0 || step + 1 === steps) c.meter.note("search", pass.loss, learningRate);
          c.onProgress?.({ stage: "polarising gates", done: step + 1, total: steps });
        }
        const gates = learned.gates(steps);
        const open = new Map([...gates].map(([id, g]) => [id, g.filter((v) => v !== 0).length]));
        const widths = await fitMeasured(c, open, net.candidates);
        const orders = new Map([...learned.thetas].map(([id, t]) => [id, orderByScore(t)]));
        const keep = keepAt(widths, orders);
        const lost = [...gates].reduce(
          (n, [id, g]) => n + g.filter((v, channel) => v !== 0 && !keep.get(id)!.includes(channel)).length,
          0,
        );
        const { graph } = absorbGates(net, gates);
        const cut = await cutOf(c, graph, keep);
        const total = [...open.values()].reduce((a, b) => a + b, 0);
        const between = [...gates.values()].reduce((n, g) => n + g.filter((v) => v > 0.05 && v < 0.95).length, 0);
        return {
          graph: cut.graph,
          widths: cut.widths,
          notes: [
            `${total} gates were open, ${between} of them between 0.05 and 0.95; ${lost} open ones went with the snap to candidate widths`,
          ],
        };
      } finally {
        await net.dispose();
      }
    };
    return searchThenTrain(c, search, { stage: "training without gates", schedule: rest(schedule, steps, whole) });
  },
};
