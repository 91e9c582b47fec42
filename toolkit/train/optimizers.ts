/**
 * Optimisers as graph transforms: all parameters are one flat vector, and so are the gradient and each state, so that
 * an update is a handful of nodes however many layers the net has.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { scale } from "../ops/algebra.js";
import type { Entry } from "./parameters.js";

/** Flat vectors of one length, and the scalars of the step. */
export interface UpdateInputs {
  parameters: Ref;
  gradient: Ref;
  /** 1 where weight decay applies, 0 for normalisation parameters and biases. */
  decayMask: Ref;
  /** One per name in `states`; zero before the first step. */
  states: readonly Ref[];
  scalars: Readonly<Record<string, Ref>>;
  /** Where each tensor lies in the vectors, for optimisers that look at layers one by one. */
  entries: readonly Entry[];
}

export interface Optimizer {
  readonly name: string;
  /** Names of the vectors that live from step to step. */
  readonly states: readonly string[];
  /** What is fed at step `step` (from 0); always holds `learningRate`. */
  scalars(step: number, learningRate: number): Record<string, number>;
  /** Emits the step. */
  update(g: GraphBuilder, v: UpdateInputs): { parameters: Ref; states: Ref[] };
}

export interface SgdOptions {
  /** Default 0.9. */
  momentum?: number;
  /** Default false. */
  nesterov?: boolean;
  /** L2 penalty, added to the gradient. Default 0. */
  weightDecay?: number;
}

/** The gradient of the loss and of an L2 penalty on what decays. */
const penalised = (g: GraphBuilder, v: UpdateInputs, weightDecay: number): Ref =>
  weightDecay > 0 ? g.add(v.gradient, g.mul(v.parameters, scale(g, v.decayMask, weightDecay))) : v.gradient;

/** Stochastic gradient descent with momentum: v = momentum * v + gradient; w -= learningRate * v (PyTorch's convention). */
export function sgd(o: SgdOptions = {}): Optimizer {
  const { momentum = 0.9, nesterov = false, weightDecay = 0 } = o;
  return {
    name: "sgd",
    states: momentum > 0 ? ["velocity"] : [],
    scalars: (_step, learningRate) => ({ learningRate }),
    update(g, v) {
      const gradient = penalised(g, v, weightDecay);
      const descend = (direction: Ref): Ref => g.sub(v.parameters, g.mul(direction, v.scalars.learningRate));
      if (momentum === 0) return { parameters: descend(gradient), states: [] };
      const velocity = g.add(scale(g, v.states[0], momentum), gradient);
      return {
        parameters: descend(nesterov ? g.add(gradient, scale(g, velocity, momentum)) : velocity),
        states: [velocity],
      };
    },
  };
}

export interface AdamWOptions {
  /** Default 0.9. */
  beta1?: number;
  /** Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Decoupled decay, times the learning rate. Default 0.01. */
  weightDecay?: number;
}

/** Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019, algorithm 2). */
export function adamW(o: AdamWOptions = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01 } = o;
  return {
    name: "adamw",
    states: ["firstMoment", "secondMoment"],
    scalars: (step, learningRate) => ({
      learningRate,
      firstCorrection: 1 / (1 - beta1 ** (step + 1)),
      secondCorrection: 1 / (1 - beta2 ** (step + 1)),
    }),
    update(g, v) {
      const { learningRate, firstCorrection, secondCorrection } = v.scalars;
      const first = g.add(scale(g, v.states[0], beta1), scale(g, v.gradient, 1 - beta1));
      const second = g.add(scale(g, v.states[1], beta2), scale(g, g.mul(v.gradient, v.gradient), 1 - beta2));
      const step = g.div(
        g.mul(first, firstCorrection),
        g.add(g.sqrt(g.mul(second, secondCorrection)), g.const(epsilon)),
      );
      const decayed = weightDecay > 0 ? g.add(step, g.mul(v.parameters, scale(g, v.decayMask, weightDecay))) : step;
      return { parameters: g.sub(v.parameters, g.mul(decayed, learningRate)), states: [first, second] };
    },
  };
}

