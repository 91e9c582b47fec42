import { expect, test } from "vitest";
import { emptyGraph } from "../../toolkit/graph/builder.js";
import { typeOf, type Value } from "../../toolkit/graph/graph.js";

const value = (name: string, length: number): Value => ({ name, type: { elemType: "float32", dims: [length] } });

test("types of outputs are found in long lists too, also after the list was edited", () => {
  const g = emptyGraph("net");
  g.outputs = Array.from({ length: 100 }, (_, i) => value(`y${i}`, i));
  const lengthOf = (name: string) => typeOf(g, name)?.dims?.[0];
  expect([lengthOf("y0"), lengthOf("y99"), lengthOf("y100")]).toEqual([0, 99, undefined]);
  g.outputs.push(value("y100", 100));
  g.outputs[0] = value("y0", 7);
  g.outputs.splice(50, 1);
  g.outputs[10] = value("z", 8);
  expect(["y0", "y99", "y100", "y50", "y10", "z"].map(lengthOf)).toEqual([7, 99, 100, undefined, undefined, 8]);
});
