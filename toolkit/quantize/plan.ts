/**
 * Which nodes compute on integers, and which values share a grid. Decided from the operators' rules alone; numbers
 * come later. Knows no operator by name.
 */
import { type Graph, type OpNode, opsetOf, producersOf, typeOf, type Use, usesOf } from "../graph/graph.js";
import { ruleFor } from "../ops/index.js";
import type { QuantizeRule } from "../ops/rule.js";
import { activationPieces } from "./pieces.js";

export interface QdqPlan {
  /** Name of each integer node -> its rule. */
  quantized: Map<string, QuantizeRule>;
  /** Integer node -> the clamp behind it that its output range takes over; `kept` where the grid's ends cannot do its work. */
  clampOf: Map<string, { node: OpNode; interval: readonly [number, number]; kept: boolean }>;
  /** Integer nodes whose result nobody reads as an integer and whose kernel can give floats. */
  floatOutput: Set<string>;
  /** Value -> the value whose range and grid it shares; values that are not here have their own. */
  sharedGrid: Map<string, string>;
}

export interface PlanOptions {
  /** Names of nodes that stay float. */
  keepFloat?: ReadonlySet<string>;
  /** Whether a value can be quantised at all (its range is known and finite). Default: every value. */
  hasRange?: (value: string) => boolean;
  /** Whether the ends of the output's grid can do the work of a clamp to this interval. Default: always. */
  endsClamp?: (interval: readonly [number, number]) => boolean;
}

/** The value that owns the grid of `value`. */
export function gridOwner(plan: Pick<QdqPlan, "sharedGrid">, value: string): string {
  let owner = value;
  for (let next = plan.sharedGrid.get(owner); next !== undefined; next = plan.sharedGrid.get(owner)) owner = next;
  return owner;
}

/** Where the outputs of an integer node come out: behind the clamp that it took over, if any. */
export const resultsOf = (plan: QdqPlan, n: OpNode): readonly string[] =>
  plan.clampOf.get(n.name)?.node.outputs ?? n.outputs.filter((v) => v !== "");

/** Plans a graph that is tidy, inferred, at opset 13 or later, and whose batch norms are folded. */
export function planQdq(g: Graph, o: PlanOptions = {}): QdqPlan {
  const plan: QdqPlan = { quantized: new Map(), clampOf: new Map(), floatOutput: new Set(), sharedGrid: new Map() };
  const planner = new Planner(g, o, plan);
  planner.forward();
  planner.backward();
  return plan;
}

class Planner {
  private readonly uses: Map<string, Use[]>;
  private readonly producers: Map<string, OpNode>;
  private readonly graphOutputs: Set<string>;
  /** Nodes of activations that are rounded as a whole. */
  private readonly pieces: Set<string>;
  /** Values that come out of integer nodes. */
  private readonly integer = new Set<string>();

  constructor(
    private readonly g: Graph,
    private readonly o: PlanOptions,
    private readonly plan: QdqPlan,
  ) {
    this.uses = usesOf(g);
    this.producers = producersOf(g);
    this.pieces = activationPieces(g);
    this.graphOutputs = new Set(g.outputs.map((v) => v.name));
  }

  /** In the order of computation: takes every node that can compute on integers, given what feeds it. */
  forward(): void {
    for (const n of this.g.nodes) {
      if (this.o.keepFloat?.has(n.name) || this.pieces.has(n.name)) continue;
      const rule = ruleFor(n, opsetOf(this.g, n.domain))?.quantize;
      if (!rule || rule.when?.(n) === false || !this.isFloat(n.outputs[0])) continue;
      // Several outputs are fine where all are parts of the input (Split), not where one is an index (MaxPool).
      if (n.outputs.slice(1).some((v) => v !== "" && !(rule.passThrough && this.isFloat(v)))) continue;
      if (this.foldClamp(n, rule) || rule.clamp) continue;
      if (!this.inputsFit(n, rule)) continue;
      if (rule.passThrough)
        for (const v of n.outputs) if (v) this.plan.sharedGrid.set(v, n.inputs[rule.activations[0]]);
      // A clamp may follow and take the output over; a range is needed where the value really comes out.
      if (!rule.floatOutput && !this.outputHasRange(n)) {
        for (const v of n.outputs) this.plan.sharedGrid.delete(v);
        continue;
      }
      this.plan.quantized.set(n.name, rule);
      for (const v of n.outputs) if (v) this.integer.add(v);
    }
  }