export interface RmspropOptions {
  /** Share of the running mean square that stays. Default 0.99. */
  alpha?: number;
  /** Default 0. */
  momentum?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  weightDecay?: number;
}

/** RMSprop (Hinton's lecture 6e) in PyTorch's form: the root is taken first, epsilon is added after it. */
export function rmsprop(o: RmspropOptions = {}): Optimizer {
  const { alpha = 0.99, momentum = 0, epsilon = 1e-8, weightDecay = 0 } = o;
  return {
    name: "rmsprop",
    states: momentum > 0 ? ["meanSquare", "velocity"] : ["meanSquare"],
    scalars: (_step, learningRate) => ({ learningRate }),
    update(g, v) {
      const gradient = penalised(g, v, weightDecay);
      const meanSquare = g.add(scale(g, v.states[0], alpha), scale(g, g.mul(gradient, gradient), 1 - alpha));
      const step = g.div(gradient, g.add(g.sqrt(meanSquare), g.const(epsilon)));
      const velocity = momentum > 0 ? g.add(scale(g, v.states[1], momentum), step) : step;
      return {
        parameters: g.sub(v.parameters, g.mul(velocity, v.scalars.learningRate)),
        states: momentum > 0 ? [meanSquare, velocity] : [meanSquare],
      };
    },
  };
}

export interface LarsOptions {
  /** Default 0.9. */
  momentum?: number;
  /** Default 1e-4. */
  weightDecay?: number;
  /** How much a layer may change in a step, relative to itself. Default 0.001. */
  trustCoefficient?: number;
}

/**
 * Layer-wise adaptive rates for large batches (You, Gitman, Ginsburg 2017, algorithm 1): the rate of a layer is the global one times
 * trust |w| / (|gradient| + decay |w|). Tensors without decay (normalisation, biases) keep the global rate.
 */
export function lars(o: LarsOptions = {}): Optimizer {
  const { momentum = 0.9, weightDecay = 1e-4, trustCoefficient = 0.001 } = o;
  return {
    name: "lars",
    states: ["velocity"],
    scalars: (_step, learningRate) => ({ learningRate }),
    update(g, v) {
      const lengths = v.entries.map((e) => e.length);
      const cut = (flat: Ref): Ref[] =>
        lengths.length === 1 ? [flat] : g.emitMany("Split", [flat, g.ints(lengths)], {}, { outputs: lengths.length });
      const norm = (x: Ref): Ref => g.sqrt(g.reduceSum(g.mul(x, x), [0], true));
      const weights = cut(v.parameters);
      const gradients = cut(v.gradient);
      const rates = v.entries.map((e, i) => {
        const length = g.ints([e.length]);
        if (!e.decay) return g.emit("Expand", [g.const([1]), length]);
        const weight = norm(weights[i]);
        const whole = g.add(norm(gradients[i]), scale(g, weight, weightDecay));
        const trust = g.div(scale(g, weight, trustCoefficient), g.emit("Max", [whole, g.const(1e-12)]));
        // Without weights or without a gradient there is nothing to compare.
        const usable = g.emit("And", [
          g.emit("Greater", [weight, g.const(0)]),
          g.emit("Greater", [norm(gradients[i]), g.const(0)]),
        ]);
        return g.emit("Expand", [g.emit("Where", [usable, trust, g.const([1])]), length]);
      });
      const rate = rates.length === 1 ? rates[0] : g.concat(rates, 0);
      const scaled = g.mul(g.mul(penalised(g, v, weightDecay), rate), v.scalars.learningRate);
      const velocity = g.add(scale(g, v.states[0], momentum), scaled);
      return { parameters: g.sub(v.parameters, velocity), states: [velocity] };
    },
  };
}

/** Scales the gradient down where its Euclidean norm exceeds `limit`. */
export function clipNorm(g: GraphBuilder, gradient: Ref, limit: number): Ref {
  const norm = g.sqrt(g.reduceSum(g.mul(gradient, gradient), [0], true));
  return g.mul(gradient, g.emit("Min", [g.div(g.const(limit), g.add(norm, g.const(1e-6))), g.const(1)]));
}
