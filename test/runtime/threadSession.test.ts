import { describe, expect, it } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { floats, toFloat32 } from "../../toolkit/graph/tensor.js";
import { openSession } from "../../toolkit/runtime/session.js";
import { openThreadSession } from "../../toolkit/runtime/threadSession.js";
import { stripeNet, stripes } from "../train/nets.js";

/** y = x + 1, z = 2 x over [N]. */
function net(): Graph {
  const g = new GraphBuilder(emptyGraph("net"));
  const x = g.input("x", ["N"]);
  g.output(g.add(x, g.const(1), { out: "y" }), { elemType: "float32", dims: ["N"] });
  g.output(g.mul(x, g.const(2), { out: "z" }), { elemType: "float32", dims: ["N"] });
  return g.graph;
}

describe("a session in a thread of its own", () => {
  it("gives what a session in this thread gives, to the last bit", async () => {
    const batch = await stripes(32, 1).batch(Array.from({ length: 32 }, (_, i) => i));
    const feeds = { image: floats(batch.data, batch.dims) };
    const [here, there] = [
      await openSession(stripeNet(), { threads: 1 }),
      await openThreadSession(stripeNet(), { threads: 1 }),
    ];
    expect([there.inputs, there.outputs]).toEqual([here.inputs, here.outputs]);
    expect(await there.run(feeds)).toEqual(await here.run(feeds));
    expect(feeds.image.data).toHaveLength(batch.data.length); // the caller keeps its data
    await Promise.all([here.dispose(), there.dispose()]);
  });

  it("serves runs in order, some outputs only where asked, and leaves this thread free meanwhile", async () => {
    const session = await openThreadSession(net());
    let free = false;
    setImmediate(() => {
      free = true;
    });
    const runs = [1, 2, 3].map((v) => session.run({ x: floats([v]) }, v === 2 ? ["z"] : undefined));
    const results = await Promise.all(runs);
    expect(results.map((r) => Object.entries(r).map(([name, t]) => [name, toFloat32(t)[0]]))).toEqual([
      [
        ["y", 2],
        ["z", 2],
      ],
      [["z", 4]],
      [
        ["y", 4],
        ["z", 6],
      ],
    ]);
    expect(free).toBe(true);
    await session.dispose();
  });

  it("passes errors on with their fields and goes on", async () => {
    const session = await openThreadSession(net(), { where: "the net" });
    await expect(session.run({ wrong: floats([1]) })).rejects.toMatchObject({
      code: "feed",
      where: "the net",
      exit: 1,
    });
    expect(toFloat32((await session.run({ x: floats([1]) })).y)[0]).toBe(2);
    await session.dispose();
    await session.dispose();
    expect(() => session.run({ x: floats([1]) })).toThrow(/disposed/);
  });

  it("says why a model does not load", async () => {
    await expect(openThreadSession(new Uint8Array([1, 2, 3]), { where: "m.onnx" })).rejects.toMatchObject({
      code: "runtime",
      where: "m.onnx",
    });
  });
});
