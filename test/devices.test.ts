/** Profiles as `edgefit devices` lists, compares and makes them. */
import { readFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { deviceProfileJsonSchema, listProfiles, loadProfile, parseProfile } from "../device-profiles/index.js";
import { openLocalRunner } from "../runners/index.js";
import { diffProfiles, exportDevice, listDevices } from "../toolkit/devices.js";

test("lists every shipped profile, with a reason where this machine is another device", async () => {
  const entries = await listDevices();
  expect(entries.map((e) => e.id)).toEqual(listProfiles());
  for (const { id, notHere } of entries) {
    const { kind, os } = loadProfile(id);
    if (!/^node-/.test(kind)) expect(notHere).toMatch(kind);
    else if (os.arch !== null && os.arch !== process.arch) expect(notHere).toMatch(os.arch);
  }
});

test("no shipped profile holds a time that was not measured", () => {
  for (const id of listProfiles()) {
    const p = loadProfile(id);
    if (p.measured === null) expect(p.notes.join(" ")).toMatch(/measured/);
  }
});

test("differences are named by their path; equal fields, titles and notes are not", () => {
  const [a, b] = ["raspberry-pi-4", "raspberry-pi-5"].map(loadProfile);
  expect(diffProfiles(a, a)).toEqual([]);
  const found = diffProfiles(a, b);
  expect(found).toContainEqual({ field: "hardware.cpu", a: "Cortex-A72", b: "Cortex-A76" });
  expect(found.map((d) => d.field)).not.toContain("title");
  expect(found.map((d) => d.field)).not.toContain("os.arch");
  const threads = { ...b, runtime: { ...b.runtime, threads: 4 } };
  expect(diffProfiles(b, threads)).toEqual([{ field: "runtime.threads", a: 1, b: 4 }]);
});

test("a profile of this machine is valid and names neither the machine nor its owner", async () => {
  const runner = await openLocalRunner({ threads: 2 });
  try {
    const { profile, table } = await exportDevice({ id: "my-box", device: runner });
    expect(table).toBeUndefined();
    expect(parseProfile(profile, "test")).toEqual(profile);
    expect(profile.runtime).toMatchObject({ package: "onnxruntime-node", threads: 2 });
    const text = JSON.stringify(profile);
    for (const secret of [hostname(), userInfo().username].filter((s) => s.length > 3))
      expect(text).not.toContain(secret);
    expect(text).not.toMatch(/\b(\d{1,3}\.){3}\d{1,3}\b(?!\s*\d)|([0-9a-f]{2}:){5}[0-9a-f]{2}/i);
  } finally {
    await runner.close();
  }
});

test("the published JSON Schema is the one in use", () => {
  const published = JSON.parse(
    readFileSync(join(import.meta.dirname, "../device-profiles/device-profile.schema.json"), "utf8"),
  );
  expect(published).toEqual(deviceProfileJsonSchema());
});
