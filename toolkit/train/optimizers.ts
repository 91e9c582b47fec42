/**
 * Optimisers as graph transforms: all parameters are one flat vector, and so are the gradient and each state, so that
 * an update is a handful of nodes however many layers the net has.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { scale } from "../ops/algebra.js";

/** Flat vectors of one length, and the scalars of the step. */
export interface UpdateInputs {
  parameters: Ref;
  gradient: Ref;
  /** 1 where weight decay applies, 0 for normalisation parameters and biases. */
  decayMask: Ref;
  /** One per name in `states`; zero before the first step. */
  states: readonly Ref[];
  scalars: Readonly<Record<string, Ref>>;
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

/** Stochastic gradient descent with momentum: v = momentum * v + gradient; w -= learningRate * v (PyTorch's convention). */
export function sgd(o: SgdOptions = {}): Optimizer {
  const { momentum = 0.9, nesterov = false, weightDecay = 0 } = o;
  return {
    name: "sgd",
    states: momentum > 0 ? ["velocity"] : [],
    scalars: (_step, learningRate) => ({ learningRate }),
    update(g, v) {
      const gradient =
        weightDecay > 0 ? g.add(v.gradient, g.mul(v.parameters, scale(g, v.decayMask, weightDecay))) : v.gradient;
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

/** Scales the gradient down where its Euclidean norm exceeds `limit`. */
export function clipNorm(g: GraphBuilder, gradient: Ref, limit: number): Ref {
  const norm = g.sqrt(g.reduceSum(g.mul(gradient, gradient), [0], true));
  return g.mul(gradient, g.emit("Min", [g.div(g.const(limit), g.add(norm, g.const(1e-6))), g.const(1)]));
}
