import { mkdtempSync, rmSync } from "node:fs";
import { hostname, networkInterfaces, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseProfile } from "../device-profiles/index.js";
import { machineFacts } from "../runners/index.js";
import { describeDevice } from "../toolkit/devices.js";
import { kernelsOf, type LatencyTable, latencyModel, parseTable } from "../toolkit/latency/index.js";
import { versionRemark } from "../toolkit/onDevice.js";
import { gridOf, type ModelProfile, profileModel } from "../toolkit/profile.js";
import { randomNets, subNetOf, symbolicOf } from "../toolkit/profileDesign.js";
import { sharedTable } from "../toolkit/sharedTable.js";
import { FakeDevice, fakeVariant, residualNet } from "./latency/fakeDevice.js";

const folder = mkdtempSync(join(tmpdir(), "edgefit-shared-"));
afterAll(() => rmSync(folder, { recursive: true }));
const graph = residualNet();
let profile: ModelProfile;
let table: LatencyTable;

beforeAll(async () => {
  profile = await profileModel({
    graph,
    seed: 2,
    samples: 24,
    cacheDir: folder,
    runner: new FakeDevice(),
    toVariant: fakeVariant,
    ...gridOf({ alignment: 8 }),
  });
  table = sharedTable([profile, profile]);
}, 120_000);

test("a table of several models serves each of them without its sub-nets", async () => {
  expect(parseTable(JSON.stringify(table), "shared")).toEqual(table);
  expect(table.nets).toEqual([]);
  expect(table.quality.fp32?.n).toBe(2 * profile.table.nets.length);
  const model = latencyModel(table, kernelsOf(graph, symbolicOf(profile.groups)));
  const device = new FakeDevice();
  for (const d of randomNets(profile, 8, 3).whole) {
    const { id } = await device.load(fakeVariant(subNetOf(graph, profile.groups, profile.branches, d), "fp32"));
    expect(Math.abs(model.msAt(d.widths).ms / device.trueMs(id) - 1)).toBeLessThan(0.05);
  }
});

test("the alignment of a profile is the step of the grid", () => {
  expect(profile.grids.get("b1.conv1")).toEqual([8, 16, 24, 32, 40, 48, 56, 64]);
});

test("neither profile nor table names the machine, its owner or its addresses", async () => {
  const facts = { ...(await new FakeDevice().describe()), ...(await machineFacts()) };
  const described = parseProfile(describeDevice(facts, "mine", true), "mine");
  const text = JSON.stringify([described, table]);
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list!.flatMap((a) => [a.address, a.mac]));
  const secrets = [hostname(), userInfo().username, ...addresses].filter((s) => s.length > 3 && !/^[0:]+$/.test(s));
  for (const secret of secrets) expect(text).not.toContain(secret);
  expect(text).not.toMatch(/"(hostname|serial|uuid|mac|ip|address)"/i);
  expect(described.measured?.date).toMatch(/^\d{4}-\d\d-\d\d$/);
});

test("a profile of another version of the runtime is remarked on", async () => {
  const facts = await new FakeDevice().describe();
  const described = describeDevice(facts, "mine", false);
  expect(versionRemark(described, facts)).toBeNull();
  expect(versionRemark({ ...described, runtime: { ...described.runtime, version: null } }, facts)).toBeNull();
  const newer = await new FakeDevice({ version: "2.0" }).describe();
  expect(versionRemark(described, newer)).toMatch(/"mine" was measured with fake 1\.0, this device runs 2\.0/);
});
