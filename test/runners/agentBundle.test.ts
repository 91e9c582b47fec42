/** Bundles of the agent: small enough, with what the board needs and nothing else, and the WebAssembly one runs anywhere. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { bundleAgent, MAX_BUNDLE_BYTES } from "../../runners/agent/bundle.js";
import { TARGETS } from "../../runners/agent/targets.js";
import { openHub } from "../../runners/hub/server.js";
import { joinedDevice, startAgent } from "../support/agentProcess.js";
import { denseModel, wire } from "./models.js";

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "edgefit-bundle-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const make = (target: string, out: string) =>
  bundleAgent({
    target,
    out: join(folder, out),
    entry: join(root, "toolkit/cli/agentMain.ts"),
    version: "1.2.3",
    nodeVersion: "20.19.0",
  });
const filesOf = (path: string): string[] =>
  readdirSync(path, { recursive: true, encoding: "utf8" }).filter((f) => statSync(join(path, f)).isFile());

test.each(Object.keys(TARGETS))("%s is whole, at most 60 MB, and without what it does not need", async (target) => {
  const made = await make(target, target);
  const files = filesOf(made.path);
  expect(files.sort()).toEqual([...made.files].sort());
  const bytes = files.reduce((sum, f) => sum + statSync(join(made.path, f)).size, 0);
  expect(made.sizeBytes).toBe(bytes);
  expect(bytes).toBeLessThanOrEqual(MAX_BUNDLE_BYTES);
  const natives = files.filter((f) => f.endsWith(".node"));
  const { native, wasm } = TARGETS[target];
  expect(natives).toEqual(
    native
      ? [`node_modules/onnxruntime-node/bin/napi-v6/${native.platform}/${native.arch}/onnxruntime_binding.node`]
      : [],
  );
  expect(files.some((f) => f.endsWith(".wasm"))).toBe(wasm);
  // Images are decoded where the data is, never on the board; a GPU's libraries are not for boards either.
  expect(files.filter((f) => /sharp|providers_(cuda|tensorrt|shared)|\.dylib|\.dll/.test(f))).toEqual([]);
  const scripts = files.filter((f) => f.endsWith(".js") && !f.startsWith("node_modules"));
  for (const f of scripts) {
    const imports = spawnSync("grep", [
      "-oE",
      "(from|import\\(|require\\()[\"'](sharp|fastify|esbuild)",
      join(made.path, f),
    ]);
    expect(imports.stdout.toString()).toBe("");
  }
  expect(statSync(join(made.path, "agent")).mode & 0o111).not.toBe(0);
  rmSync(made.path, { recursive: true });
});

test("refuses a folder that holds something, a file that is there, and a board that it does not know", async () => {
  mkdirSync(join(folder, "full"));
  writeFileSync(join(folder, "full/precious"), "x");
  writeFileSync(join(folder, "there.tgz"), "x");
  await expect(make("linux-arm64", "full")).rejects.toMatchObject({ code: "bundle-exists" });
  await expect(make("linux-arm64", "there.tgz")).rejects.toMatchObject({ code: "bundle-exists" });
  await expect(make("vax", "x")).rejects.toMatchObject({ code: "target-unknown" });
  expect(readdirSync(join(folder, "full"))).toEqual(["precious"]);
});

describe("the WebAssembly bundle, packed, on a machine without onnxruntime-node", () => {
  test("unpacks, joins, says which runtime computes, computes, and ends with Ctrl-C", async () => {
    const packed = await make("linux-armv7-wasm", "agent.tgz");
    expect(packed.packedBytes).toBe(statSync(packed.path).size);
    expect(spawnSync("tar", ["-xzf", packed.path, "-C", folder]).status).toBe(0);
    const home = join(folder, "edgefit-agent");
    const version = spawnSync(join(home, "agent"), ["--version"], { encoding: "utf8" });
    expect(version.stdout.trim()).toBe("1.2.3");

    const hub = await openHub();
    const agent = startAgent(home, ["--hub", `http://127.0.0.1:${hub.port}`, "--token", hub.token]);
    try {
      const board = await joinedDevice(hub, agent);
      const facts = await board.describe();
      expect(facts).toMatchObject({ kind: "node-wasm", runtime: { package: "onnxruntime-web", threads: 1 } });
      expect(agent.output()).toMatch(/onnxruntime-node has no binary that runs here/);
      const { id } = await board.load(denseModel());
      expect((await board.run(id, { x: wire([3, 4], [1, 2]) })).y).toEqual(wire([11, 9], [1, 2]));
      await board.close();
      agent.process.kill("SIGINT");
      expect(await agent.ended).toBe(0);
      expect(agent.output()).toMatch(/left the hub/);
    } finally {
      agent.process.kill("SIGKILL");
      await hub.close();
    }
  }, 120_000);

  test("names what is wrong: no hub's address, no token, no Node", () => {
    const home = join(folder, "edgefit-agent");
    const say = (args: string[], env = {}) => {
      const r = spawnSync(join(home, "agent"), args, { encoding: "utf8", env: { ...process.env, ...env } });
      return [r.status, r.stderr.trim()];
    };
    expect(say([])).toEqual([1, expect.stringMatching(/--hub: the address of a hub is missing\./)]);
    expect(say(["--hub", "http://127.0.0.1:1"])).toEqual([1, expect.stringMatching(/the hub's token is missing\./)]);
    expect(say([], { EDGEFIT_NODE: "/nowhere/node" })).toEqual([1, expect.stringMatching(/Node was not found/)]);
  });
});
