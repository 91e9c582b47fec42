/** The table of operator rules: the only place that knows which operators there are. */
import type { OpNode } from "../graph/graph.js";
import { rules as activations } from "./activations.js";
import { rules as attention } from "./attention.js";
import { rules as bitwise } from "./bitwise.js";
import { rules as causal } from "./causal.js";
import { rules as contrib } from "./contrib.js";
import { rules as controlFlow } from "./controlFlow.js";
import * as convolution from "./convolution.js";
import { rules as einsum } from "./einsum.js";
import { rules as elementwise } from "./elementwise.js";
import { rules as extension } from "./extension.js";
import { rules as gathering } from "./gathering.js";
import { rules as indexing } from "./indexing.js";
import { rules as integers } from "./integers.js";
import { rules as linear } from "./linear.js";
import { rules as matrices } from "./matrices.js";
import { rules as movement } from "./movement.js";
import { rules as normalization } from "./normalization.js";
import { rules as placing } from "./placing.js";
import { rules as pooling } from "./pooling.js";
import { rules as quantize } from "./quantize.js";
import { rules as random } from "./random.js";
import { rules as recurrent } from "./recurrent.js";
import { rules as reduction } from "./reduction.js";
import { rules as reshaping } from "./reshaping.js";
import { rules as resize } from "./resize.js";
import type { OpRule } from "./rule.js";
import { rules as sampling } from "./sampling.js";
import { rules as scatter } from "./scatter.js";
import { rules as selection } from "./selection.js";
import { rules as shapes } from "./shapes.js";
import { rules as signal } from "./signal.js";
import { rules as softmax } from "./softmax.js";
import { rules as trigonometry } from "./trigonometry.js";

type Family = Readonly<Record<string, OpRule | OpRule[]>>;

const families: readonly (readonly [domain: string, family: Family])[] = [
  ["", activations],
  ["", attention],
  ["", bitwise],
  ["", controlFlow],
  ["", convolution.rules],
  ["", einsum],
  ["", elementwise],
  ["", extension],
  ["", gathering],
  ["", indexing],
  ["", integers],
  ["", linear],
  ["", matrices],
  ["", movement],
  ["", normalization],
  ["", placing],
  ["", pooling],
  ["", quantize],
  ["", random],
  ["", recurrent],
  ["", reduction],
  ["", reshaping],
  ["", resize],
  ["", sampling],
  ["", scatter],
  ["", selection],
  ["", causal],
  ["", shapes],
  ["", signal],
  ["", softmax],
  ["", trigonometry],
  ["com.microsoft", contrib],
  ["com.microsoft", convolution.contribRules],
];

const keyOf = (domain: string, opType: string): string => `${domain === "ai.onnx" ? "" : domain}:${opType}`;

function tableOf(): Map<string, readonly OpRule[]> {
  const out = new Map<string, readonly OpRule[]>();
  for (const [domain, family] of families) {
    for (const [opType, entry] of Object.entries(family)) {
      const key = keyOf(domain, opType);
      if (out.has(key)) throw new Error(`two rules for operator ${key}: this is a bug in edgefit, please report it`);
      out.set(
        key,
        [entry].flat().sort((a, b) => (b.since ?? 1) - (a.since ?? 1)),
      );
    }
  }
  return out;
}

const table = tableOf();

/** The rule of a node under the given version of its operator set; undefined when edgefit does not know the operator. */
export function ruleFor(n: Pick<OpNode, "opType" | "domain">, opset: number): OpRule | undefined {
  return table.get(keyOf(n.domain, n.opType))?.find((r) => (r.since ?? 1) <= opset);
}

/** What is known about one operator (one line per version with its own rule). */
export interface OpCoverage {
  domain: string;
  opType: string;
  since: number;
  shape: boolean;
  /** Whether its rule computes constants itself; ONNX Runtime computes the others. */
  constants: boolean;
  channels: boolean;
  gradient: boolean;
  quantize: boolean;
}

/** Every operator with a rule, and which passes know it, sorted by domain and name. */
export function listOps(): OpCoverage[] {
  const out = [...table].flatMap(([key, list]) =>
    list.map((r) => {
      const [domain, opType] = key.split(":");
      const { since = 1 } = r;
      const knows = {
        shape: true,
        constants: !!r.evaluate || !!r.fromTypes,
        channels: !!r.channels,
        gradient: !!r.gradient,
        quantize: !!r.quantize,
      };
      return { domain, opType, since, ...knows };
    }),
  );
  return out.sort((a, b) => a.domain.localeCompare(b.domain) || a.opType.localeCompare(b.opType) || a.since - b.since);
}