  /**
   * Against the order of computation: an operator without weights is worth integers only between integer operators.
   * Where every reader is float (the tail of a detector, say), its 8-bit output would only add error. An operator
   * that can give floats does so there.
   */
  backward(): void {
    for (const n of [...this.g.nodes].reverse()) {
      const rule = this.plan.quantized.get(n.name);
      if (!rule) continue;
      if (resultsOf(this.plan, n).some((v) => this.hasIntegerReader(v))) continue;
      if (rule.weight && !rule.floatOutput) continue;
      this.plan.clampOf.delete(n.name);
      if (rule.floatOutput) {
        this.plan.floatOutput.add(n.name);
        continue;
      }
      this.plan.quantized.delete(n.name);
      for (const v of n.outputs) this.plan.sharedGrid.delete(v);
    }
  }

  private isFloat(value: string): boolean {
    return typeOf(this.g, value)?.elemType === "float32";
  }

  private hasRange(value: string): boolean {
    return this.o.hasRange?.(gridOwner(this.plan, value)) ?? true;
  }

  private outputHasRange(n: OpNode): boolean {
    const readers = this.uses.get(n.outputs[0]) ?? [];
    const [only] = readers;
    const behind = readers.length === 1 && this.clampInterval(only.node) ? only.node.outputs[0] : n.outputs[0];
    return this.hasRange(n.outputs[0]) || this.hasRange(behind);
  }

  private clampInterval(n: OpNode): readonly [number, number] | undefined {
    const rule = ruleFor(n, opsetOf(this.g, n.domain))?.quantize;
    if (!rule?.foldsIntoProducer || this.o.keepFloat?.has(n.name) || this.pieces.has(n.name)) return undefined;
    const interval = rule.clamp?.(n, (name) => this.g.initializers.get(name));
    // The grid holds 0, so a clamp that excludes 0 cannot be left to its ends.
    return interval && interval[0] <= 0 && interval[1] >= 0 ? interval : undefined;
  }

  /** A clamp behind an integer node that computes new values becomes the ends of that node's output range. */
  private foldClamp(n: OpNode, rule: QuantizeRule): boolean {
    const interval = this.clampInterval(n);
    if (!interval) return false;
    const value = n.inputs[rule.activations[0]];
    const producer = this.producers.get(value);
    const producerRule = producer && this.plan.quantized.get(producer.name);
    if (!producer || !producerRule || producerRule.passThrough || this.plan.clampOf.has(producer.name)) return false;
    if (this.uses.get(value)?.length !== 1 || this.graphOutputs.has(value) || !this.hasRange(n.outputs[0]))
      return false;
    const kept = this.o.endsClamp?.(interval) === false;
    this.plan.clampOf.set(producer.name, { node: n, interval, kept });
    this.integer.add(n.outputs[0]);
    return true;
  }

  private inputsFit(n: OpNode, rule: QuantizeRule): boolean {
    const { initializers } = this.g;
    if (rule.weight) {
      const weight = initializers.get(n.inputs[rule.weight.input] ?? "");
      if (weight?.elemType !== "float32") return false;
      if (rule.weight.rank !== undefined && weight.dims.length !== rule.weight.rank) return false;
      const bias = rule.bias === undefined ? "" : (n.inputs[rule.bias] ?? "");
      const channels = weight.dims[rule.weight.axis(n)];
      if (channels === undefined || channels === 0) return false;
      if (
        bias !== "" &&
        (initializers.get(bias)?.elemType !== "float32" || initializers.get(bias)?.data.length !== channels)
      )
        return false;
      return rule.activations.every(
        (i) => this.isFloat(n.inputs[i]) && !initializers.has(n.inputs[i]) && this.hasRange(n.inputs[i]),
      );
    }
    const inputs = (rule.activations.length > 0 ? rule.activations.map((i) => n.inputs[i]) : n.inputs).filter((v) => v);
    const fill = rule.onIntegers && n.inputs[rule.onIntegers.fill];
    if (fill && !initializers.has(fill)) return false;
    return (
      inputs.some((v) => this.integer.has(v)) &&
      // One float input (a branch that was kept float, a gate) is rounded here rather than let it pull the rest along.
      inputs.every((v) => this.integer.has(v) || (this.isFloat(v) && this.hasRange(v)))
    );
  }

  private hasIntegerReader(value: string): boolean {
    return (this.uses.get(value) ?? []).some(({ node, index }) => {
      const rule = this.plan.quantized.get(node.name);
      return rule !== undefined && activationInputs(node, rule).includes(index);
    });
  }
}

/** Indices of the inputs that are read as integers; a rule that lists none means all (Concat, Sum). */
export const activationInputs = (n: OpNode, rule: QuantizeRule): readonly number[] =>
  rule.activations.length > 0 ? rule.activations : n.inputs.map((_, i) => i);
