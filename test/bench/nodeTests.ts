/**
 * Shape inference and folding, measured on the node test cases of the `onnx` Python package.
 *
 *   python test/corpus/nodeTests.py DIR     # writes the cases of the installed package (older releases carry the folder)
 *   npx tsx test/bench/nodeTests.ts DIR [--json] [--cases]
 *
 * Ends non-zero when a rule is missing for more than 10 % of the operators in scope, or more than 5 % of the cases with static
 * shapes come out wrong.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ruleFor } from "../../toolkit/ops/index.js";
import {
  caseNames,
  type DynamicVerdict,
  judgeDynamic,
  judgeRaised,
  judgeShapes,
  judgeValues,
  type RaisedVerdict,
  readCase,
  type ShapeVerdict,
  type ValueVerdict,
} from "../support/nodeCases.js";
import { inScope, LAST_OPSET, picksByValue } from "../support/operators.js";
import { head, percent, row } from "./header.js";

const WANTED = { ops: 0.9, cases: 0.95 };

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false }, cases: { type: "boolean", default: false } },
});
const [folder] = positionals;
if (!folder) throw new Error("name the folder of the node test cases");

interface Judged {
  name: string;
  ops: string[];
  shape: ShapeVerdict;
  dynamic: DynamicVerdict;
  raised: RaisedVerdict;
  value: ValueVerdict;
}

const judged: Judged[] = [];
for (const name of caseNames(folder)) {
  const c = readCase(folder, name);
  judged.push({
    name,
    ops: c.ops,
    shape: judgeShapes(c, picksByValue),
    dynamic: judgeDynamic(c),
    raised: await judgeRaised(c),
    value: await judgeValues(c),
  });
}

const listed = join(folder, "operators.json");
const fromCases = (): Record<string, number[]> =>
  Object.fromEntries(judged.flatMap((c) => c.ops.filter((op) => !op.includes(":")).map((op) => [op, [LAST_OPSET]])));
const versions: Record<string, number[]> = existsSync(listed) ? JSON.parse(readFileSync(listed, "utf8")) : fromCases();
const scope = Object.keys(versions).filter((op) => inScope(op, versions[op]));
const lacking = scope.filter((opType) => {
  const [first] = versions[opType];
  return !ruleFor({ opType, domain: "" }, Math.max(7, first));
});
const of = <S extends ShapeVerdict["state"]>(state: S) => judged.filter((c) => c.shape.state === state);
const right = of("right");
const wrong = judged.flatMap(({ name, shape }) => (shape.state === "wrong" ? [{ name, detail: shape.detail }] : []));
const rightBy = (by: "rules" | "runtime") =>
  judged.filter(({ value }) => value.state === "right" && value.by === by).length;
const wrongValues = judged.flatMap(({ name, value }) =>
  value.state === "wrong" ? [{ name, detail: value.detail }] : [],
);

const report = {
  cases: judged.length,
  operators: { inScope: scope.length, withRule: scope.length - lacking.length, lacking },
  shapes: {
    right: right.length,
    fromShapesAlone: right.filter((c) => c.shape.state === "right" && c.shape.from === "shapes").length,
    wrong,
    share: right.length / (right.length + wrong.length),
    atRunTime: of("at run time").map((c) => c.name),
    noRule: of("no rule").length,
    noTensors: of("no tensors").length,
  },
  dynamic: {
    right: judged.filter((c) => c.dynamic.state === "right").length,
    open: judged.filter((c) => c.dynamic.state === "open").length,
    wrong: judged.flatMap(({ name, dynamic }) => (dynamic.state === "wrong" ? [{ name, detail: dynamic.detail }] : [])),
  },
  raised: {
    right: judged.filter((c) => c.raised.state === "right").length,
    wrong: judged.flatMap(({ name, raised }) => (raised.state === "wrong" ? [{ name, detail: raised.detail }] : [])),
  },
  values: {
    rightByRules: rightBy("rules"),
    rightByRuntime: rightBy("runtime"),
    wrong: wrongValues,
    notFolded: Object.fromEntries(
      (["never folded", "no numbers", "refused by the runtime", "no rule, or no tensors"] as const).map((why) => [
        why,
        judged.flatMap(({ name, value }) => (value.state === "not folded" && value.why === why ? [name] : [])),
      ]),
    ),
  },
};
const share = report.operators.withRule / report.operators.inScope;

if (flags.json) console.log(JSON.stringify(report, undefined, 2));
else {
  const { shapes, values: v } = report;
  console.log(`${folder}; ${new Date().toISOString().slice(0, 10)}\n`);
  console.log(head("what", "count", "wanted"));
  console.log(row("cases", report.cases, ""));
  console.log(row("operators in scope", scope.length, ""));
  console.log(row("with a rule", `${report.operators.withRule} (${percent(share)} %)`, `${percent(WANTED.ops)} %`));
  console.log(row("static cases right", `${shapes.right} (${percent(shapes.share)} %)`, `${percent(WANTED.cases)} %`));
  console.log(row("of these from the input shapes alone", shapes.fromShapesAlone, ""));
  console.log(row("static cases wrong", wrong.length, ""));
  console.log(row("lengths that depend on values, the rest right", shapes.atRunTime.length, ""));
  console.log(row("an operator without a rule", shapes.noRule, ""));
  console.log(row("inputs or outputs that are no tensors", shapes.noTensors, ""));
  console.log(row("lengths dynamic: all right", report.dynamic.right, ""));
  console.log(row("lengths dynamic: something unknown", report.dynamic.open, ""));
  console.log(row("lengths dynamic: wrong", report.dynamic.wrong.length, "0"));
  console.log(row("raised to operator set 13: right", report.raised.right, ""));
  console.log(row("raised to operator set 13: wrong", report.raised.wrong.length, "0"));
  console.log(row("constants right by rules", v.rightByRules, ""));
  console.log(row("constants right through ONNX Runtime", v.rightByRuntime, ""));
  console.log(row("constants wrong", wrongValues.length, ""));
  for (const [why, names] of Object.entries(v.notFolded)) console.log(row(`not folded: ${why}`, names.length, ""));
  const list = (title: string, lines: string[]) => {
    if (lines.length > 0) console.log(`\n${title}:\n${lines.map((l) => `  ${l}`).join("\n")}`);
  };
  list("operators in scope without a rule", lacking);
  list(
    "wrong shapes",
    wrong.map((w) => `${w.name}: ${w.detail}`),
  );
  list(
    "wrong with dynamic lengths",
    report.dynamic.wrong.map((w) => `${w.name}: ${w.detail}`),
  );
  list(
    "wrong when raised",
    report.raised.wrong.map((w) => `${w.name}: ${w.detail}`),
  );
  list(
    "wrong values",
    wrongValues.map((w) => `${w.name}: ${w.detail}`),
  );
  if (flags.cases)
    list(
      "every case",
      judged.map((c) => `${c.name} [${c.ops.join(", ")}]: ${c.shape.state}, ${c.value.state}`),
    );
}
process.exitCode = share >= WANTED.ops && report.shapes.share >= WANTED.cases ? 0 : 1;
